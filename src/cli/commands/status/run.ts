import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type StatusDeps, type SweepStatus, SweepWatch } from '../../../app/sweep/status.js';
import { isQuery } from '../../../app/unit/survey.js';
import { QrunError } from '../../../core/errors.js';
import type { QueueState, TaskQueue } from '../../../core/queue/queue.js';
import type { Output } from '../../../core/schema.js';
import { auditOf } from '../../../core/sweep/audit.js';
import type { schema } from '../../../core/sweep/status.schema.js';
import { parseDuration } from '../../../core/text/duration.js';
import { jsonLine } from '../../../core/text/json.js';
import { selectNames } from '../../../core/unit/selection.js';
import { unlessAborted } from '../../../core/unless-aborted.js';
import { auditReportPath, isOutdated, readAuditReport } from '../../../io/log/audit-report.js';
import { LogFollower } from '../../../io/log/follow.js';
import { leaseHolder, leasePath } from '../../../io/log/lease.js';
import { lastStart, readRuns, sidecarPath } from '../../../io/log/run-sidecar.js';
import { reachable } from '../../../io/machine/local-disks.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { directorySource } from '../../../io/unit/unit-files.js';
import type { Sweep } from '../../../local/sweep/context.js';
import type { UnitContext } from '../../../local/unit/context.js';
import type { Flags } from '../../command.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { wantsLive } from '../../terminal/style.js';
import { renderStatus } from './render.js';

const INTERVAL_MS = 2_000;

/**
 * `qrun status ROOT`: one table of a sweep, from one read of the queue and its logs; `--watch` again and again until
 * nothing is left to run or Ctrl-C. Without the queue it shows what the logs tell. Gives 0.
 *
 * Errors: QrunError of the configuration and the units.
 */
export async function statusCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const intervalMs = flags.interval === undefined ? INTERVAL_MS : parseDuration(String(flags.interval));
  if (intervalMs === undefined || intervalMs < 100) {
    throw new QrunError('USAGE', '--interval: must be a duration of at least 100ms, such as 2s');
  }
  const sweep = sweepOf(directory, flags, terminal);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const queue = queueReader(terminal, signal);
    const watch = watchOf(sweep, queue.state);
    const look = () => watch.look(sweep.name, sweep.group);
    if (flags.watch === true) {
      // From here on a signal is heard, so nothing may wait for a disk where it cannot be.
      const reached = reachable([
        sweep.root,
        ...sweep.units.flatMap(({ directory, logPath }) => [directory, logPath, ...besidesLog(logPath)]),
      ]);
      listen();
      return await watchSweep({
        look: () => reached().then(look),
        queue,
        intervalMs,
        flags,
        terminal,
        signal,
      });
    }
    show(await look(), queue.problem(), flags, terminal);
    return 0;
  });
}

interface Watching {
  readonly look: () => Promise<SweepStatus>;
  readonly queue: QueueReader;
  readonly intervalMs: number;
  readonly flags: Flags;
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

async function watchSweep({ look, queue, intervalMs, flags, terminal, signal }: Watching): Promise<number> {
  const screen = await openScreen(terminal);
  try {
    for (;;) {
      const status = await unlessAborted(look(), signal);
      if (status === undefined) return 0;
      if (flags.json === true) show(status, queue.problem(), flags, terminal);
      else screen.draw(rendered(status, queue.problem(), flags, terminal, screen.rows));
      if (signal.aborted || hasEnded(status, queue.problem())) return 0;
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    screen.close();
  }
}

interface QueueReader {
  /** What the queue says, or `undefined`; {@link problem} then tells why. */
  readonly state: () => Promise<QueueState | undefined>;
  readonly problem: () => string | undefined;
}

function queueReader(terminal: Terminal, signal: AbortSignal): QueueReader {
  let problem: string | undefined;
  let queue: TaskQueue | undefined;
  return {
    problem: () => problem,
    async state() {
      try {
        queue ??= await QUEUE.open({ env: terminal.env, signal });
        const state = await queue.state();
        problem = undefined;
        return state;
      } catch (error) {
        if (!(error instanceof QrunError)) throw error;
        problem = error.message;
        return undefined;
      }
    },
  };
}

function watchOf(sweep: Sweep, readQueue: StatusDeps['readQueue']): SweepWatch {
  const report = auditReportPath(sweep.logDirectory, sweep.name);
  const logs = new Map(sweep.units.map(({ unit, logPath }) => [unit, logPath]));
  return new SweepWatch({
    units: sweep.units.map(unitToWatch),
    readQueue,
    readAudit: () => {
      const audit = readAuditReport(report);
      if (audit === undefined) return undefined;
      return { audit: auditOf(audit, logs.keys()), outdated: isOutdated(audit, logs) };
    },
    nowMs: Date.now,
  });
}

function besidesLog(logPath: string): string[] {
  return [leasePath(logPath), sidecarPath(logPath), dirname(logPath)];
}

function unitToWatch({ unit, directory, logPath, linksWithin, config }: UnitContext) {
  const source = directorySource(directory, 0, linksWithin);
  return {
    unit,
    queries: () => selectNames(source.list(), config),
    isQuery: (name: string) => isQuery(source, name),
    rowsPerQuery: config.rowsPerQuery,
    follow: (newProgress: ConstructorParameters<typeof LogFollower>[2]) =>
      new LogFollower(logPath, unit, newProgress),
    holder: () => leaseHolder(logPath),
    lastStart: () => lastStart(readRuns(logPath)),
  };
}

// Without the queue nobody knows what still waits.
function hasEnded({ units, audit }: SweepStatus, problem: string | undefined): boolean {
  if (problem !== undefined && units.some(({ state }) => state !== 'complete')) return false;
  const live = units.some(({ state }) => ['running', 'queued', 'delayed', 'paused'].includes(state));
  return !live && audit.state !== 'queued' && audit.state !== 'running';
}

function rendered(
  status: SweepStatus,
  problem: string | undefined,
  flags: Flags,
  { outStyle }: Terminal,
  rows?: number,
): string {
  return renderStatus(status, outStyle, {
    all: flags.all === true,
    problem,
    queue: QUEUE,
    ...(rows === undefined ? {} : { rows }),
  });
}

function show(status: SweepStatus, problem: string | undefined, flags: Flags, terminal: Terminal): void {
  if (flags.json === true)
    terminal.out.write(jsonLine<Output<typeof schema>>({ ...status, queue_problem: problem ?? null }));
  else terminal.out.write(rendered(status, problem, flags, terminal));
}

/** Shows view after view: each in place of the one before on a terminal, and below it elsewhere. */
async function openScreen({ proc, env, out, outStyle }: Terminal) {
  if (!wantsLive(env, proc.stdout.isTTY === true)) {
    return { rows: undefined, draw: (text: string) => out.write(`${text}\n`), close() {} };
  }
  const { openLiveArea } = await import('../../terminal/live-area.js');
  let lines: string[] = [];
  const area = openLiveArea(proc.stdout, outStyle, () => area.draw(lines));
  return {
    get rows() {
      return area.rows;
    },
    draw(text: string) {
      lines = text.trimEnd().split('\n');
      area.draw(lines);
    },
    close: area.close,
  };
}
