import type { Stats } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { runUnitSession, type UnitRequest } from '../../../app/unit/session.js';
import { entryOf, flagName, keysWhere } from '../../../core/config/keys.js';
import type { Config } from '../../../core/config/table.js';
import { factsOf } from '../../../core/engines/facts.js';
import { type ExitCode, QrunError } from '../../../core/errors.js';
import { jsonLine } from '../../../core/text/json.js';
import { shownArguments } from '../../../core/text/shown-urls.js';
import type { EventSink, RunEvent, RunSummary } from '../../../core/unit/events.js';
import { withSetupLock } from '../../../io/engines/setup-state.js';
import { FileLock } from '../../../io/files/flock.js';
import { isBeneath, realOf } from '../../../io/files/paths.js';
import { makeDirectories } from '../../../io/files/write-file.js';
import { localDisk } from '../../../io/log/disk.js';
import { openEventsFile } from '../../../io/log/events-file.js';
import { takeLease } from '../../../io/log/lease.js';
import { realLogPath } from '../../../io/log/place.js';
import { ResultLog } from '../../../io/log/result-log.js';
import { appendRun, readRuns } from '../../../io/log/run-sidecar.js';
import { systemClock } from '../../../io/machine/clock.js';
import { countDescriptors } from '../../../io/machine/descriptors.js';
import { whoAndWhere } from '../../../io/machine/identity.js';
import { version } from '../../../io/machine/version.js';
import { taskContext } from '../../../io/queue/queues.js';
import { gitCommit } from '../../../io/unit/git-commit.js';
import { directorySource, findSetupFiles, KEPT_BYTES, statOf } from '../../../io/unit/unit-files.js';
import { withConcurrency } from '../../../local/unit/concurrency.js';
import { type RunnableContext, type UnitContext, unitContext } from '../../../local/unit/context.js';
import { withinDescriptors } from '../../../local/unit/descriptors.js';
import { collectGarbage, expectShortLives } from '../../../local/unit/garbage.js';
import { refuseInput } from '../../../local/unit/log-place.js';
import { openEmbeddedData, openServer } from '../../../local/unit/open-engine.js';
import { newRunId } from '../../../local/unit/run-id.js';
import { setupFilesOf, usedBySetup } from '../../../local/unit/setup-files.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { createProgressView } from '../../progress/view.js';
import { endNow } from '../../terminal/end-now.js';
import { listenForStops, SIGNAL_EXIT, type Stops, stoppedExit } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { wantsLive } from '../../terminal/style.js';
import { showPlan } from '../plan/run.js';
import { renderConcurrency } from '../probe/render.js';
import { runUnderCap } from './memory-cap.js';
import { renderSummary } from './render.js';

// No slot waits for it (but one that is alone), and at thousands of small queries a second it halves the syncs.
const GATHER_MS = 2;

// V8 draws no conclusions before its young heap has grown, and the plan of fewer files fits into it.
const MANY_FILES = 5_000;
// Of fewer queries the plan leaves too little behind.
const LARGE_UNIT = 50_000;

/** `qrun unit DIR`: runs a unit; gives the exit code. Errors: QrunError of every step. */
export async function unitCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  if (flags.dryRun === true) return await showPlan(directory, flags, terminal);
  const given = unitContext(directory, configFlags(flags), terminal);
  refuseEventsIn(given, terminal.cwd);
  const supervised = await runUnderCap(given, terminal);
  if (supervised !== undefined) return supervised;
  if (flags.why === true) {
    // With --json stdout is for the machine that reads it.
    const shown =
      flags.json === true ? { ...terminal, out: terminal.err, outStyle: terminal.errStyle } : terminal;
    await showPlan(directory, { ...flags, json: undefined }, shown);
  }
  const { context, warning } = withinDescriptors(
    await withConcurrency(given, taskContext(terminal.env) !== undefined, chosen => {
      if (flags.quiet !== true) terminal.err.write(renderConcurrency(chosen));
    }),
  );
  // Up to the plan nothing runs and nothing is to be finished: a signal then ends the process as any other, also while
  // it waits for a file on a disk that does not answer.
  const stops = listenForStops(terminal.proc, exitCode => endRun(terminal.proc, context, exitCode), 'later');
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
      : openEventsFile(
          eventsPath,
          Date.now,
          error =>
            progress.sink({ type: 'warning', message: `no more events to ${eventsPath}: ${error.message}` }),
          {
            // Whoever wrote the tree may have made a link in it to any file of the user's.
            follow: !liesIn(context.root, resolve(terminal.cwd, eventsPath)),
            refuse: stat => (isFile(stat, context.logPath) ? 'it is the log of the unit' : undefined),
          },
        );
  const emit: EventSink = (event: RunEvent) => {
    progress.sink(event);
    events?.sink(event);
  };
  try {
    for (const message of context.notices) emit({ type: 'warning', message });
    if (warning !== undefined) emit({ type: 'warning', message: warning });
    const summary = await runSession(context, terminal, stops, emit);
    await events?.close();
    progress.close();
    showSummary(summary, context, flags, terminal);
    return summary.exit_code;
  } catch (error) {
    return stoppedExit(stops, error);
  } finally {
    await events?.close();
    progress.close();
    stops.dispose();
  }
}

// Events are appended without the lock of the log: between its records they would be damage.
function refuseEventsIn({ config, logPath }: UnitContext, cwd: string): void {
  if (config.events === undefined) return;
  const path = realLogPath(resolve(cwd, config.events));
  refuseInput('--events', config.events, path);
  if (path !== logPath) return;
  throw new QrunError('USAGE', `--events ${config.events}: that is the log of the unit`, {
    hint: 'name a file of its own for the events',
  });
}

// As it is written, or by another way to the same tree.
function liesIn(root: string, path: string): boolean {
  return isBeneath(path, root) || isBeneath(realOf(dirname(path)), realOf(root));
}

function isFile({ dev, ino }: Stats, path: string): boolean {
  const stat = statOf(path);
  return stat?.dev === dev && stat.ino === ino;
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
    allowPlaceholders: config.allowPlaceholders,
    skipBad: config.skipBad,
    redact: config.redact,
    concurrency: config.concurrency,
    timeoutMs: config.timeout,
    retries: config.retries,
    outageLimitMs: config.maxOutage,
    halt: config.halt,
    database: config.database,
    rowsPerQuery: config.rowsPerQuery,
    usedElsewhere: usedBySetup(context),
    setupNames: findSetupFiles(directory, context.root).map(path => relative(context.root, path)),
    setup: config.setup,
    drain: stops.drain,
    abort: stops.abort,
    stopExitCode: () => signalExit(stops),
  };
  return runUnitSession(
    {
      source: directorySource(directory, KEPT_BYTES, context.linksWithin),
      onListed: files => {
        if (files >= MANY_FILES) expectShortLives();
      },
      onPlanned: due => {
        if (due >= LARGE_UNIT) collectGarbage();
        // Read while a signal still ends the process.
        if (due > 0 && factsOf(config.engine).data === 'server') context.connection();
        stops.listen();
      },
      identity: async () => ({
        user,
        host,
        pid,
        qrun: version(),
        node: terminal.proc.versions.node,
        arguments: shownArguments(terminal.proc.argv.slice(2)),
        git_commit: await gitCommit(directory, terminal.env),
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
      readSetupFiles: () => setupFilesOf(context),
      openEngine: setup =>
        factsOf(config.engine).data === 'directory'
          ? openEmbeddedData(context, setup, {
              clock: systemClock,
              emit,
              pid,
              redact: config.redact,
              ...stops,
            })
          : openServer(context, stops.drain),
      withSetupLock: (work, signal) =>
        withSetupLock(context.root, work, {
          signal,
          onWait: () =>
            emit({ type: 'warning', message: "waiting for another qrun that prepares this sweep's server" }),
        }),
      freeDescriptors: () => {
        const count = countDescriptors();
        return count === undefined ? undefined : count.limit - count.open;
      },
      openInflight: async options => {
        const { InflightJournal } = await import('../../../io/log/inflight.js');
        return InflightJournal.open({ ...options, logPath });
      },
      clock: systemClock,
      random: Math.random,
      emit,
    },
    request,
  );
}

function showSummary(summary: RunSummary, context: UnitContext, flags: Flags, terminal: Terminal): void {
  if (flags.json === true) {
    terminal.out.write(jsonLine<RunSummary>(summary));
    return;
  }
  const directory = relative(terminal.cwd, context.directory) || '.';
  terminal.out.write(
    renderSummary(summary, terminal.outStyle, {
      directory,
      auditOptions: auditOptions(flags, context.config),
    }),
  );
}

// The options without which the audit would look for another log or another unit, or judge it by other rules.
const AUDITED = keysWhere(entry => entry.audited === true);

function auditOptions(flags: Flags, { engine }: Config): string[] {
  const words = AUDITED.flatMap(key => {
    const value = (flags[key] ?? []) as true | string | readonly string[];
    return value === true
      ? [`${entryOf(key).also?.flag}`]
      : [value].flat().map(one => `${flagName(key)}=${one}`);
  });
  return [...words, ...(flags.url === undefined && flags.engine === undefined ? [] : [`--engine=${engine}`])];
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
function endRun(proc: NodeJS.Process, context: UnitContext, exitCode: number): void {
  if (factsOf(context.config.engine).inProcess) proc.kill(proc.pid, 'SIGKILL');
  else endNow(proc, exitCode);
}
