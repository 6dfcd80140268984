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

/** What a round decided about a group, or took back. */
export type Change = ScaleDecision | StepBack;

/** What else is shown of it. */
export interface Round {
  readonly host: HostFacts;
  readonly limits: ScaleLimits;
  readonly dryRun: boolean;
  /** Of the wall clock. */
  readonly time: Date;
}

/** Returns a change in one line, with everything that it is based on. */
export function renderChange(change: Change, { host, limits, dryRun, time }: Round, style: Style): string {
  const { group, from, to } = change;
  const { paint } = style;
  const isBack = 'violations' in change;
  const color = isBack ? paint.bad : to > from ? paint.good : to < from ? paint.caution : paint.faint;
  const slots = color((to === from ? `${from}` : `${from} -> ${to}`).padEnd(8));
  const text = isBack
    ? `stepped back: ${change.violations.join(', ')}${from === to ? ', at its minimum' : ''}; not up again for 5 minutes`
    : [...inputs(change, host, limits), why(change, limits)].filter(Boolean).join(', ');
  const mark = dryRun && from !== to ? ' (dry run: not set)' : '';
  const clock = time.toTimeString().slice(0, 'hh:mm:ss'.length);
  return `${clock}  ${padEnd(style.foreign(group.name), NAME_WIDTH)}  ${slots}  ${text}${mark}\n`;
}

/** Returns a change as an object for JSON; sizes in bytes, `to` equal to `from` where nothing changes. */
export function changeJson(change: Change, { host, limits, dryRun, time }: Round): Output<typeof schema> {
  const { group, from, to } = change;
  const isBack = 'violations' in change;
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
    reason: isBack ? 'watch' : change.reason.replaceAll(' ', '_'),
    violations: isBack ? change.violations : [],
    memory_available_bytes: isBack ? host.memoryAvailableBytes : change.memoryAvailableBytes,
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
