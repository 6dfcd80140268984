import { setTimeout as delay } from 'node:timers/promises';
import type { SweepStatus } from '../../../app/sweep/status.js';
import { QrunError } from '../../../core/errors.js';
import { parseDuration } from '../../../core/text/duration.js';
import { jsonLine } from '../../../core/text/json.js';
import { unlessAborted } from '../../../core/unless-aborted.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { sweepReachable, sweepWatch } from '../../../local/sweep/status.js';
import type { Flags } from '../../command.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { wantsLive } from '../../terminal/style.js';
import { renderStatus } from './render.js';

const INTERVAL_MS = 2_000;

/**
 * `qrun status ROOT`: one table of a sweep, from one read of the queue and its logs; with `--watch` repeatedly, until
 * nothing is left to run or Ctrl-C. Without the queue it shows what the logs say. Returns 0.
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
    const watch = sweepWatch(sweep, { env: terminal.env, signal });
    if (flags.watch !== true) {
      terminal.out.write(rendered(await watch.look(), flags, terminal));
      return 0;
    }
    // From here on signals are handled, so nothing may wait for a disk where it cannot be interrupted.
    const reached = sweepReachable(sweep);
    listen();
    const look = () => reached().then(() => watch.look());
    return await watchSweep(look, intervalMs, flags, terminal, signal);
  });
}

async function watchSweep(
  look: () => Promise<SweepStatus>,
  intervalMs: number,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const screen = await openScreen(terminal);
  try {
    for (;;) {
      const status = await unlessAborted(look(), signal);
      if (status === undefined) return 0;
      const text = rendered(status, flags, terminal, screen.rows);
      if (flags.json === true) terminal.out.write(text);
      else screen.draw(text);
      if (signal.aborted || hasEnded(status)) return 0;
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    screen.close();
  }
}

// Without the queue it is not known what still waits.
function hasEnded({ units, audit, queue_problem: problem }: SweepStatus): boolean {
  if (problem !== null && units.some(({ state }) => state !== 'complete')) return false;
  const live = units.some(({ state }) => ['running', 'queued', 'delayed', 'paused'].includes(state));
  return !live && audit.state !== 'queued' && audit.state !== 'running';
}

function rendered(status: SweepStatus, flags: Flags, { outStyle }: Terminal, rows?: number): string {
  if (flags.json === true) return jsonLine<SweepStatus>(status);
  return renderStatus(status, outStyle, {
    all: flags.all === true,
    queue: QUEUE,
    ...(rows === undefined ? {} : { rows }),
  });
}

/** Shows one view after another: on a terminal each replaces the previous one, elsewhere it follows below. */
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
