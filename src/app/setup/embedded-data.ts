import { type DataInputs, dataIdentity } from '../../core/engines/data-note.js';
import { QrunError } from '../../core/errors.js';
import type { Parameters, Settings } from '../../core/model.js';
import type { EventSink } from '../../core/unit/events.js';
import type { DataOwner, DataStore, HeldData } from '../../io/engines/embedded/data/store.js';
import type { Engine } from '../../io/engines/engine.js';
import type * as SetupState from '../../io/engines/setup-state.js';
import { ask, chainOf, runChain, type SetupDeps, type SetupFile, usedParameters } from './setup.js';

/** What preparing embedded data uses of its environment. */
export interface EmbeddedDataDeps extends Omit<SetupDeps, 'engine' | 'settings' | 'parameters' | 'where'> {
  /** Opens the engine on a directory; `brief`: for the setup alone, one statement at a time. */
  readonly open: (dataDirectory: string, brief: boolean) => Promise<Engine>;
}

/** The chain of a unit, with everything that decides what it makes. */
export interface DataRequest {
  readonly files: readonly SetupFile[];
  readonly parameters: Parameters;
  /** All settings of the user; the setup runs with them. */
  readonly settings: Settings;
  /** Those that can change a result, with database and time zone. */
  readonly resultSettings: Settings;
  /** The version of the engine. */
  readonly engine: string;
}

function inputsOf(request: DataRequest): DataInputs {
  return {
    chain: chainOf(request.files),
    parameters: usedParameters(request.files, request.parameters),
    settings: request.resultSettings,
    engine: request.engine,
  };
}

/**
 * Opens the engine on a unit's own copy of the data that its chain of setup files makes. The data is made first if it
 * does not exist. Data whose preparation was interrupted, however that happened, is never opened. Closing the engine
 * gives the copy back.
 *
 * Errors: QrunError of the setup (`SETUP_FAILED`, `CONFIG`, `DATA_LOCKED`) and of opening; the reason of the signal
 * that stopped it. Nothing incomplete remains under a name that counts.
 */
export async function openOwnData(
  deps: EmbeddedDataDeps,
  store: DataStore,
  owner: DataOwner & { readonly key: string },
  request: DataRequest,
): Promise<Engine> {
  const { key, ...who } = owner;
  const held = await store.hold(dataIdentity(inputsOf(request)), key, who);
  try {
    if (request.files.length === 0) return releasing(await deps.open(held.directory, false), held);
    return releasing(await openHeld(deps, held, request), held);
  } catch (error) {
    held.release();
    throw error;
  }
}

async function openHeld(deps: EmbeddedDataDeps, held: HeldData, request: DataRequest): Promise<Engine> {
  const { emit, drain } = deps;
  let state = held.state();
  if (state === 'built' || state === 'missing') {
    const onWait = (holder: string): void =>
      emit({ type: 'warning', message: `waiting for ${holder}, which prepares the same data` });
    const opened = await held.locked(drain, onWait, async () => {
      // Another process may have done it meanwhile.
      state = held.state();
      if (state === 'built') await held.copy();
      if (state !== 'missing') return undefined;
      return await build(deps, held, request);
    });
    if (opened !== undefined) return opened;
    state = held.state();
  }
  if (state === 'ready') return await deps.open(held.directory, false);
  if (state !== 'fleeting') throw new Error(`the data is ${state} although it was prepared`);
  const path = await held.newWork();
  try {
    const engine = await deps.open(path, false);
    try {
      await runAndLook(setupDeps(deps, engine, request), request.files);
    } catch (error) {
      await engine.close();
      throw error;
    }
    return closing(engine, () => held.discard(path));
  } catch (error) {
    await held.discard(path);
    throw error;
  }
}

// Builds the data aside and opens a copy of it. Gives it its name only if the copy holds the same. `undefined`: the
// chain leaves something that ends with the process.
async function build(
  deps: EmbeddedDataDeps,
  held: HeldData,
  request: DataRequest,
): Promise<Engine | undefined> {
  const inputs = inputsOf(request);
  const identity = dataIdentity(inputs);
  const madeAt = new Date(deps.clock.nowMs()).toISOString();
  const path = await held.newBuild();
  try {
    const before = await buildIn(path, deps, request);
    await held.seal(path, inputs, identity, madeAt);
    await held.copy(path);
    const engine = await deps.open(held.directory, false);
    try {
      const lost = lostTables(before, (await look(setupDeps(deps, engine, request))).tables);
      if (lost.length === 0) {
        await held.publish(path);
        return engine;
      }
      tellFleeting(deps.emit, lost);
    } catch (error) {
      await engine.close();
      throw error;
    }
    await engine.close();
  } catch (error) {
    await held.discard(path);
    await held.discard(held.directory);
    throw error;
  }
  await held.discard(path);
  await held.discard(held.directory);
  const empty = await held.newBuild();
  await held.seal(empty, inputs, identity, madeAt, false);
  await held.publish(empty);
  return undefined;
}

/**
 * Opens the engine on a directory that the user manages, whose notes `notes` reads and writes. The whole chain runs
 * there first, unless it is the one that last ran there. The note of the last chain is gone before the first statement
 * runs.
 *
 * Errors: as {@link openOwnData}; `CONFIG` for a directory with something else in it.
 */
export async function openManagedData(
  deps: EmbeddedDataDeps,
  directory: string,
  notes: typeof SetupState,
  request: DataRequest,
): Promise<Engine> {
  notes.checkDataDirectory(directory);
  // Its files may be of any version of the engine.
  const identity = dataIdentity({ ...inputsOf(request), engine: '' });
  if (request.files.length === 0 || notes.readSetupNote(directory) === identity) {
    return await deps.open(directory, false);
  }
  // Opened first: a directory that another process works on keeps its note.
  let engine = await deps.open(directory, true);
  let before: Tables;
  try {
    await notes.removeSetupNote(directory);
    before = await runAndLook(setupDeps(deps, engine, request), request.files);
  } finally {
    await engine.close();
  }
  await notes.syncData(directory);
  engine = await deps.open(directory, false);
  try {
    const lost = lostTables(before, (await look(setupDeps(deps, engine, request))).tables);
    if (lost.length > 0) {
      // Without a note it runs at each start.
      tellFleeting(deps.emit, lost);
      await runAndLook(setupDeps(deps, engine, request), request.files);
      return engine;
    }
    await notes.writeSetupNote(directory, identity);
    return engine;
  } catch (error) {
    await engine.close();
    throw error;
  }
}

async function buildIn(path: string, deps: EmbeddedDataDeps, request: DataRequest): Promise<Tables> {
  const engine = await deps.open(path, true);
  try {
    return await runAndLook(setupDeps(deps, engine, request), request.files);
  } finally {
    await engine.close();
  }
}

// Runs the chain, waits for everything that it began, and returns what is there then.
async function runAndLook(deps: SetupDeps, files: readonly SetupFile[]): Promise<Tables> {
  await runChain(deps, files);
  for (;;) {
    deps.drain.throwIfAborted();
    const { tables, open, why } = await look(deps);
    if (open === 0) return tables;
    if (why !== '') {
      throw new QrunError('SETUP_FAILED', `a change of the setup cannot be made: ${why}`, {
        hint: 'nothing else was run; correct the ALTER TABLE ... UPDATE or DELETE',
      });
    }
    await deps.clock.delay(MUTATION_WAIT_MS, deps.drain);
  }
}

function setupDeps(deps: EmbeddedDataDeps, engine: Engine, request: DataRequest): SetupDeps {
  const { settings, parameters } = request;
  return { ...deps, engine, settings, parameters };
}

// By name, with the engine, and with the number of rows where it is known and changes only by a loss.
type Tables = ReadonlyMap<string, { readonly engine: string; readonly rows: number | undefined }>;

// The parts of a MergeTree are files, but merges may remove rows; a dictionary is loaded when it is used. ALTER TABLE
// ... UPDATE has only begun when its statement returns.
const LOOK = `SELECT concat(database, '.', name) AS name, engine,
if(engine LIKE '%MergeTree' OR engine = 'Dictionary', NULL, total_rows) AS n, '' AS why
FROM system.tables WHERE NOT is_temporary
AND database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA')
UNION ALL SELECT '', '', count(), max(latest_fail_reason) FROM system.mutations WHERE NOT is_done`;

// What the user sets for the queries must not cut these answers.
const UNLIMITED: Settings = {
  ...{ limit: '0', offset: '0', max_result_rows: '0', max_result_bytes: '0' },
  ...{ max_rows_to_read: '0', max_bytes_to_read: '0' },
};

async function look(deps: SetupDeps): Promise<{ tables: Tables; open: number; why: string }> {
  type Row = { name: string; engine: string; n: number | null; why: string };
  const rows = (await ask(deps, LOOK, UNLIMITED)) as Row[];
  const mutations = rows.find(({ name }) => name === '');
  if (mutations === undefined) throw new Error('the engine gave no number of mutations');
  const tables = rows
    .filter(row => row !== mutations)
    .map(({ name, engine, n }) => [name, { engine, rows: n === null ? undefined : Number(n) }] as const);
  return { tables: new Map(tables), open: Number(mutations.n), why: mutations.why };
}

function lostTables(before: Tables, after: Tables): string[] {
  return [...before].flatMap(([name, was]) => {
    const is = after.get(name);
    const same = was.rows === undefined || is?.rows === undefined || is.rows === was.rows;
    return is?.engine === was.engine && same ? [] : [`${name} (${was.engine})`];
  });
}

function tellFleeting(emit: EventSink, lost: readonly string[]): void {
  const more = lost.length > 3 ? ` and ${lost.length - 3} more` : '';
  emit({
    type: 'warning',
    message:
      `the setup makes tables that end with the process: ${lost.slice(0, 3).join(', ')}${more}; ` +
      'it will run at every start (with ENGINE = MergeTree it would run once)',
  });
}

const MUTATION_WAIT_MS = 50;

function releasing(engine: Engine, held: HeldData): Engine {
  return closing(engine, async () => held.release());
}

function closing(engine: Engine, then: () => Promise<void>): Engine {
  let closed: Promise<void> | undefined;
  return {
    info: engine.info,
    run: request => engine.run(request),
    ping: signal => engine.ping(signal),
    close() {
      closed ??= engine.close().finally(then);
      return closed;
    },
  };
}
