import { sameChain } from '../../core/engines/data-note.js';
import { isInterruption, QrunError } from '../../core/errors.js';
import { RECORD_SCHEMA_VERSION } from '../../core/log/record.js';
import type { EventSink, RunSummary } from '../../core/unit/events.js';
import { fingerprinter } from '../../core/unit/fingerprint.js';
import { inflightName } from '../../core/unit/inflight.js';
import { sharedLines } from '../../core/unit/judge.js';
import type { Engine } from '../../io/engines/engine.js';
import type { InflightJournal, InflightOptions } from '../../io/log/inflight.js';
import type { Lease } from '../../io/log/lease.js';
import type { ResultLog } from '../../io/log/result-log.js';
import type { RunEntry, RunSetup, RunStart } from '../../io/log/run-sidecar.js';
import type { UnitSource } from '../../io/unit/unit-files.js';
import { refuseMissingTables } from '../setup/missing-tables.js';
import { chainOf, checkSetupFiles, prepareServer, type SetupFile } from '../setup/setup.js';
import { type PlanOptions, planUnit, queryReader, type UnitPlan } from './plan.js';
import { follow, runUnit } from './pool.js';
import type { RunDeps, RunRules } from './run-options.js';
import { SummaryBuilder, selectedBy } from './summary.js';
import { Suspects, suspectsNotice } from './suspects.js';

/** One unit with everything that decides what is run and recorded. */
export interface UnitRequest extends RunRules, Omit<PlanOptions, 'source' | 'bad'> {
  readonly directory: string;
  readonly rowsPerQuery: number | undefined;
  /** The names of all setup files, whether they are to run or not. */
  readonly setupNames?: readonly string[];
  /** Whether setup files run on a server. */
  readonly setup: boolean;
}

/** What the sidecar says about who runs. */
export type RunIdentity = Pick<
  RunStart,
  'user' | 'host' | 'pid' | 'qrun' | 'node' | 'arguments' | 'git_commit'
>;

/** What a unit's run uses of its environment; each is opened on first use, in this order. */
export interface UnitDeps extends Pick<RunDeps, 'clock' | 'random' | 'emit' | 'freeDescriptors'> {
  readonly source: UnitSource;
  readonly identity: () => Promise<RunIdentity>;
  readonly takeLease: () => Promise<Lease>;
  readonly openLog: () => Promise<ResultLog>;
  readonly readRuns: () => readonly RunEntry[];
  readonly appendRun: (entry: RunEntry) => Promise<void>;
  /** The chain of setup files if it is to run: always with the embedded engine, on a server only on request. */
  readonly readSetupFiles: () => readonly SetupFile[];
  /** Opens the engine; the embedded one on the data that the chain has made. */
  readonly openEngine: (setup: readonly SetupFile[]) => Promise<Engine>;
  /** Opens the journal of what is in flight; called for an engine that dies with the process. */
  readonly openInflight?: (options: Omit<InflightOptions, 'logPath'>) => Promise<InflightJournal>;
  /** Called before the plan is made, with the number of files. */
  readonly onListed?: (files: number) => void;
  /** Called when the plan is ready, with the number of due queries. */
  readonly onPlanned?: (due: number) => void;
  /** Runs `work` when nobody else prepares the server; an abort of `signal` ends the wait for it. */
  readonly withSetupLock: <T>(work: () => Promise<T>, signal: AbortSignal) => Promise<T>;
}

// A unit whose engine is open.
interface Opened {
  readonly deps: UnitDeps;
  readonly request: UnitRequest;
  readonly setup: readonly SetupFile[];
  readonly plan: UnitPlan;
  readonly log: ResultLog;
  readonly engine: Engine;
}

/**
 * Runs a unit from its lease to its summary.
 *
 * Order: lease, log (read, repaired), plan (every file read and checked), and only then the engine. If nothing is
 * due, no engine is opened. Everything opened is closed in reverse order, on errors too.
 *
 * Errors: QrunError of each step; with exit code 2 or 22, nothing was started.
 */
export async function runUnitSession(deps: UnitDeps, request: UnitRequest): Promise<RunSummary> {
  const { clock, emit } = deps;
  // The cheapest check first: a mistyped directory must not leave a lease and a log behind.
  deps.onListed?.(deps.source.list().length);
  const identity = deps.identity();
  const lease = await deps.takeLease();
  try {
    // Before the log is touched: this refuses one that a later version has written.
    const runs = deps.readRuns();
    const log = await deps.openLog();
    try {
      if (log.onNetwork) {
        emit({
          type: 'warning',
          message: `${log.path} is on a network file system: appends are slower there`,
        });
      }
      const setup = deps.readSetupFiles();
      checkSetupFiles(setup, { ...request, parameters: request.inputs.parameters });
      const bad = request.skipBad === true ? 'skip' : 'refuse';
      const plan = await planUnit({ ...request, source: deps.source, bad }, log.final, {
        signal: request.drain,
      });
      tellOfOtherFiles(plan, emit);
      deps.onPlanned?.(plan.due.total);
      const engine = plan.due.total === 0 ? undefined : await openUnlessStopped(deps, request, setup);
      if (engine === undefined) return runNothing(deps, request, plan, log);
      try {
        // More queries would only wait in the engine.
        const concurrency = Math.max(1, Math.min(request.concurrency, engine.info.permits));
        const opened = { deps, request: { ...request, concurrency }, setup, plan, log, engine };
        if (plan.usesParameters && engine.info.parametersLost === true) {
          throw new QrunError(
            'ENGINE_REFUSED',
            `the values of {name:Type} parameters do not reach ClickHouse: a proxy at ${engine.info.target} drops param_* from the URL`,
            { hint: "let the proxy pass URL parameters on as they are, or give the server's own address" },
          );
        }
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
          engine: engine.info.facts.name,
          version: engine.info.version,
          target: engine.info.target,
          concurrency,
          selected: selectedBy(plan),
          settled: plan.settled,
          due: plan.due.total,
        });
        for (const message of engine.info.notices ?? []) emit({ type: 'warning', message });
        const prepared = await prepare(opened);
        if (prepared === 'stopped') return runNothing(deps, request, plan, log);
        await refuseMissingTables(deps, plan, engine, request.abort);
        tellOfChange(opened, runs);
        await deps.appendRun(startEntry(opened, await identity, prepared));
        const summary = await runWatched(opened);
        await deps.appendRun({
          event: 'end',
          run: request.run,
          at: new Date(clock.nowMs()).toISOString(),
          recorded: summary.recorded,
          records: summary.records,
          not_run: summary.not_run,
          servers: summary.servers,
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

// How many lines are shown of what is left out; the summary has all of them.
const TOLD = 10;

function tellOfOtherFiles({ refused, cannotRun, noStatement }: UnitPlan, emit: EventSink): void {
  const files = (n: number): string => `${n} file${n === 1 ? '' : 's'}`;
  const told = (lines: readonly string[], separator: string): string => {
    const more = lines.length > TOLD ? [`and ${lines.length - TOLD} more`] : [];
    return [...lines.slice(0, TOLD), ...more].join(separator);
  };
  if (refused > 0) {
    const message = `${files(refused)} left out (--skip-bad): ${told(sharedLines(cannotRun), '; ')}`;
    emit({ type: 'warning', message });
  }
  if (noStatement.length > 0) {
    const names = told(
      noStatement.map(name => `${name}.sql`),
      ', ',
    );
    emit({ type: 'warning', message: `${files(noStatement.length)} without a statement left out: ${names}` });
  }
}

// A stop before the engine is open leaves nothing to end and nothing to record.
async function openUnlessStopped(
  deps: UnitDeps,
  { drain }: UnitRequest,
  setup: readonly SetupFile[],
): Promise<Engine | undefined> {
  try {
    return drain.aborted ? undefined : await deps.openEngine(setup);
  } catch (error) {
    if (isInterruption(error, drain)) return undefined;
    throw error;
  }
}

// With a journal of what is in flight, if the engine dies with the process.
async function runWatched(opened: Opened): Promise<RunSummary> {
  const { deps, request, plan, log, engine } = opened;
  const { emit, openInflight } = deps;
  if (!engine.info.facts.inProcess || openInflight === undefined) return await runPlanned(opened);
  const inflight = await openInflight({
    run: request.run,
    slots: request.concurrency,
    finalOf: finalStates(log),
    onTrouble: message => emit({ type: 'warning', message }),
  });
  const unlink = [
    follow(request.drain, () => inflight.stopping()),
    follow(request.abort, () => inflight.clear()),
  ];
  try {
    const suspects = new Suspects(inflight.suspects);
    if (suspects.size > 0) {
      const last = plan.due.postpone((name, print) => suspects.rank(name, print));
      const run = last.filter(({ name, fingerprint }) => suspects.verdict(name, fingerprint) === undefined);
      const message = suspectsNotice(run.map(({ name }) => name));
      if (message !== undefined) emit({ type: 'warning', message });
    }
    return await runPlanned(opened, { inflight, suspects });
  } finally {
    for (const undo of unlink) undo();
    inflight.close();
  }
}

// By the name in the journal, which differs from the query's name if that is too long.
function finalStates({ final }: ResultLog): InflightOptions['finalOf'] {
  return name => {
    const known = final.get(name);
    if (known !== undefined || !name.startsWith('sha256:')) return known;
    for (const [query, state] of final) if (inflightName(query) === name) return state;
    return undefined;
  };
}

async function runPlanned(
  { deps, request, plan, log, engine }: Opened,
  watch: Pick<RunDeps, 'inflight' | 'suspects'> = {},
): Promise<RunSummary> {
  const { inputs, setup, setupNames = [] } = request;
  const setupNotRun = engine.info.facts.data === 'directory' || setup ? [] : setupNames;
  const read = queryReader(deps.source, request);
  const summary = await runUnit(
    { ...deps, engine, log, read, fingerprint: fingerprinter(inputs), ...watch },
    { ...request, plan, parameters: inputs.parameters, setupNotRun },
  );
  deps.emit({ type: 'run_ended', ...summary });
  return summary;
}

// Nothing is due, or a stop came before the first query: the result needs no engine.
function runNothing(
  { emit }: UnitDeps,
  { run, unit, drain, abort, stopExitCode }: UnitRequest,
  plan: UnitPlan,
  log: ResultLog,
): RunSummary {
  for (const [how, signal] of [
    ['drain', drain],
    ['abort', abort],
  ] as const) {
    if (signal.aborted) emit({ type: 'stopping', how, reason: String(signal.reason) });
  }
  const summary = new SummaryBuilder({ run, unit, plan }, log.path).build({
    records: log.records,
    elapsedMs: 0,
    stopped: drain.aborted ? String(drain.reason) : undefined,
    exitCode: drain.aborted ? stopExitCode?.() : undefined,
  });
  emit({ type: 'run_ended', ...summary });
  return summary;
}

// Runs the setup on a server. `stopped`: a signal ended it early.
async function prepare({
  deps,
  request,
  setup: files,
  engine,
}: Opened): Promise<RunSetup | 'stopped' | undefined> {
  const { clock, emit, withSetupLock } = deps;
  const { drain, abort, inputs, settings, redact = true } = request;
  const chain = chainOf(files);
  if (engine.info.facts.data === 'directory')
    return files.length === 0 ? undefined : { files: chain, database: null };
  if (!request.setup) return undefined;
  if (files.length === 0) {
    throw new QrunError('USAGE', `--setup: there is no _setup.sql in ${request.directory} or above it`, {
      hint: 'omit --setup, or write one',
    });
  }
  const { parameters } = inputs;
  try {
    const database = await prepareServer(
      { engine, settings, parameters, redact, clock, emit, drain, abort },
      { files, database: inputs.settings.database },
      work => withSetupLock(work, drain),
    );
    return { files: chain, database: database ?? null };
  } catch (error) {
    if (error === drain.reason || error === abort.reason) return 'stopped';
    throw error;
  }
}

// Data is not part of a fingerprint: results on the data of another chain stay settled.
function tellOfChange({ deps, plan, setup, engine }: Opened, runs: readonly RunEntry[]): void {
  if (engine.info.facts.data !== 'directory' || plan.settled === 0) return;
  const before = runs.findLast((entry): entry is RunStart => entry.event === 'start')?.setup;
  if (before == null || sameChain(before.files, chainOf(setup))) return;
  deps.emit({
    type: 'warning',
    message:
      'the setup changed, so the data was prepared again; results recorded on the old data stay settled ' +
      '(--rerun all runs them again)',
  });
}

function startEntry(
  { deps, request, engine }: Opened,
  identity: RunIdentity,
  setup: RunSetup | undefined,
): RunStart {
  return {
    event: 'start',
    schema: RECORD_SCHEMA_VERSION,
    run: request.run,
    unit: request.unit,
    at: new Date(deps.clock.nowMs()).toISOString(),
    ...identity,
    directory: request.directory,
    engine: engine.info.facts.name,
    server_version: engine.info.version,
    target: engine.info.target,
    servers:
      engine.info.servers?.map(({ target, version }) => ({ target, version: version ?? null })) ?? null,
    settings: request.inputs.settings,
    rows_per_query: request.rowsPerQuery ?? null,
    setup: setup ?? null,
  };
}
