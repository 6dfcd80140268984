import { resolve } from 'node:path';
import type { SweepWatch } from '../../app/sweep/status.js';
import type { ConfigValues } from '../../core/config/table.js';
import { QrunError } from '../../core/errors.js';
import type { SlotsReport } from '../../core/hosts/slots/report.js';
import { LOAD_PER_CORE } from '../../core/hosts/slots/watch.js';
import { WATCH_MS } from '../../core/machine/autoscale.js';
import { checkArgument, checkOptions } from '../../core/options.js';
import type { QueueName } from '../../core/queue/names.js';
import type { SweepAudit } from '../../core/sweep/audit.js';
import type { CancelReport } from '../../core/sweep/cancel.js';
import type { CollectReport } from '../../core/sweep/collect.js';
import type { SweepStatus } from '../../core/sweep/status.js';
import type { Surroundings } from '../config/sweep-context.js';
import { runsOnHosts } from '../hosts/hosts-of-tree.js';
import type { CancelOptions } from '../queue/cancel.js';
import { resolveSweep } from './context.js';
import type { SubmissionReport, SubmitWatch, SweepSubmitOptions } from './submit.js';

/**
 * How a sweep is opened: every key of the configuration in camelCase, as for a unit. What is given here is also given
 * to the tasks of a submission. `umask` applies to them alone.
 */
export interface SweepOptions extends ConfigValues {
  /** Globs of unit ids: only these units; the default is all. */
  readonly includeUnits?: readonly string[] | undefined;
  /** Globs of unit ids: not these units. */
  readonly excludeUnits?: readonly string[] | undefined;
  /** The group of the queue; the default is that of qrun.toml, or one of the sweep's own. */
  readonly group?: string | undefined;
  /** What its tasks are given to; the default is what `[sweep]` of qrun.toml says, or the queue of this machine. */
  readonly on?: QueueName | undefined;
  /** Whether to trust the tree, as `--trust` does; see docs/trust.md. */
  readonly trust?: boolean | undefined;
  /** The base of relative paths; the default is the current directory of the process. */
  readonly cwd?: string | undefined;
  /** The environment to use instead of that of the process; it says where the queue is. */
  readonly env?: Surroundings['env'] | undefined;
}

/** How a submission is made, watched and stopped. */
export interface SubmitControls
  extends SweepSubmitOptions,
    Pick<SubmitWatch, 'onProgress' | 'onNotice' | 'onSetup'> {
  /** Stops it; tasks already added stay, and are audited. */
  readonly signal?: AbortSignal | undefined;
}

/** How a sweep is cancelled. */
export interface CancelControls extends CancelOptions {
  /** The names of hosts; the default is all. */
  readonly hosts?: readonly string[] | undefined;
  /** Whether to act on this machine alone, whatever hosts there are. */
  readonly here?: boolean | undefined;
  /** Stops it; what the queue was asked for stays. */
  readonly signal?: AbortSignal | undefined;
}

/** A sweep with its resolved configuration. Each method reads the files, the logs and the queue again. */
export interface Sweep {
  readonly name: string;
  /** Absolute; where its tasks start. */
  readonly root: string;
  readonly group: string;
  /** The ids of its units, sorted. */
  readonly units: readonly string[];
  /** What the person who starts this should know about where its configuration comes from. */
  readonly notices: readonly string[];
  /**
   * Adds a task to the queue for each unit that is not complete, queued or running, and the audit after them, as
   * `qrun submit-all` does. Everything is checked before the first task is added. Any number of submitters may do
   * this at any time. With `dryRun` nothing is added.
   *
   * With `[[hosts]]` in qrun.toml the units go to those hosts, and no audit follows: `audit` collects. Hosts that were
   * left out, and units that one failed to take, are in `hosts` of the report.
   *
   * Errors: QrunError of the units (2, 23), the server (24) and the queue (26); the reason of the signal.
   */
  submit(controls?: SubmitControls): Promise<SubmissionReport>;
  /**
   * Resolves with one look at the queue and the logs; each look reads what is new in the logs. Without the queue it
   * reports what the logs hold. With hosts it is what each of them says (`hosts`: only these), and the logs here; one
   * that does not answer is in the status. With `here` no host is asked.
   *
   * Errors: QrunError of the units and the logs; of the hosts if none may be asked (2, 26); the reason of the signal.
   */
  status(controls?: {
    readonly hosts?: readonly string[] | undefined;
    readonly here?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<SweepStatus>;
  /**
   * Asks the units to end, and the audit after them, as `qrun cancel` does: those that wait never start; those that run
   * finish what they have begun, record it, and end with 143. Resolves when the queue has taken the order, with `wait`
   * when they have ended. With `dryRun` nothing is cancelled. What was recorded stays, and `submit` continues from there.
   *
   * Errors: QrunError of the queue (26) and the hosts (2, 26). A host that does not answer is in the report; its
   * `exit_code` is then 26. The reason of the signal.
   */
  cancel(controls?: CancelControls): Promise<CancelReport>;
  /**
   * Audits every unit and keeps the result beside the logs, as `qrun audit-all` does; it waits for nothing. What the
   * hosts of qrun.toml have recorded is collected first, from those that answer.
   *
   * Errors: QrunError `READ_FAILED`, `WRITE_FAILED`; the reason of the signal.
   */
  audit(controls?: { readonly signal?: AbortSignal | undefined }): Promise<SweepAudit>;
  /**
   * Imports what other hosts have recorded into the logs here, as `qrun collect` does. If qrun.toml names hosts, their
   * logs are fetched first: those of `hosts`, by default of all; with `here` none. `from`: logs of other hosts and
   * directories of such logs, relative to `cwd`, instead. Without any, the directories in `results/.from`. Importing
   * the same again appends nothing; a process that dies meanwhile leaves nothing that the next import does not complete.
   *
   * Errors: QrunError `USAGE` for a name that leads to no log or is no host, `READ_FAILED`; `CONFIG` for hosts of a
   * tree that is not trusted, `SSH_MISSING`; the reason of the signal, between two units. What is wrong with a single
   * log or host is in the report, whose `exit_code` is 0 if all were imported.
   */
  collect(controls?: {
    readonly from?: readonly string[] | undefined;
    readonly hosts?: readonly string[] | undefined;
    readonly here?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
  }): Promise<CollectReport>;
  /**
   * Shows how many units run at a time on each host of qrun.toml (on this machine, if it names none), or changes that
   * and watches what it does, as `qrun hosts slots` does. Resolves when the watch has ended, also when `signal` ended
   * it: the report says what the slots are then.
   *
   * Errors: QrunError `CONFIG` for a tree that is not trusted, `USAGE` for an unknown host, `SSH_MISSING`. What happened
   * on a host is in the report, whose `exit_code` is 0 if nothing did.
   */
  slots(controls?: SlotsControls): Promise<SlotsReport>;
}

/** How slots are changed and watched. */
export interface SlotsControls {
  /** How many units are to run at a time; without it they are only shown. */
  readonly to?: number | undefined;
  /** What a host is set back to; the default is what it has before the change. */
  readonly from?: number | undefined;
  /** The names of hosts; the default is all. */
  readonly hosts?: readonly string[] | undefined;
  /** How long each host is watched; 0 for not at all. The default is five minutes, after slots that became more. */
  readonly watchMs?: number | undefined;
  /** Ends the watch; the slots stay as they are. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens the sweep that a directory belongs to, with the units at or below it: resolves its configuration and lists
 * its units. Nothing is written, locked or connected before a method needs it, and nothing has to be closed.
 *
 * Errors: QrunError `CONFIG` with all problems at once, `UNIT_*`.
 */
export function openSweep(directory: string, options: SweepOptions = {}): Sweep {
  checkArgument('openSweep', 'the directory', directory, 'string');
  checkOptions('openSweep', options, OPENING, { config: true });
  const { cwd: base = '', env = process.env, trust = false, group, on, ...rest } = options;
  const { includeUnits: include = [], excludeUnits: exclude = [], ...values } = rest;
  const surroundings = { cwd: resolve(process.cwd(), base), env };
  const found = resolveSweep(directory, { options: values, trust }, surroundings, { include, exclude });
  const sweep = {
    ...found,
    ...(group === undefined ? {} : { group }),
    ...(on === undefined ? {} : { table: { ...found.table, on } }),
  };
  let watch: SweepWatch | undefined;
  return {
    name: sweep.name,
    root: sweep.root,
    group: sweep.group,
    units: sweep.units.map(({ unit }) => unit),
    notices: sweep.notices,
    async submit(given = {}) {
      checkOptions('submit', given, SUBMISSION);
      const { signal = NEVER, ...controls } = given;
      if (runsOnHosts(sweep)) {
        const { submitToHosts } = await import('../hosts/sweep/submit.js');
        return (await submitToHosts(sweep, [], surroundings, controls, { ...controls, signal })).report;
      }
      const { submitSweep } = await import('./submit.js');
      return (await submitSweep(sweep, surroundings, controls, { ...controls, signal })).report;
    },
    async status(given = {}) {
      checkOptions('status', given, { hosts: 'strings', here: 'boolean', signal: 'signal' });
      const { hosts: names = [], here = false, signal } = given;
      if (!here && (names.length > 0 || runsOnHosts(sweep))) {
        const { lookAtHosts } = await import('../hosts/status.js');
        return await lookAtHosts(sweep, names, { env, signal });
      }
      const { sweepWatch } = await import('./status.js');
      watch ??= sweepWatch(sweep, { env });
      return await watch.look();
    },
    async cancel(given = {}) {
      checkOptions('cancel', given, CANCELLATION);
      const { signal = NEVER, hosts: names = [], here = false, ...controls } = given;
      if (!here && (names.length > 0 || runsOnHosts(sweep))) {
        const { cancelOnHosts } = await import('../hosts/cancel.js');
        return await cancelOnHosts(sweep, names, controls, { env, signal });
      }
      const { cancelSweep, choiceOf } = await import('./cancel.js');
      return await cancelSweep(sweep, { env }, choiceOf(sweep), controls, { signal });
    },
    async audit(given = {}) {
      checkOptions('audit', given, { signal: 'signal' });
      const { signal = NEVER } = given;
      if (runsOnHosts(sweep)) {
        const { auditHosts } = await import('../hosts/sweep/audit.js');
        return await auditHosts(sweep, [], surroundings, {}, { signal });
      }
      const { auditSweep } = await import('./audit.js');
      return await auditSweep(sweep, surroundings, {}, { signal });
    },
    async collect(given = {}) {
      checkOptions('collect', given, COLLECTION);
      const { from = [], hosts: names = [], here = false, signal } = given;
      if (from.length === 0 && !here && (names.length > 0 || runsOnHosts(sweep))) {
        const { withHosts } = await import('../hosts/sweep-hosts.js');
        const { collectFromHosts } = await import('../hosts/collect.js');
        return await withHosts(sweep, names, { env, signal }, async hosts =>
          collectFromHosts(sweep, hosts, { signal }),
        );
      }
      const { collectSweep } = await import('./collect.js');
      return await collectSweep(sweep, surroundings.cwd, from, { signal });
    },
    async slots(given = {}) {
      checkOptions('slots', given, SLOTS);
      const { to: slots, from, hosts = [], watchMs, signal = NEVER } = given;
      if (watchMs !== undefined && watchMs < 0) {
        throw new QrunError('CONFIG', `slots: watchMs ${watchMs} must not be negative`);
      }
      const { changeSlotsOf } = await import('../hosts/change-slots.js');
      const request = {
        ...{ slots, from, watchAll: watchMs !== undefined, limits: { loadPerCore: LOAD_PER_CORE } },
        watchMs: watchMs === 0 ? undefined : (watchMs ?? WATCH_MS),
      };
      const names = runsOnHosts(sweep) ? hosts : undefined;
      return await changeSlotsOf(sweep, names, surroundings, request, { signal, onEvent: () => {} });
    },
  };
}

const NEVER = new AbortController().signal;
const OPENING = {
  includeUnits: 'strings',
  excludeUnits: 'strings',
  group: 'string',
  on: 'queue',
  trust: 'boolean',
  cwd: 'string',
  env: 'environment',
} as const;
const COLLECTION = { from: 'strings', hosts: 'strings', here: 'boolean', signal: 'signal' } as const;
const SLOTS = { to: 'count', from: 'count', hosts: 'strings', watchMs: 'integer', signal: 'signal' } as const;
const CANCELLATION = {
  dryRun: 'boolean',
  wait: 'boolean',
  hosts: 'strings',
  here: 'boolean',
  signal: 'signal',
} as const;
const SUBMISSION = {
  slots: 'slots',
  priority: 'integer',
  delay: 'string',
  resumeGroup: 'boolean',
  finalizers: 'strings',
  dryRun: 'boolean',
  signal: 'signal',
  onProgress: 'function',
  onNotice: 'function',
  onSetup: 'function',
} as const;
