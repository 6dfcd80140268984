import type { Clock } from '../../core/clock.js';
import type { Config } from '../../core/config/table.js';
import type { ChainFile } from '../../core/engines/data-note.js';
import { rowsOf } from '../../core/engines/rows.js';
import { QrunError } from '../../core/errors.js';
import type { Parameters, Settings } from '../../core/model.js';
import { decodeSql, parseQuery } from '../../core/sql/parse.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import { redactFailure } from '../../core/text/redact.js';
import type { EventSink } from '../../core/unit/events.js';
import { Judge } from '../../core/unit/judge.js';
import type { Engine } from '../../io/engines/engine.js';

/** A `_setup.sql` that was read and parsed. */
export interface SetupFile {
  /** Relative to the sweep root, as people see it. */
  readonly name: string;
  readonly fingerprint: string;
  readonly bytes: Buffer;
  readonly query: ParsedQuery;
}

/**
 * Returns a setup file from its bytes.
 *
 * Errors: QrunError `SQL_INVALID` with the file and the place.
 */
export function readSetupFile(
  name: string,
  bytes: Buffer,
  fingerprint: (bytes: Uint8Array) => string,
): SetupFile {
  try {
    return { name, fingerprint: fingerprint(bytes), bytes, query: parseQuery(decodeSql(bytes)) };
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    throw new QrunError('SQL_INVALID', `${name}: ${error.message}`, { hint: 'correct the setup file' });
  }
}

/** Returns the names of the parameters that setup files use. */
export function setupParameterNames(files: readonly SetupFile[]): ReadonlySet<string> {
  return new Set(parametersOf(files).map(({ name }) => name));
}

function parametersOf(files: readonly SetupFile[]) {
  return files.flatMap(({ query }) => query.statements.flatMap(({ parameters }) => parameters));
}

/**
 * Checks setup files like queries, so that none prepares other data than it says.
 *
 * Errors: QrunError `SQL_INVALID` for unreplaced placeholders, `PARAMETERS` for parameters without a value; each with
 * all problems of all files.
 */
export function checkSetupFiles(
  files: readonly SetupFile[],
  { parameters, allowPlaceholders }: Pick<Config, 'parameters' | 'allowPlaceholders'>,
): void {
  const judge = new Judge({ inputs: { parameters, settings: {} }, allowPlaceholders });
  const details: string[] = [];
  let onlyParameters = true;
  for (const { name, bytes } of files) {
    const judgement = judge.judge(bytes);
    if (judgement.kind !== 'refused') continue;
    onlyParameters &&= judgement.code === 'PARAMETERS';
    for (const problem of judgement.problems) details.push(`${name}: ${problem}`);
  }
  if (details.length === 0) return;
  if (onlyParameters) {
    throw new QrunError('PARAMETERS', 'the parameters do not fit the setup files', {
      details,
      hint: 'give each {name:Type} of the SQL one value: --param name=value',
    });
  }
  throw new QrunError('SQL_INVALID', 'the setup would prepare data other than intended', {
    details,
    hint: 'put the values in; --allow-placeholder NAME runs a word that only looks like a placeholder',
  });
}

/** Returns those of the parameters that setup files use. */
export function usedParameters(files: readonly SetupFile[], parameters: Parameters): Parameters {
  const names = setupParameterNames(files);
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => names.has(name)));
}

/** Returns a chain as it is named and noted. */
export function chainOf(files: readonly SetupFile[]): ChainFile[] {
  return files.map(({ name, fingerprint }) => ({ file: name, fingerprint }));
}

/** What setup files are run with. */
export interface SetupDeps {
  readonly engine: Engine;
  readonly settings: Settings;
  readonly parameters: Parameters;
  readonly clock: Clock;
  readonly emit: EventSink;
  /** Ends the chain before its next statement. */
  readonly drain: AbortSignal;
  /** Cancels the running statement. */
  readonly abort: AbortSignal;
  /** Whether credentials of the SQL are hidden in messages; the default is `true`. */
  readonly redact?: boolean;
  /** Where they run, for people; only if that is not this machine. */
  readonly where?: { readonly target: string; readonly database: string | undefined };
}

/**
 * Runs setup files one after the other, each to its end.
 *
 * Errors: QrunError `SETUP_FAILED` with ClickHouse's message, `ENGINE_LOST` when the engine went away; the reason of
 * the signal that stopped it. Those after the first that fails have not run.
 */
export async function runChain(deps: SetupDeps, files: readonly SetupFile[]): Promise<void> {
  for (const file of files) await runSetup(deps, file);
}

/**
 * Runs setup files on every server of an engine, file by file, each to its end. A file that says ON CLUSTER runs on the
 * first one only: the servers pass it on to each other.
 *
 * Errors: as {@link runSetup}; QrunError `ENGINE_UNREACHABLE` if one of several servers does not answer, because it would
 * lack what the setup makes.
 */
async function runChainOnAll(
  deps: Omit<SetupDeps, 'where'>,
  database: string | undefined,
  files: readonly SetupFile[],
): Promise<void> {
  const { engine } = deps;
  const servers = engine.members?.() ?? [engine];
  const { servers: named = [] } = engine.info;
  if (servers.length < named.length) {
    const known = servers.map(({ info }) => info.target);
    const absent = named.filter(({ target }) => !known.includes(target)).map(({ target }) => target);
    throw new QrunError('ENGINE_UNREACHABLE', `--setup: ${absent.join(', ')} cannot be prepared now`, {
      hint: 'the setup runs on every server: wait until all answer, or name only those that do',
    });
  }
  for (const file of files) {
    for (const server of servers) {
      await runSetup({ ...deps, engine: server, where: { target: server.info.target, database } }, file);
      if (saysOnCluster(file)) break;
    }
  }
}

function saysOnCluster({ query }: SetupFile): boolean {
  return query.statements.some(({ text }) => /\bON\s+CLUSTER\b/i.test(text));
}

/**
 * Runs a chain on a server, or on each of several, in `locked`, while nobody else prepares them. Returns the database in
 * which it ran: the one that the server names, otherwise `database`. Only people read it, so a server that does not say
 * is prepared all the same.
 *
 * Errors: as {@link runChainOnAll}, and those of `locked`.
 */
export async function prepareServer(
  deps: Omit<SetupDeps, 'where'>,
  { files, database }: { readonly files: readonly SetupFile[]; readonly database: string | undefined },
  locked: (work: () => Promise<void>) => Promise<void>,
): Promise<string | undefined> {
  const [row] = await ask(deps, 'SELECT currentDatabase() AS name').catch(() => []);
  const present = typeof row?.name === 'string' ? row.name : database;
  await locked(() => runChainOnAll(deps, present, files));
  return present;
}

async function runSetup(deps: SetupDeps, file: SetupFile): Promise<void> {
  const { engine, settings, parameters, clock, emit, drain, abort, where } = deps;
  drain.throwIfAborted();
  emit({ type: 'setup_started', file: file.name });
  const request = {
    query: file.query,
    queryId: `qrun-setup-${file.fingerprint}-${clock.nowMs().toString(36)}`,
    parameters,
    settings,
    timeoutMs: file.query.overrides.timeoutMs ?? 0,
    signal: abort,
    drain,
  };
  const result = await engine.run(request);
  if (!result.ok) {
    const failure = deps.redact === false ? result.failure : redactFailure(result.failure, request);
    if (failure.name === 'ABORTED') {
      abort.throwIfAborted();
      drain.throwIfAborted();
    }
    throw new QrunError(
      failure.serverGone ? 'ENGINE_LOST' : 'SETUP_FAILED',
      `${file.name} failed: ${failure.message}`,
      {
        hint: 'nothing else was run; setup files may run several times, so let them drop what they create',
      },
    );
  }
  await result.body.dispose();
  const duration_ms = Math.round(result.durationMs);
  emit({
    ...{ type: 'setup_done', file: file.name, duration_ms },
    ...{ target: where?.target ?? null, database: where?.database ?? null },
  });
}

/**
 * Returns the rows of a short query of qrun's own. `settings` override those that all queries have.
 *
 * Errors: QrunError `SETUP_FAILED` with ClickHouse's message; the reason of the signal that stopped it.
 */
export async function ask(
  deps: Pick<SetupDeps, 'engine' | 'clock' | 'abort'>,
  sql: string,
  settings: Settings = {},
): Promise<Record<string, unknown>[]> {
  const { engine, clock, abort } = deps;
  const result = await engine.run({
    query: parseQuery(sql),
    queryId: `qrun-setup-ask-${clock.nowMs().toString(36)}-${(asked++).toString(36)}`,
    parameters: {},
    settings,
    timeoutMs: ASK_LIMIT_MS,
    signal: abort,
  });
  if (!result.ok) {
    if (result.failure.name === 'ABORTED') abort.throwIfAborted();
    throw new QrunError('SETUP_FAILED', `cannot look at what the setup made: ${result.failure.message}`);
  }
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of result.body.chunks()) chunks.push(chunk);
    return rowsOf(Buffer.concat(chunks));
  } finally {
    await result.body.dispose();
  }
}

// Each of these queries reads a small system table.
const ASK_LIMIT_MS = 60_000;
let asked = 0;
