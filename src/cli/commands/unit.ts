import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../../app/run-unit.js';
import { readSetupFile } from '../../app/setup.js';
import { runUnitSession, type UnitRequest } from '../../app/unit-session.js';
import { type ExitCode, QrunError } from '../../core/errors.js';
import type { EventSink, RunEvent, RunSummary } from '../../core/events.js';
import { fingerprinter } from '../../core/fingerprint.js';
import { countDescriptors } from '../../io/descriptors.js';
import { openEventsFile } from '../../io/events-file.js';
import { FileLock } from '../../io/flock.js';
import { gitCommit, whoAndWhere } from '../../io/identity.js';
import { takeLease } from '../../io/lease.js';
import { ResultLog } from '../../io/log.js';
import { localDisk, makeDirectories } from '../../io/log-file.js';
import { appendRun, readRuns } from '../../io/run-sidecar.js';
import { readAppliedSetup, withSetupLock, writeAppliedSetup } from '../../io/setup-state.js';
import { directorySource, findSetupFiles, KEPT_BYTES } from '../../io/unit-files.js';
import { withConcurrency } from '../advice.js';
import { type RunnableContext, type UnitContext, unitContext } from '../context.js';
import { withinDescriptors } from '../descriptors.js';
import { openEngine } from '../engine.js';
import { collectGarbage } from '../garbage.js';
import { configFlags, type Flags, flagName } from '../options.js';
import { createProgressView } from '../render/progress.js';
import { wantsLive } from '../render/style.js';
import { renderSummary } from '../render/summary.js';
import { shownArguments } from '../secrets.js';
import { listenForStops, SIGNAL_EXIT, type Stops } from '../signals.js';
import { runUnderCap } from '../supervise.js';
import type { Terminal } from '../terminal.js';
import { version } from '../version.js';
import { showPlan } from './plan.js';

// No slot waits for it (but one that is alone), and at thousands of small queries a second it halves the syncs.
const GATHER_MS = 2;

// Of fewer queries the plan leaves too little behind.
const LARGE_UNIT = 50_000;

/** `qrun unit DIR`: runs a unit; gives the exit code. Errors: QrunError of every step. */
export async function unitCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  if (flags.dryRun === true) return await showPlan(directory, flags, terminal);
  const given = unitContext(directory, configFlags(flags), terminal, flagName);
  refuseEventsInLog(given, terminal.cwd);
  const supervised = await runUnderCap(given, terminal);
  if (supervised !== undefined) return supervised;
  if (flags.why === true) {
    // With --json stdout is for the machine that reads it.
    const shown =
      flags.json === true ? { ...terminal, out: terminal.err, outStyle: terminal.errStyle } : terminal;
    await showPlan(directory, { ...flags, json: undefined }, shown);
  }
  const { context, warning } = withinDescriptors(
    await withConcurrency(given, terminal, flags.quiet === true),
  );
  const stops = listenForStops(terminal.proc, exitCode => endNow(terminal.proc, context, exitCode));
  const progress = await createProgressView({
    stream: terminal.proc.stderr,
    isTTY: wantsLive(terminal.env, terminal.proc.stderr.isTTY === true),
    style: terminal.errStyle,
    now: () => performance.timeOrigin + performance.now(),
    mode: flags.quiet === true ? 'quiet' : 'auto',
  });
  const eventsPath = context.config.events;
  const events =
    eventsPath === undefined
      ? undefined
      : openEventsFile(eventsPath, Date.now, error =>
          progress.sink({ type: 'warning', message: `no more events to ${eventsPath}: ${error.message}` }),
        );
  const emit: EventSink = (event: RunEvent) => {
    progress.sink(event);
    events?.sink(event);
  };
  try {
    if (warning !== undefined) emit({ type: 'warning', message: warning });
    const summary = await runSession(context, terminal, stops, emit);
    progress.close();
    showSummary(summary, context, flags, terminal);
    return summary.exit_code;
  } catch (error) {
    const exitCode = signalExit(stops);
    // What a stop interrupts rejects with the reason of its signal.
    const stopped = error === stops.drain.reason || error === stops.abort.reason;
    if (exitCode !== undefined && stopped) return exitCode;
    throw error;
  } finally {
    progress.close();
    await events?.close();
    stops.dispose();
  }
}

// Events are appended without the lock of the log: between its records they would be damage.
function refuseEventsInLog({ config, logPath }: UnitContext, cwd: string): void {
  if (config.events === undefined || resolve(cwd, config.events) !== logPath) return;
  throw new QrunError('USAGE', `--events ${config.events}: that is the log of the unit`, {
    hint: 'name a file of its own for the events',
  });
}

function runSession(
  context: RunnableContext,
  terminal: Terminal,
  stops: Stops,
  emit: EventSink,
): Promise<RunSummary> {
  const { config, inputs, unit, directory, logPath } = context;
  const run = newRunId();
  const { user, host } = whoAndWhere();
  const pid = terminal.proc.pid;
  const request: UnitRequest = {
    run,
    unit,
    directory,
    inputs,
    settings: config.settings,
    selection: config,
    limit: config.limit,
    rerun: config.rerun,
    allowPlaceholders: config.allow_placeholders,
    concurrency: config.concurrency,
    timeoutMs: config.timeout,
    retries: config.retries,
    outageLimitMs: config.max_outage,
    halt: config.halt,
    rowsPerQuery: config.rows_per_query,
    setup: config.setup,
    drain: stops.drain,
    abort: stops.abort,
    stopExitCode: () => signalExit(stops),
  };
  const setupPrint = fingerprinter({ parameters: {}, settings: {} });
  return runUnitSession(
    {
      source: directorySource(directory, KEPT_BYTES),
      onPlanned: due => {
        if (due >= LARGE_UNIT) collectGarbage();
      },
      identity: async () => ({
        user,
        host,
        pid,
        qrun: version(),
        node: terminal.proc.versions.node,
        arguments: shownArguments(terminal.proc.argv.slice(2)),
        git_commit: await gitCommit(directory),
      }),
      takeLease: () => {
        makeDirectory(context.logDirectory, 'the log directory');
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
      readSetupFiles: () =>
        findSetupFiles(directory, context.root).map(path =>
          readSetupFile(relative(context.root, path), readFileSync(path), setupPrint),
        ),
      openEngine: () => openEngine(context, stops.drain),
      freeDescriptors: () => {
        const count = countDescriptors();
        return count === undefined ? undefined : count.limit - count.open;
      },
      openInflight: async options => {
        const { InflightJournal } = await import('../../io/inflight.js');
        return InflightJournal.open({ ...options, logPath });
      },
      setupNotes: {
        read: () => readAppliedSetup(context.dataDirectory),
        write: applied => writeAppliedSetup(context.dataDirectory, applied),
      },
      withSetupLock: work => withSetupLock(context.root, work),
      clock: systemClock,
      random: Math.random,
      emit,
    },
    request,
  );
}

const systemClock: Clock = {
  nowMs: Date.now,
  monotonicMs: () => performance.now(),
  delay: (ms, signal) => delay(ms, undefined, { signal }).catch(() => {}),
};

// Sorts by time, and is unique among processes that start in the same second.
function newRunId(): string {
  const time = new Date().toISOString().replace(/[-:]/g, '').slice(0, 15);
  return `${time}-${randomBytes(4).toString('hex')}`;
}

function showSummary(summary: RunSummary, context: UnitContext, flags: Flags, terminal: Terminal): void {
  if (flags.json === true) {
    terminal.out.write(`${JSON.stringify(summary)}\n`);
    return;
  }
  const directory = relative(terminal.cwd, context.directory) || '.';
  terminal.out.write(
    renderSummary(summary, terminal.outStyle, { directory, auditOptions: auditOptions(flags) }),
  );
}

// The options without which the audit would look for another log or another unit.
function auditOptions(flags: Flags): string[] {
  const { log, logDir, param, rowsPerQuery } = flags as Record<string, string | undefined> & {
    param?: string[];
  };
  return [
    ...(log === undefined ? [] : ['--log', log]),
    ...(logDir === undefined ? [] : ['--log-dir', logDir]),
    ...(param ?? []).flatMap(pair => ['--param', pair]),
    ...(rowsPerQuery === undefined ? [] : ['--rows-per-query', rowsPerQuery]),
  ];
}

function makeDirectory(path: string, what: string): void {
  try {
    makeDirectories(path);
  } catch (cause) {
    throw new QrunError('LOG_UNUSABLE', `cannot create ${what} ${path}: ${(cause as Error).message}`, {
      hint: 'choose a writable place with --log-dir',
      cause,
    });
  }
}

function signalExit(stops: Stops): ExitCode | undefined {
  const signal = stops.received();
  return signal === undefined ? undefined : SIGNAL_EXIT[signal];
}

// libchdb keeps process.exit from ending while a query runs; SIGKILL is the one way out at once. Nothing
// recorded is lost by it.
function endNow(proc: NodeJS.Process, context: UnitContext, exitCode: number): void {
  if (context.config.engine === 'embedded') proc.kill(proc.pid, 'SIGKILL');
  else proc.exit(exitCode);
}
