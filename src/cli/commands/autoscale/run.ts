import { autoscale } from '../../../app/machine/autoscale.js';
import { QrunError } from '../../../core/errors.js';
import type { ScaleLimits } from '../../../core/machine/autoscale.js';
import { sizeSlots } from '../../../core/machine/sizing.js';
import type { Output } from '../../../core/schema.js';
import { DURATION_EXAMPLES, parseDuration } from '../../../core/text/duration.js';
import { jsonLine } from '../../../core/text/json.js';
import type { ServerWatcher } from '../../../io/engines/clickhouse/limits.js';
import { serverEngineOf } from '../../../io/engines/registry.js';
import { systemClock } from '../../../io/machine/clock.js';
import { HostMeter } from '../../../io/machine/host.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { unitContext } from '../../../local/unit/context.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { jobSize } from '../../sweep/job-size.js';
import { formatAmount } from '../../terminal/format.js';
import { listenForStops, stoppedExit } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { formatSizing } from '../probe/render.js';
import type { schema } from './autoscale.schema.js';
import { decisionJson, renderDecision, renderStepBack, stepBackJson } from './render.js';

const DEFAULT_INTERVAL = '60s';
// The load average of a machine is updated every five seconds; faster rounds would act on the same numbers.
const MIN_INTERVAL_MS = 1_000;
const MAX_SLOTS = 1024;

/**
 * `qrun autoscale`: adapts the slots of the queue's groups to the load of this machine, once or forever. Returns 0,
 * or the exit code of the signal that ended the loop. Errors: QrunError `USAGE`, `CONFIG`, `QUEUE_*`.
 */
export async function autoscaleCommand(flags: Flags, terminal: Terminal): Promise<number> {
  const { json, once, loop, interval, min, max, dryRun, group, memoryPerJob, coresPerJob } = flags;
  if (once === true && loop === true) throw new QrunError('USAGE', '--once and --loop: give one of them');
  const context = unitContext('.', configFlags(flags), terminal);
  const server = serverEngineOf(context.config.engine);
  const connections = server === undefined ? [] : context.connections();
  const meter = new HostMeter();
  const sizing = sizeSlots(
    meter.capacity(),
    jobSize({ memoryPerJob, coresPerJob }, context.config.memoryMax),
  );
  const limits = limitsOf(min, max, sizing.slots, sizing.job.memoryBytes);
  const intervalMs = intervalOf(interval);
  const stops = listenForStops(terminal.proc, exitCode => terminal.proc.exit(exitCode));
  const notice = (text: string): void => {
    terminal.err.write(
      `${terminal.errStyle.paint.accent('autoscale: ')}${terminal.errStyle.foreign(text)}\n`,
    );
  };
  const print = (text: string, object: Output<typeof schema>): void => {
    terminal.out.write(json === true ? jsonLine<Output<typeof schema>>(object) : `${text}\n`);
  };
  const watchers: ServerWatcher[] = [];
  try {
    const queue = await QUEUE.open({ env: terminal.env, signal: stops.drain });
    for (const connection of connections) {
      if (server !== undefined) watchers.push(await server.watch(connection));
    }
    if (loop === true) {
      notice(
        `at most ${formatAmount(limits.max, 'slot')} for a group; this machine takes ${formatSizing(sizing)}`,
      );
    }
    await autoscale(
      {
        queue,
        host: signal => meter.read(signal),
        exceptions: (seconds, signal) => exceptionsOfAll(watchers, seconds, signal),
        ...systemClock,
        onDecision: (decision, host) => {
          const time = new Date();
          print(
            `${renderDecision(decision, host, limits, time, terminal.outStyle)}${mark(decision, dryRun)}`,
            decisionJson(decision, host, limits, time, dryRun === true),
          );
        },
        onStepBack: (step, host) => {
          const time = new Date();
          print(
            `${renderStepBack(step, time, terminal.outStyle)}${mark(step, dryRun)}`,
            stepBackJson(step, host, limits, time, dryRun === true),
          );
        },
        onNotice: notice,
      },
      {
        limits,
        groups: (group as string[] | undefined) ?? [],
        loop: loop === true,
        intervalMs,
        dryRun: dryRun === true,
        signal: stops.drain,
      },
    );
    return 0;
  } catch (error) {
    return stoppedExit(stops, error);
  } finally {
    stops.dispose();
    await Promise.all(watchers.map(watcher => watcher.close()));
  }
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

function mark({ from, to }: { from: number; to: number }, dryRun: unknown): string {
  return dryRun === true && from !== to ? ' (dry run: not set)' : '';
}

function limitsOf(
  min: unknown,
  max: unknown,
  slots: number,
  memoryPerJobBytes: number | undefined,
): ScaleLimits {
  const least = slotsFlag('--min', min) ?? 1;
  const most = slotsFlag('--max', max);
  if (most !== undefined && most < least) {
    throw new QrunError('USAGE', `--min ${least} is more than --max ${most}`);
  }
  return {
    min: least,
    max: Math.max(least, most ?? slots),
    // What fits on the machine counts for all groups together; a given number counts for each group.
    total: most === undefined ? Math.max(least, slots) : Number.POSITIVE_INFINITY,
    memoryPerJobBytes,
  };
}

function slotsFlag(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const slots = /^\d{1,4}$/.test(String(value)) ? Number(value) : 0;
  if (slots < 1 || slots > MAX_SLOTS) {
    throw new QrunError('USAGE', `${name} ${value}: must be a whole number from 1 to ${MAX_SLOTS}`);
  }
  return slots;
}

function intervalOf(value: unknown): number {
  const text = String(value ?? DEFAULT_INTERVAL);
  const ms = parseDuration(text);
  if (ms === undefined || ms < MIN_INTERVAL_MS) {
    throw new QrunError(
      'USAGE',
      `--interval ${text}: must be a duration of at least 1s: ${DURATION_EXAMPLES}`,
    );
  }
  return ms;
}
