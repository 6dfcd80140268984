import { setTimeout as delay } from 'node:timers/promises';
import type { QueueKind } from '../../../core/queue/queue.js';
import type { SweepStatus } from '../../../core/sweep/status.js';
import { jsonLine } from '../../../core/text/json.js';
import { unlessAborted } from '../../../core/unless-aborted.js';
import { queueOf } from '../../../io/queue/queues.js';
import { lookAtHosts, watchHosts } from '../../../local/hosts/status.js';
import type { Call, Flags } from '../../command.js';
import { intervalFlag } from '../../flags.js';
import { hostsWanted, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { openLines, type Terminal } from '../../terminal/streams.js';
import { renderStatus, type StatusView } from './render.js';

const INTERVAL_MS = 2_000;
// A host that answers takes less than a second for it; what it said is said to be older only after this time.
const STALE_MS = 3_000;

/**
 * `qrun status ROOT`: one table of a sweep, from one read of the queue and its logs; with `--watch` repeatedly, until
 * nothing is left to run or Ctrl-C. Without the queue it shows what the logs say. Over hosts it is what each of them
 * says, and the logs here. Returns 0.
 *
 * Errors: QrunError of the configuration, the units and the hosts.
 */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  const { env, proc } = terminal;
  const intervalMs = intervalFlag(flags, '100ms') ?? INTERVAL_MS;
  return await untilStopped(proc, async (signal, listen) => {
    const sweep = sweepOf(call);
    const names = hostsWanted(sweep, flags);
    const shown = { flags, terminal, queue: queueOf(sweep.table) };
    if (flags.watch !== true) {
      // Nothing is loaded before the hosts are asked that is only needed afterwards.
      const status = await (names === undefined
        ? (await import('../../../local/sweep/status.js')).sweepWatch(sweep, { env, signal }).look()
        : lookAtHosts(sweep, names, { env, signal }));
      terminal.out.write(rendered(status, shown));
      return 0;
    }
    const { sweepReachable, sweepWatch } = await import('../../../local/sweep/status.js');
    // From here on signals are handled, so nothing may wait for a disk where it cannot be interrupted.
    const reached = sweepReachable(sweep);
    listen();
    const show = async (look: () => Promise<SweepStatus>): Promise<number> =>
      await watchSweep(() => reached().then(look), intervalMs, shown, signal);
    if (names !== undefined) return await watchHosts(sweep, names, { env, signal }, intervalMs, show);
    const watch = sweepWatch(sweep, { env, signal });
    return await show(() => watch.look());
  });
}

interface Shown {
  readonly flags: Flags;
  readonly terminal: Terminal;
  readonly queue: QueueKind;
}

async function watchSweep(
  look: () => Promise<SweepStatus>,
  intervalMs: number,
  shown: Shown,
  signal: AbortSignal,
): Promise<number> {
  const { flags, terminal } = shown;
  // On a terminal each view replaces the previous one, elsewhere it follows below.
  const screen = await openLines(terminal, 'out');
  try {
    for (;;) {
      const status = await unlessAborted(look(), signal);
      if (status === undefined) return 0;
      const age = { nowMs: Date.now(), staleMs: intervalMs + STALE_MS };
      const text = rendered(status, shown, { rows: screen?.area.rows, ...age });
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

// Without a queue it is not known what still waits there.
function hasEnded({ units, audit, queue_problem: problem, hosts }: SweepStatus): boolean {
  const isKnown =
    problem === null && hosts.every(host => host.silent_since === null && host.queue_problem === null);
  if (!isKnown && units.some(({ state }) => state !== 'complete')) return false;
  const live = units.some(({ state }) => ['running', 'queued', 'delayed', 'paused'].includes(state));
  return !live && audit.state !== 'queued' && audit.state !== 'running';
}

function rendered(
  status: SweepStatus,
  { flags, terminal: { outStyle }, queue }: Shown,
  more: Partial<StatusView> = {},
): string {
  if (flags.json === true) return jsonLine<SweepStatus>(status);
  return renderStatus(status, outStyle, { all: flags.all === true, queue, ...more });
}
