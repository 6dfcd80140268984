import { resolve } from 'node:path';
import type { ConfigValues } from '../../core/config/table.js';
import type { AuditReport } from '../../core/log/audit.js';
import { checkArgument, checkOptions } from '../../core/options.js';
import type { RunEvent, RunSummary } from '../../core/unit/events.js';
import type { Surroundings, SweepContext } from '../config/sweep-context.js';
import type { Environment } from '../config/trust.js';
import { unitContext } from './context.js';
import { refuseEventsIn } from './events.js';
import type { PlanReport } from './plan.js';

/**
 * How a unit is to be run, planned and audited: every key of the configuration in camelCase, with the values that a
 * qrun.toml could hold (`timeout: '30s'`, `halt: 'errors=5%'`). They win over the environment, `.env` and qrun.toml,
 * which count as they do for the command line.
 *
 * `umask`, if given here, applies to the whole process, permanently; one in qrun.toml or the environment is not
 * applied.
 */
export interface UnitOptions extends Omit<ConfigValues, 'memoryMax'> {
  /** Whether to trust the tree, as `--trust` does; see docs/trust.md. */
  readonly trust?: boolean | undefined;
  /** The base of relative paths; the default is the current directory of the process. */
  readonly cwd?: string | undefined;
  /**
   * The environment to use instead of that of the process. A program passes a password as `CLICKHOUSE_PASSWORD` in
   * it.
   */
  readonly env?: Environment | undefined;
}

/** How a run is watched and stopped. */
export interface RunControls {
  /**
   * Stops the run at once: running queries are cancelled on the server and not recorded. They are due again the next
   * time.
   */
  readonly signal?: AbortSignal | undefined;
  /** Stops the run gently: nothing new starts, and running queries are finished and recorded. */
  readonly drain?: AbortSignal | undefined;
  /**
   * Called with each event as it happens. When it throws, the run is stopped and rejects with what was thrown. If it
   * returns promises, the run goes on meanwhile and ends when they have settled; one that rejects counts as a throw.
   */
  readonly onEvent?: ((event: RunEvent) => unknown) | undefined;
}

/** A directory of SQL files with its resolved configuration. Each method reads the files and the log again. */
export interface Unit {
  /** Its path relative to the sweep root, with `@name=value,...` for its parameters. */
  readonly id: string;
  /** Absolute. */
  readonly directory: string;
  /** The path of its log. */
  readonly log: string;
  /**
   * What the person who starts this should know about where its configuration comes from; a run emits it as warnings.
   */
  readonly notices: readonly string[];
  /**
   * Resolves with what a run would do, without an engine; problems of files are in the report.
   *
   * Errors: QrunError of the directory and the log.
   */
  plan(): Promise<PlanReport>;
  /**
   * Runs what is due and records each result exactly once, as `qrun unit` does; resolves with the summary, also after
   * a stop. A failed query is an outcome, not an error.
   *
   * Errors: QrunError, whose `exitCode` says what kind: nothing was started (2), the unit runs elsewhere (22), the
   * log cannot be trusted or written (23), the engine cannot be reached (24). A stop while the files are still being
   * read rejects with the reason of its signal.
   */
  run(controls?: RunControls): Promise<RunSummary>;
  /**
   * Compares the files with the log, without changing anything and without an engine. `logs`: to be used instead of
   * its own log, if shards of the unit have logs of their own.
   *
   * Errors: QrunError of the directory and the log.
   */
  audit(options?: { readonly logs?: readonly string[] | undefined }): Promise<AuditReport>;
}

/**
 * Opens a unit: resolves its configuration and returns it, ready to plan, run and audit. Nothing is written, locked or
 * connected before a method needs it, and nothing has to be closed.
 *
 * Errors: QrunError `CONFIG` with all problems at once, `USAGE`.
 */
export function openUnit(directory: string, options: UnitOptions = {}): Unit {
  checkArgument('openUnit', 'the directory', directory, 'string');
  checkOptions('openUnit', options, OPENING, { config: true, not: NOT_ACCEPTED });
  const { cwd: base = '', env = process.env, trust = false, ...values } = options;
  const cwd = resolve(process.cwd(), base);
  const surroundings: Surroundings = { cwd, env };
  const found = unitContext(directory, { options: values, trust }, surroundings);
  refuseEventsIn(found, cwd);
  const context = { ...found, notices: [...found.notices, ...notApplied(found)] };
  // Last: a call that throws changes nothing.
  const { umask } = context.config;
  if (values.umask !== undefined && umask !== undefined) process.umask(process.umask() | umask);
  return {
    id: context.unit,
    directory: context.directory,
    log: context.logPath,
    notices: context.notices,
    async plan() {
      const { planIn } = await import('./plan.js');
      return (await planIn(context, 'tell')).report;
    },
    async run(controls = {}) {
      checkOptions('run', controls, CONTROLS);
      const { signal, drain, onEvent = () => {} } = controls;
      const { runIn } = await import('./run.js');
      const listener = new Listener(onEvent);
      const abort = anyOf(listener.broken, signal);
      const watch = {
        abort,
        drain: anyOf(abort, drain),
        onEvent: (event: RunEvent) => listener.hear(event),
      };
      try {
        return await runIn(context, surroundings, watch);
      } finally {
        await listener.end();
      }
    },
    async audit(given = {}) {
      checkOptions('audit', given, { logs: 'strings' });
      const { logs = [] } = given;
      const { auditIn, realLogs } = await import('./audit.js');
      return await auditIn(context, realLogs(logs, cwd));
    },
  };
}

const OPENING = { trust: 'boolean', cwd: 'string', env: 'environment' } as const;
const NOT_ACCEPTED = {
  memoryMax: 'a cap needs a process of its own: qrun unit --memory-max, or systemd-run around your program',
};
const CONTROLS = { signal: 'signal', drain: 'signal', onEvent: 'function' } as const;

// What a program does with the events of a run.
class Listener {
  readonly #onEvent: (event: RunEvent) => unknown;
  readonly #stop = new AbortController();
  readonly #pending = new Set<Promise<void>>();
  // What was thrown first; it may be `undefined`.
  #thrown: { readonly error: unknown } | undefined;

  constructor(onEvent: (event: RunEvent) => unknown) {
    this.#onEvent = onEvent;
  }

  get broken(): AbortSignal {
    return this.#stop.signal;
  }

  hear(event: RunEvent): void {
    try {
      const returned = this.#onEvent(event);
      if (isThenable(returned)) this.#await(returned);
    } catch (error) {
      this.#break(error);
    }
  }

  // Waits for the promises that were returned. Rejects with what was thrown first, if anything was.
  async end(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending);
    if (this.#thrown !== undefined) throw this.#thrown.error;
  }

  #await(returned: PromiseLike<unknown>): void {
    const settled = Promise.resolve(returned)
      .then(
        () => {},
        error => this.#break(error),
      )
      .finally(() => this.#pending.delete(settled));
    this.#pending.add(settled);
  }

  #break(error: unknown): void {
    this.#thrown ??= { error };
    this.#stop.abort(error);
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { readonly then?: unknown } | null | undefined)?.then === 'function';
}

// Settings that concern a whole process, and that nobody requested for this one.
function notApplied({ config, sources }: SweepContext): string[] {
  const inTree = (key: 'umask' | 'memoryMax'): boolean =>
    config[key] !== undefined && sources[key] !== 'option';
  return [
    ...(inTree('umask') ? ['the configured umask is not applied: it would change the whole process'] : []),
    ...(inTree('memoryMax')
      ? ['the configured memory_max is not applied: it needs a process of its own']
      : []),
  ];
}

function anyOf(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other === undefined ? one : AbortSignal.any([one, other]);
}
