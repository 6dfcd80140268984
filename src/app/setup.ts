import { QrunError } from '../core/errors.js';
import type { EventSink } from '../core/events.js';
import type { Settings } from '../core/model.js';
import { decodeSql, parseQuery } from '../core/sql/parse.js';
import type { ParsedQuery } from '../core/sql/statement.js';
import type { Engine } from '../io/engine.js';
import type { AppliedSetup } from '../io/setup-state.js';
import type { Clock } from './run-unit.js';

/** A `_setup.sql` that was read and checked. */
export interface SetupFile {
  /** Relative to the sweep root, as people see it. */
  readonly name: string;
  readonly fingerprint: string;
  readonly query: ParsedQuery;
}

/**
 * A setup file from its bytes.
 *
 * Errors: QrunError `SQL_INVALID` with the file and the place.
 */
export function readSetupFile(
  name: string,
  bytes: Buffer,
  fingerprint: (bytes: Uint8Array) => string,
): SetupFile {
  try {
    return { name, fingerprint: fingerprint(bytes), query: parseQuery(decodeSql(bytes)) };
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    throw new QrunError('SQL_INVALID', `${name}: ${error.message}`, { hint: 'correct the setup file' });
  }
}

export interface SetupDeps {
  readonly engine: Engine;
  readonly settings: Settings;
  readonly clock: Clock;
  readonly emit: EventSink;
  readonly signal: AbortSignal;
}

/** How far an embedded data directory is prepared, and where that is noted. */
export interface SetupNotes {
  read(): AppliedSetup;
  write(applied: AppliedSetup): Promise<void>;
}

/**
 * Runs the setup files that a data directory has not seen yet, or has seen with other content, and notes each
 * that succeeded. A file that was interrupted runs again, so setup files must be idempotent. Gives how many ran.
 *
 * Errors: as {@link runSetup}.
 */
export async function prepareDataDirectory(
  deps: SetupDeps,
  files: readonly SetupFile[],
  notes: SetupNotes,
): Promise<number> {
  let applied = notes.read();
  let ran = 0;
  for (const file of files) {
    const before = applied[file.name];
    if (before === file.fingerprint) continue;
    await runSetup(deps, file);
    ran += 1;
    applied = { ...applied, [file.name]: file.fingerprint };
    await notes.write(applied);
    if (before === undefined) continue;
    deps.emit({
      type: 'warning',
      message:
        `${file.name} changed, so the data was prepared anew; results recorded on the old data stay settled ` +
        '(--rerun all runs them again)',
    });
  }
  return ran;
}

/**
 * Runs one setup file to its end.
 *
 * Errors: QrunError `SETUP_FAILED` with ClickHouse's message, `ENGINE_LOST` when the engine went away.
 */
export async function runSetup(deps: SetupDeps, file: SetupFile): Promise<void> {
  const { engine, settings, clock, emit, signal } = deps;
  emit({ type: 'setup_started', file: file.name });
  const startedMs = clock.monotonicMs();
  const result = await engine.run({
    query: file.query,
    queryId: `qrun-setup-${file.fingerprint}-${clock.nowMs().toString(36)}`,
    parameters: {},
    settings,
    timeoutMs: file.query.overrides.timeoutMs ?? 0,
    signal,
  });
  if (!result.ok) {
    const { failure } = result;
    if (failure.name === 'ABORTED') signal.throwIfAborted();
    throw new QrunError(
      failure.serverGone ? 'ENGINE_LOST' : 'SETUP_FAILED',
      `${file.name} failed: ${failure.message}`,
      {
        hint: 'nothing else was run; setup files may run several times, so let them drop what they create',
      },
    );
  }
  await result.body.dispose();
  emit({ type: 'setup_done', file: file.name, duration_ms: Math.round(clock.monotonicMs() - startedMs) });
}
