import type { StepBack } from '../../../app/machine/autoscale.js';
import {
  BUSY,
  IDLE,
  type ScaleDecision,
  type ScaleLimits,
  type ScaleReason,
} from '../../../core/machine/autoscale.js';
import type { Output } from '../../../core/schema.js';
import { formatSize } from '../../../core/text/bytes.js';
import type { HostFacts } from '../../../io/machine/host.js';
import type { Style } from '../../terminal/style.js';
import { padEnd } from '../../terminal/text.js';
import type { schema } from './autoscale.schema.js';

const NAME_WIDTH = 16;

/** Returns a decision in one line, with everything that it is based on; `time` is of the wall clock. */
export function renderDecision(
  decision: ScaleDecision,
  host: HostFacts,
  limits: ScaleLimits,
  time: Date,
  style: Style,
): string {
  const { group, from, to } = decision;
  const change = to === from ? `${from}` : `${from} -> ${to}`;
  const paint = to > from ? style.paint.good : to < from ? style.paint.caution : style.paint.faint;
  const text = [...inputs(decision, host, limits), why(decision, limits)].filter(Boolean).join(', ');
  return `${clock(time)}  ${padEnd(style.foreign(group.name), NAME_WIDTH)}  ${paint(change.padEnd(8))}  ${text}`;
}

/** Returns a step back in one line. */
export function renderStepBack(step: StepBack, time: Date, style: Style): string {
  const { group, from, to, violations } = step;
  const change = from === to ? `${from}` : `${from} -> ${to}`;
  const kept = from === to ? ', at its minimum' : '';
  return `${clock(time)}  ${padEnd(style.foreign(group.name), NAME_WIDTH)}  ${style.paint.bad(change.padEnd(8))}  stepped back: ${violations.join(', ')}${kept}; not up again for 5 minutes`;
}

/** Returns a decision as an object for JSON; sizes in bytes, `to` equal to `from` where nothing changes. */
export function decisionJson(
  decision: ScaleDecision,
  host: HostFacts,
  limits: ScaleLimits,
  time: Date,
  dryRun: boolean,
): Output<typeof schema> {
  return {
    ...common(decision, host, limits, time, dryRun),
    reason: decision.reason.replaceAll(' ', '_'),
    violations: [],
    memory_available_bytes: decision.memoryAvailableBytes,
  };
}

/** Returns a step back as an object for JSON. */
export function stepBackJson(
  step: StepBack,
  host: HostFacts,
  limits: ScaleLimits,
  time: Date,
  dryRun: boolean,
): Output<typeof schema> {
  return {
    ...common(step, host, limits, time, dryRun),
    reason: 'watch',
    violations: step.violations,
    memory_available_bytes: host.memoryAvailableBytes,
  };
}

function common(
  { group, from, to }: Pick<ScaleDecision, 'group' | 'from' | 'to'>,
  host: HostFacts,
  limits: ScaleLimits,
  time: Date,
  dryRun: boolean,
): Omit<Output<typeof schema>, 'reason' | 'violations' | 'memory_available_bytes'> {
  return {
    time: time.toISOString(),
    group: group.name,
    from,
    to,
    queued: group.queued,
    running: group.running,
    paused: group.paused,
    cpu_percent: Math.round(host.cpuPercent * 10) / 10,
    memory_percent: Math.round(host.memoryPercent * 10) / 10,
    load1: host.load1,
    cores: host.cores,
    min: limits.min,
    max: limits.max,
    total: Number.isFinite(limits.total) ? limits.total : null,
    memory_per_job_bytes: limits.memoryPerJobBytes ?? null,
    dry_run: dryRun,
  };
}

function inputs({ group, reason }: ScaleDecision, host: HostFacts, limits: ScaleLimits): string[] {
  if (reason === 'paused' || reason === 'nothing queued') return [];
  const { cpuPercent: cpu, memoryPercent: memory } = host;
  return [
    `cpu ${level(cpu, IDLE.cpu, BUSY.cpu)}`,
    `memory ${level(memory, IDLE.memory, BUSY.memory)}`,
    `${group.queued} queued`,
    ...(reason === 'above max' || reason === 'at max' ? [`max ${limits.max}`] : []),
  ];
}

// A number beside the mark that it is below or above.
function level(value: number, low: number, high: number): string {
  const whole = `${Math.round(value)} %`;
  if (value < low) return `${whole} (< ${low} %)`;
  return value > high ? `${whole} (> ${high} %)` : whole;
}

function why(decision: ScaleDecision, { min, total, memoryPerJobBytes }: ScaleLimits): string {
  const free = formatSize(Math.max(0, decision.memoryAvailableBytes));
  const estimate = memoryPerJobBytes === undefined ? undefined : formatSize(memoryPerJobBytes);
  const texts: Readonly<Record<ScaleReason, string>> = {
    idle: estimate === undefined ? '' : `${estimate} fits (${free} free)`,
    busy: '',
    between: 'between the marks',
    paused: 'paused: qrun doctor says how to start it',
    'nothing queued': 'nothing queued',
    'slots free': `${decision.group.running} running: a slot is free`,
    'at min': `at its minimum (${min})`,
    'at max': 'at its maximum',
    'machine full': `all groups together have the ${total} slots of this machine`,
    'does not fit': `${estimate} does not fit (${free} free)`,
    'above max': decision.from === 0 ? 'it had no limit' : 'above its maximum',
    'below min': `below its minimum (${min})`,
    settling: 'stepped back less than 5 minutes ago',
  };
  return texts[decision.reason];
}

function clock(time: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`;
}
