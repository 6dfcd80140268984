import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SubmitDeps } from '../../app/sweep/submit.js';
import { byTomlName, TOML_KEYS } from '../../core/config/keys.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import type { TaskQueue } from '../../core/queue/queue.js';
import { refusePasswordInUrl } from '../../core/text/shown-urls.js';
import { writeJobConfig } from '../../io/config/submission-config.js';
import { FileLock } from '../../io/files/flock.js';
import { makeDirectories } from '../../io/files/write-file.js';
import { taskContext } from '../../io/queue/queues.js';
import { serverUrl } from '../../local/config/connection.js';
import { checkSubmissions } from '../../local/config/places.js';
import type { Sweep } from '../../local/sweep/context.js';
import type { UnitContext } from '../../local/unit/context.js';
import type { Terminal } from '../terminal/streams.js';

/** How this very qrun is started by somebody else: Node and the executable, both absolute. */
export function ownCommand(terminal: Terminal): string[] {
  return [terminal.proc.execPath, fileURLToPath(new URL('../../../bin/qrun.cjs', import.meta.url))];
}

/**
 * Returns how the task that this process runs as can be added once more; `undefined` when it is none: what was typed in
 * some directory and environment cannot be repeated in another.
 */
export function repeatedTask(
  terminal: Terminal,
  directory: string,
  priority = -1,
): { argv: string[]; directory: string; priority: number } | undefined {
  if (taskContext(terminal.env) === undefined) return undefined;
  return {
    argv: [...ownCommand(terminal), ...terminal.proc.argv.slice(2)],
    directory,
    priority,
  };
}

/** Builds what the tasks of a submission run. */
export interface TaskCommands {
  readonly configFile: string;
  unit(context: UnitContext): string[];
  audit(options: {
    /** Commands of `--then`. */
    readonly finalizers: readonly string[];
    /** Its own, for when it submits itself again. */
    readonly priority: number;
  }): string[];
}

/**
 * Writes the configuration of a submission and gives the commands of its tasks, which name it: jobs start in a
 * clean environment, and resolve the same configuration from that file alone. Secrets are not in it.
 *
 * Errors: QrunError `WRITE_FAILED`; `CONFIG` when the jobs could not find the password.
 */
export async function prepareTasks(
  sweep: Sweep,
  terminal: Terminal,
  unitFlags: readonly string[],
): Promise<TaskCommands> {
  const usesServer = factsOf(sweep.config.engine).data === 'server';
  if (usesServer && !sweep.passwordSurvives()) {
    throw new QrunError('CONFIG', 'the jobs could not find the password: they start in a clean environment', {
      hint: `put CLICKHOUSE_PASSWORD into ${join(sweep.root, '.env')}, or the password into a file: --password-file`,
    });
  }
  // Refuses a password in the URL, which would stand in the file.
  refusePasswordInUrl(serverUrl(sweep));
  // Decided now, where somebody can answer, and by the same rule as everywhere: whoever asks for the connection is told.
  if (usesServer) sweep.connection();
  checkSubmissions(sweep.root);
  const { given, name, group } = sweep;
  // Choices of one command line (--setup, --rerun) are none of a configuration; units get theirs as flags.
  const kept = Object.fromEntries(TOML_KEYS.map(key => [key, given[key]]));
  const written = await writeJobConfig(
    sweep.root,
    { ...byTomlName(kept), sweep: { ...sweep.table, name, group } },
    sweep.units.map(({ unit }) => unit),
    { timeZone: sweep.timeZone, made: { givers: byTomlName(sweep.givers), trusted: sweep.trust.trusted() } },
  );
  const config = [`--config=${written.path}`, `--config-digest=${written.digest}`];
  const own = ownCommand(terminal);
  const shared = sweep.config.parameters;
  return {
    configFile: written.path,
    unit: ({ directory, config: { parameters }, dataDirectory }) => [
      ...own,
      'unit',
      directory,
      ...config,
      ...Object.entries(parameters)
        .filter(([key, value]) => shared[key] !== value)
        .map(([key, value]) => `--param=${key}=${value}`),
      ...(dataDirectory === sweep.dataDirectory ? [] : [`--data-dir=${dataDirectory}`]),
      ...unitFlags,
    ],
    audit: ({ finalizers, priority }) => [
      ...own,
      'audit-all',
      sweep.start,
      ...config,
      '--when-ended',
      `--priority=${priority}`,
      ...finalizers.map(command => `--then=${command}`),
    ],
  };
}

/** Returns what a submission uses, for the sweep with this root. Errors of the lock: QrunError `SUBMIT_LOCK`. */
export function submitDeps(
  queue: TaskQueue,
  root: string,
  terminal: Terminal,
  signal: AbortSignal,
): SubmitDeps {
  return {
    queue,
    lastingQueue: () => queue.kind.open({ env: terminal.env }),
    locked: work => submitLocked(root, work, signal),
  };
}

// The other one reads 300,000 files before it takes the lock, and holds it for its adds: 220 take a second.
const LOCK_WAIT_MS = 300_000;

// Runs `work` while no other process does so for this sweep, by a kernel lock on `.qrun/submit.lock`: it ends with its
// holder, is never broken by age, and never lets two in. After five minutes the error names the holder.
async function submitLocked<T>(root: string, work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const directory = join(root, '.qrun');
  let lock: FileLock;
  try {
    makeDirectories(directory);
    lock = await FileLock.open(join(directory, 'submit.lock'));
  } catch (cause) {
    throw lockError(cause, `make ${directory} writable; where a group shares the tree: chmod 2770, once`);
  }
  try {
    try {
      await lock.acquire({ limitMs: LOCK_WAIT_MS, signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw lockError(cause, 'another submit-all of this sweep is at work: wait for it, or end it');
    }
    return await work();
  } finally {
    lock.close();
  }
}

function lockError(cause: unknown, hint: string): QrunError {
  return new QrunError('SUBMIT_LOCK', (cause as Error).message, { hint, cause });
}
