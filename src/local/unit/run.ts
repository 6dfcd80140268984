import { relative } from 'node:path';
import { runUnitSession, type UnitDeps, type UnitRequest } from '../../app/unit/session.js';
import { factsOf } from '../../core/engines/facts.js';
import type { ExitCode } from '../../core/errors.js';
import type { EventSink, RunSummary } from '../../core/unit/events.js';
import { withSetupLock } from '../../io/engines/setup-state.js';
import { orWriteError } from '../../io/files/failures.js';
import { FileLock } from '../../io/files/flock.js';
import { makeDirectories } from '../../io/files/write-file.js';
import { localDisk } from '../../io/log/disk.js';
import { takeLease } from '../../io/log/lease.js';
import { ResultLog } from '../../io/log/result-log.js';
import { appendRun, readRuns } from '../../io/log/run-sidecar.js';
import { systemClock } from '../../io/machine/clock.js';
import { countDescriptors } from '../../io/machine/descriptors.js';
import { thisProcess } from '../../io/machine/this-process.js';
import { taskContext } from '../../io/queue/queues.js';
import { gitCommit } from '../../io/unit/git-commit.js';
import { directorySource, findSetupFiles, KEPT_BYTES } from '../../io/unit/unit-files.js';
import type { Surroundings } from '../config/sweep-context.js';
import { type ChosenConcurrency, withConcurrency } from './concurrency.js';
import { oneOfServers, type RunnableContext, type UnitContext } from './context.js';
import { withinDescriptors } from './descriptors.js';
import { openEventsOf } from './events.js';
import { openEmbeddedData, openServer } from './open-engine.js';
import { newRunId } from './run-id.js';
import { setupFilesOf, usedBySetup } from './setup-files.js';

// No slot waits for it (except a single one), and at thousands of small queries a second it halves the syncs.
const GATHER_MS = 2;

/** How a run is watched and stopped by whoever starts it. */
export interface RunWatch {
  /** First stop: start nothing new, finish what runs. */
  readonly drain: AbortSignal;
  /** Second stop: cancel what runs. It comes after `drain`, or with it. */
  readonly abort: AbortSignal;
  /** Must not throw. */
  readonly onEvent: EventSink;
  /** The exit code of a run that a stop ended early; 25 if omitted. */
  readonly stopExitCode?: () => ExitCode | undefined;
  /** The command line without secrets, for the sidecar. */
  readonly arguments?: readonly string[];
  /** Called when `concurrency: 'auto'` has become a number. */
  readonly onConcurrency?: (chosen: ChosenConcurrency) => void;
  /** Called before the plan is made, with the number of files. */
  readonly onListed?: (files: number) => void;
  /** Called when the plan is ready, with the number of due queries; nothing has to be finished before that. */
  readonly onPlanned?: (due: number) => void;
}

/**
 * Runs a unit in this process, from its lease to its summary, with everything that its configuration asks for.
 *
 * Errors: QrunError of each step; a stop before anything is planned rejects with its reason.
 */
export async function runIn(
  given: UnitContext,
  { cwd, env }: Surroundings,
  watch: RunWatch,
): Promise<RunSummary> {
  const inQueue = taskContext(env) !== undefined;
  const { context, warning } = withinDescriptors(await withConcurrency(given, inQueue, watch.onConcurrency));
  const warn = (sink: EventSink) => (message: string) => sink({ type: 'warning', message });
  const events = openEventsOf(context, cwd, warn(watch.onEvent));
  const emit: EventSink = event => {
    // First: whoever listens may change the event.
    events?.sink(event);
    watch.onEvent(event);
  };
  try {
    context.notices.forEach(warn(emit));
    if (warning !== undefined) warn(emit)(warning);
    const request = requestOf(context, watch);
    return await runUnitSession(depsOf(context, request, env, { ...watch, onEvent: emit }), request);
  } finally {
    await events?.close();
  }
}

function requestOf(context: RunnableContext, { drain, abort, stopExitCode }: RunWatch): UnitRequest {
  const { config, inputs, unit, directory, root } = context;
  return {
    ...config,
    run: newRunId(),
    unit,
    directory,
    inputs,
    selection: config,
    oneOfServers: oneOfServers(config),
    timeoutMs: config.timeout,
    outageLimitMs: config.maxOutage,
    usedElsewhere: usedBySetup(context),
    setupNames: findSetupFiles(directory, root).map(path => relative(root, path)),
    drain,
    abort,
    ...(stopExitCode === undefined ? {} : { stopExitCode }),
  };
}

// What a run uses of this machine; each is opened on first use.
function depsOf(
  context: RunnableContext,
  { run, drain, abort }: UnitRequest,
  env: Surroundings['env'],
  { onEvent: emit, onListed, onPlanned, arguments: words = [] }: RunWatch,
): UnitDeps {
  const { config, unit, directory, root, logDirectory, logPath } = context;
  const self = thisProcess();
  const { host, pid } = self;
  return {
    source: directorySource(directory, KEPT_BYTES, context.linksWithin),
    ...(onListed === undefined ? {} : { onListed }),
    onPlanned: due => {
      // Read while a signal still ends the process.
      if (due > 0 && factsOf(config.engine).data === 'server') context.connections();
      onPlanned?.(due);
    },
    identity: async () => ({ ...self, arguments: words, git_commit: await gitCommit(directory, env) }),
    takeLease: async () => {
      await orWriteError(`the log directory ${logDirectory}`, 'choose a writable place with --log-dir', () =>
        makeDirectories(logDirectory),
      );
      return takeLease(logPath, unit, { pid, host, run, since: new Date().toISOString() });
    },
    openLog: async () =>
      ResultLog.open({
        path: logPath,
        unit,
        disk: localDisk,
        lock: await FileLock.open(`${logPath}.lock`),
        ...(config.concurrency === 1 ? {} : { gatherMs: GATHER_MS }),
        onRepair: ({ bytes, savedAs }) => emit({ type: 'log_repaired', bytes, saved_as: savedAs }),
      }),
    readRuns: () => readRuns(logPath),
    appendRun: entry => appendRun(logPath, entry),
    readSetupFiles: () => setupFilesOf(context),
    openEngine: setup =>
      factsOf(config.engine).data === 'directory'
        ? openEmbeddedData(context, setup, { clock: systemClock, emit, pid, drain, abort })
        : openServer(context, drain, message => emit({ type: 'warning', message })),
    withSetupLock: (work, signal) =>
      withSetupLock(root, work, { signal, onWait: message => emit({ type: 'warning', message }) }),
    freeDescriptors: () => {
      const count = countDescriptors();
      return count === undefined ? undefined : count.limit - count.open;
    },
    openInflight: async options => {
      const { InflightJournal } = await import('../../io/log/inflight.js');
      return InflightJournal.open({ ...options, logPath });
    },
    clock: systemClock,
    random: Math.random,
    emit,
  };
}
