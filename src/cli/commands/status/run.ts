import { setTimeout as delay } from 'node:timers/promises';
import type { SweepStatus } from '../../../app/sweep/status.js';
import { jsonLine } from '../../../core/text/json.js';
import { unlessAborted } from '../../../core/unless-aborted.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { sweepReachable, sweepWatch } from '../../../local/sweep/status.js';
import type { Call, Flags } from '../../command.js';
import { intervalFlag } from '../../flags.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { openLines, type Terminal } from '../../terminal/streams.js';
import { renderStatus } from './render.js';

const INTERVAL_MS = 2_000;

/**
 * `qrun status ROOT`: one table of a sweep, from one read of the queue and its logs; with `--watch` repeatedly, until
 * nothing is left to run or Ctrl-C. Without the queue it shows what the logs say. Returns 0.
 *
 * Errors: QrunError of the configuration and the units.
 */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  const intervalMs = intervalFlag(flags, '100ms') ?? INTERVAL_MS;
  const sweep = sweepOf(call);
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
  // On a terminal each view replaces the previous one, elsewhere it follows below.
  const screen = await openLines(terminal, 'out');
  try {
    for (;;) {
      const status = await unlessAborted(look(), signal);
      if (status === undefined) return 0;
      const text = rendered(status, flags, terminal, screen?.area.rows);
      if (flags.json === true) terminal.out.write(text);
      else if (screen === undefined) terminal.out.write(`${text}\n`);
      else screen.draw(text.trimEnd().split('\n'));
      if (signal.aborted || hasEnded(status)) return 0;
      await delay(intervalMs, undefined, { signal }).catch(() => {});
    }
  } finally {
    screen?.area.close();
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
  return renderStatus(status, outStyle, { all: flags.all === true, queue: QUEUE, rows });
}
