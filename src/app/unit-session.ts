import { type ExitCode, QrunError } from '../core/errors.js';
import type { EventSink, RunSummary } from '../core/events.js';
import { type FingerprintInputs, fingerprinter } from '../core/fingerprint.js';
import type { HaltPolicy } from '../core/halt.js';
import { inflightName } from '../core/inflight.js';
import type { Settings } from '../core/model.js';
import type { Rerun } from '../core/plan.js';
import { RECORD_SCHEMA_VERSION } from '../core/record.js';
import type { Selection } from '../core/selection.js';
import type { Engine } from '../io/engine.js';
import type { InflightJournal, InflightOptions } from '../io/inflight.js';
import type { Lease } from '../io/lease.js';
import type { ResultLog } from '../io/log.js';
import type { RunEntry, RunStart } from '../io/run-sidecar.js';
import type { UnitSource } from '../io/unit-files.js';
import { planRun, type RunPlan, readAgain } from './plan-unit.js';
import { type Clock, queriesAtOnce, type RunDeps, runUnit } from './run-unit.js';
import { prepareDataDirectory, runSetup, type SetupFile, type SetupNotes } from './setup.js';
import { Suspects, suspectsNotice } from './suspects.js';

/** One unit with everything that decides what is run and recorded. */
export interface UnitRequest {
  readonly run: string;
  readonly unit: string;
  readonly directory: string;
  readonly inputs: FingerprintInputs;
  /** All settings of the user, also those that change no result. */
  readonly settings: Settings;
  readonly selection: Selection;
  readonly limit: number | undefined;
  readonly rerun: Rerun;
  readonly allowPlaceholders: boolean;
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly retries: number;
  readonly outageLimitMs: number;
  readonly halt: HaltPolicy | undefined;
  readonly rowsPerQuery: number | undefined;
  /** Whether setup files run on a server. */
  readonly setup: boolean;
  readonly drain: AbortSignal;
  readonly abort: AbortSignal;
  readonly stopExitCode?: () => ExitCode | undefined;
}

/** What the sidecar says about who runs. */
export type RunIdentity = Pick<
  RunStart,
  'user' | 'host' | 'pid' | 'qrun' | 'node' | 'arguments' | 'git_commit'
>;

/** What a unit's run uses of the world; each opens on its first use, in this order. */
export interface UnitDeps {
  readonly source: UnitSource;
  readonly identity: () => Promise<RunIdentity>;
  readonly takeLease: () => Promise<Lease>;
  readonly openLog: () => Promise<ResultLog>;
  readonly readRuns: () => readonly RunEntry[];
  readonly appendRun: (entry: RunEntry) => Promise<void>;
  readonly readSetupFiles: () => readonly SetupFile[];
  readonly openEngine: () => Promise<Engine>;
  readonly freeDescriptors?: () => number | undefined;
  /** Opens the journal of what is in flight; called for an engine that dies with the process. */
  readonly openInflight?: (options: Omit<InflightOptions, 'logPath'>) => Promise<InflightJournal>;
  readonly setupNotes: SetupNotes;
  /** Told when the plan stands, with the number of queries that are due. */
  readonly onPlanned?: (due: number) => void;
  readonly withSetupLock: <T>(work: () => Promise<T>) => Promise<T>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly emit: EventSink;
}

/**
 * Runs a unit from its lease to its summary.
 *
 * Order: lease, log (read, repaired), plan (every file read and checked), and only then the engine; with
 * nothing due no engine is opened. Everything opened is closed in reverse, on errors too.
 *
 * Errors: QrunError of each step; nothing was started when it is one of exit code 2 or 22.
 */
export async function runUnitSession(deps: UnitDeps, request: UnitRequest): Promise<RunSummary> {
  const { clock, emit } = deps;
  // The cheapest check first: a mistyped directory must not leave a lease and a log behind.
  deps.source.list();
  const identity = deps.identity();
  const lease = await deps.takeLease();
  try {
    deps.readRuns();
    const log = await deps.openLog();
    try {
      if (log.onNetwork) {
        emit({
          type: 'warning',
          message: `${log.path} is on a network file system: appends are slower there`,
        });
      }
      const setup = deps.readSetupFiles();
      const plan = await planRun({ ...request, source: deps.source }, log.final, request.drain);
      deps.onPlanned?.(plan.due.total);
      if (plan.due.total === 0) return await runPlanned(deps, request, plan, log, NO_ENGINE);
      const engine = await openUnlessStopped(deps, request);
      if (engine === undefined) return await runPlanned(deps, request, plan, log, NO_ENGINE);
      try {
        if (plan.usesParameters && !engine.info.supportsParameters) {
          throw new QrunError(
            'PARAMETERS',
            `ClickHouse ${engine.info.version} at ${engine.info.target} does not know {name:Type} parameters`,
            { hint: 'they came with ClickHouse 19.14: use a newer server, or write the values into the SQL' },
          );
        }
        emit({
          type: 'run_started',
          run: request.run,
          unit: request.unit,
          directory: request.directory,
          log: log.path,
          engine: engine.info.kind,
          version: engine.info.version,
          target: engine.info.target,
          concurrency: queriesAtOnce(engine, request.concurrency),
          selected: plan.settled + plan.keptErrors + plan.due.total,
          settled: plan.settled,
          due: plan.due.total,
        });
        await prepare(deps, request, engine, setup);
        await deps.appendRun(startEntry(deps, request, engine, await identity));
        const summary = await runWatched(deps, request, plan, log, engine);
        await deps.appendRun({
          event: 'end',
          run: request.run,
          at: new Date(clock.nowMs()).toISOString(),
          recorded: summary.recorded,
          records: summary.records,
          not_run: summary.not_run,
          exit_code: summary.exit_code,
        });
        return summary;
      } finally {
        await engine.close();
      }
    } finally {
      await log.close();
    }
  } finally {
    lease.release();
  }
}

// A stop that comes before the engine is there leaves nothing to end and nothing to record.
async function openUnlessStopped(deps: UnitDeps, { drain }: UnitRequest): Promise<Engine | undefined> {
  try {
    return drain.aborted ? undefined : await deps.openEngine();
  } catch (error) {
    if (drain.aborted) return undefined;
    throw error;
  }
}

// With a journal of what is in flight, where the engine dies with the process.
async function runWatched(
  deps: UnitDeps,
  request: UnitRequest,
  plan: RunPlan,
  log: ResultLog,
  engine: Engine,
): Promise<RunSummary> {
  const { emit, openInflight } = deps;
  if (engine.info.diesWithProcess !== true || openInflight === undefined)
    return await runPlanned(deps, request, plan, log, engine);
  const inflight = await openInflight({
    run: request.run,
    slots: queriesAtOnce(engine, request.concurrency),
    finalOf: finalStates(log),
    onTrouble: message => emit({ type: 'warning', message }),
  });
  const onDrain = (): void => inflight.stopping();
  const onAbort = (): void => inflight.clear();
  request.drain.addEventListener('abort', onDrain);
  request.abort.addEventListener('abort', onAbort);
  if (request.drain.aborted) onDrain();
  if (request.abort.aborted) onAbort();
  try {
    const suspects = new Suspects(inflight.suspects);
    if (suspects.size > 0) {
      const last = plan.due.postpone((name, print) => suspects.rank(name, print));
      const run = last.filter(({ name, fingerprint }) => suspects.verdict(name, fingerprint) === undefined);
      const message = suspectsNotice(run.map(({ name }) => name));
      if (message !== undefined) emit({ type: 'warning', message });
    }
    return await runPlanned(deps, request, plan, log, engine, { inflight, suspects });
  } finally {
    request.drain.removeEventListener('abort', onDrain);
    request.abort.removeEventListener('abort', onAbort);
    inflight.close();
  }
}

// By a query's name in the journal, which is not the query's where that is too long.
function finalStates({ final }: ResultLog): InflightOptions['finalOf'] {
  return name => {
    const known = final.get(name);
    if (known !== undefined || !name.startsWith('sha256:')) return known;
    for (const query of final.keys()) if (inflightName(query) === name) return final.get(query);
    return undefined;
  };
}

async function runPlanned(
  deps: UnitDeps,
  request: UnitRequest,
  plan: RunPlan,
  log: ResultLog,
  engine: Engine,
  watch: Pick<RunDeps, 'inflight' | 'suspects'> = {},
): Promise<RunSummary> {
  const { clock, emit, random } = deps;
  const summary = await runUnit(
    {
      engine,
      log,
      read: name => readAgain(deps.source, name),
      fingerprint: fingerprinter(request.inputs),
      clock,
      random,
      emit,
      ...(deps.freeDescriptors === undefined ? {} : { freeDescriptors: deps.freeDescriptors }),
      ...watch,
    },
    { ...request, plan, parameters: request.inputs.parameters },
  );
  emit({ type: 'run_ended', ...summary });
  return summary;
}

async function prepare(
  deps: UnitDeps,
  request: UnitRequest,
  engine: Engine,
  files: readonly SetupFile[],
): Promise<void> {
  const { clock, emit } = deps;
  const context = { engine, settings: request.settings, clock, emit, signal: request.abort };
  if (engine.info.kind === 'embedded') {
    await prepareDataDirectory(context, files, deps.setupNotes);
    return;
  }
  if (!request.setup) return;
  if (files.length === 0) {
    throw new QrunError('USAGE', `--setup: there is no _setup.sql in ${request.directory} or above it`, {
      hint: 'leave --setup away, or write one',
    });
  }
  await deps.withSetupLock(async () => {
    for (const file of files) await runSetup(context, file);
  });
}

function startEntry(deps: UnitDeps, request: UnitRequest, engine: Engine, identity: RunIdentity): RunStart {
  return {
    event: 'start',
    schema: RECORD_SCHEMA_VERSION,
    run: request.run,
    unit: request.unit,
    at: new Date(deps.clock.nowMs()).toISOString(),
    ...identity,
    directory: request.directory,
    engine: engine.info.kind,
    server_version: engine.info.version,
    target: engine.info.target,
    settings: request.inputs.settings,
    rows_per_query: request.rowsPerQuery ?? null,
  };
}

// Stands in when nothing is due, so that no server is needed to learn that.
const NO_ENGINE: Engine = {
  info: { kind: 'embedded', version: '', target: '', supportsParameters: true, slots: 0 },
  run: () => Promise.reject(new Error('no query was due')),
  ping: async () => undefined,
  close: async () => {},
};
