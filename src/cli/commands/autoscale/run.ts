import { autoscale } from '../../../app/machine/autoscale.js';
import { QrunError } from '../../../core/errors.js';
import type { ScaleLimits } from '../../../core/machine/autoscale.js';
import { type Sizing, sizeSlots } from '../../../core/machine/sizing.js';
import type { Output } from '../../../core/schema.js';
import type { ServerWatcher } from '../../../io/engines/clickhouse/limits.js';
import { serverEngineOf } from '../../../io/engines/registry.js';
import { systemClock } from '../../../io/machine/clock.js';
import { type HostFacts, HostMeter } from '../../../io/machine/host.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { unitContext } from '../../../local/unit/context.js';
import { type Call, type Flags, writeResult } from '../../command.js';
import { intervalFlag, jobSize, stringsFlag, wholeNumberFlag } from '../../flags.js';
import { configFlags } from '../../options.js';
import { formatAmount } from '../../terminal/format.js';
import { untilStopped } from '../../terminal/signals.js';
import { formatSizing } from '../probe/render.js';
import type { schema } from './autoscale.schema.js';
import { type Change, changeJson, renderChange } from './render.js';

const DEFAULT_INTERVAL_MS = 60_000;
const SLOTS = { min: 1, max: 1024 };

/**
 * `qrun autoscale`: adapts the slots of the queue's groups to the load of this machine, once or forever. Returns 0,
 * or the exit code of the signal that ended the loop. Errors: QrunError `USAGE`, `CONFIG`, `QUEUE_*`.
 */
export async function run(call: Call): Promise<number> {
  const { flags, terminal } = call;
  const loop = flags.loop === true;
  if (flags.once === true && loop) throw new QrunError('USAGE', '--once and --loop: give one of them');
  const context = unitContext('.', configFlags(flags), terminal);
  const server = serverEngineOf(context.config.engine);
  const connections = server === undefined ? [] : context.connections();
  const meter = new HostMeter();
  const sizing = sizeSlots(meter.capacity(), jobSize(flags, context.config.memoryMax));
  const limits = limitsOf(flags, sizing);
  // The load average of a machine is updated every five seconds; faster rounds would act on the same numbers.
  const intervalMs = intervalFlag(flags, '1s') ?? DEFAULT_INTERVAL_MS;
  const dryRun = flags.dryRun === true;
  const { err, errStyle } = terminal;
  const onNotice = (text: string): void =>
    err.write(`${errStyle.paint.accent('autoscale: ')}${errStyle.foreign(text)}\n`);
  const print = (change: Change, host: HostFacts): void => {
    const round = { host, limits, dryRun, time: new Date() };
    writeResult<Output<typeof schema>>(call, changeJson(change, round), style =>
      renderChange(change, round, style),
    );
  };
  return await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    const queue = await QUEUE.open({ env: terminal.env, signal });
    const watchers: ServerWatcher[] = [];
    try {
      for (const connection of connections) {
        if (server !== undefined) watchers.push(await server.watch(connection));
      }
      if (loop) {
        onNotice(
          `at most ${formatAmount(limits.max, 'slot')} for a group; this machine takes ${formatSizing(sizing)}`,
        );
      }
      await autoscale(
        {
          queue,
          host: signal => meter.read(signal),
          exceptions: (seconds, signal) => exceptionsOfAll(watchers, seconds, signal),
          ...systemClock,
          onDecision: print,
          onStepBack: print,
          onNotice,
        },
        { limits, groups: stringsFlag(flags, 'group'), loop, intervalMs, dryRun, signal },
      );
      return 0;
    } finally {
      await Promise.all(watchers.map(watcher => watcher.close()));
    }
  });
}

// The sum of all servers that say how many; `undefined` if none does.
async function exceptionsOfAll(
  watchers: readonly ServerWatcher[],
  seconds: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const counts = await Promise.all(watchers.map(watcher => watcher.exceptions(seconds, signal)));
  const known = counts.filter(count => count !== undefined);
  return known.length === 0 ? undefined : known.reduce((sum, count) => sum + count, 0);
}

function limitsOf(flags: Flags, { slots, job }: Sizing): ScaleLimits {
  const least = wholeNumberFlag(flags, '--min', SLOTS) ?? 1;
  const most = wholeNumberFlag(flags, '--max', SLOTS);
  if (most !== undefined && most < least) {
    throw new QrunError('USAGE', `--min ${least} is more than --max ${most}`);
  }
  return {
    min: least,
    max: Math.max(least, most ?? slots),
    // What fits on the machine counts for all groups together; a given number counts for each group.
    total: most === undefined ? Math.max(least, slots) : Number.POSITIVE_INFINITY,
    memoryPerJobBytes: job.memoryBytes,
  };
}
