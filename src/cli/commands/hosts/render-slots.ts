import type { SlotsEvent } from '../../../app/hosts/slots.js';
import type { HostSlots, SlotsReport } from '../../../core/hosts/slots/report.js';
import type { HostSample } from '../../../core/hosts/slots/watch.js';
import { formatSize } from '../../../core/text/bytes.js';
import { formatDuration } from '../../../core/text/duration.js';
import { formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';

const NONE = '-';

/** Returns the table of all hosts, and below it what became of each. */
export function renderSlots(report: SlotsReport, style: Style): string {
  const columns = [
    { title: 'host', shrink: 'end' as const },
    { title: 'slots', align: 'right' as const },
    { title: 'running', align: 'right' as const },
    { title: 'queued', align: 'right' as const },
    { title: 'load', align: 'right' as const },
    { title: 'memory', align: 'right' as const },
    { title: 'failed', align: 'right' as const },
  ];
  const head = `  group ${style.foreign(report.group)} of the sweep ${style.foreign(report.sweep)}`;
  const ends = report.hosts.flatMap(host => [...endOf(host, report, style), ...toKeep(host, style)]);
  return `${[head, '', renderTable(columns, report.hosts.map(rowOf), style, 2), ...ends.map(line => `  ${line}`)].join('\n')}\n`;
}

/** Returns what happened on a host, in one line. */
export function slotsEventLine(
  host: string,
  event: Exclude<SlotsEvent, { readonly type: 'look' }>,
  { foreign, paint, marks }: Style,
): string {
  const name = foreign(host);
  if (event.type === 'set') {
    const watched = event.watched ? '; watching' : '';
    return `${name}  ${slotsText(event.from)} -> ${slotsText(event.to)}${watched}`;
  }
  if (event.type === 'silent') {
    return `${paint.caution(marks.caution)} ${name}  does not answer: ${foreign(event.says)}; its slots stay as they are`;
  }
  if (event.type === 'back') return `${name}  answers again`;
  return `${paint.bad(marks.bad)} ${name}  ${foreign(event.harms.map(({ says }) => says).join('; '))}`;
}

/** Returns the last look at a host, in one line. */
export function slotsLook(
  host: string,
  { sample, leftMs }: Extract<SlotsEvent, { readonly type: 'look' }>,
  { foreign }: Style,
): string {
  const [slots, running, queued, load, memory, failed] = cellsOf(sample);
  const failures = failed === NONE ? '' : `, ${failed} failed`;
  return `${foreign(host)}  ${slots} slots, ${running} running, ${queued} queued, load ${load}, ${memory} free${failures}  ${formatDuration(leftMs)} left`;
}

function rowOf({ host, before, slots, baseline, last, outcome }: HostSlots): string[] {
  const sample = last ?? baseline;
  if (sample === null) return [host];
  const cells = cellsOf(sample);
  const text =
    outcome === 'shown' || before === slots
      ? slotsText(slots)
      : `${slotsText(before)} -> ${slotsText(slots)}`;
  return [host, text, ...cells.slice(1)];
}

function cellsOf(sample: HostSample): string[] {
  const { slots, running, queued, load1, cores, memory_available_bytes: free, attempts, failed } = sample;
  return [
    slotsText(slots),
    formatCount(running),
    formatCount(queued),
    (load1 / cores).toFixed(2),
    formatSize(free),
    attempts === 0 ? NONE : `${formatCount(failed)} of ${formatCount(attempts)}`,
  ];
}

function slotsText(slots: number | null): string {
  if (slots === null) return 'none';
  return slots === 0 ? 'no limit' : formatCount(slots);
}

// A submission sets what qrun.toml says.
function toKeep(host: HostSlots, { paint, foreign }: Style): string[] {
  const { outcome, slots, configured } = host;
  if (outcome === 'shown' || slots === null || configured === null || slots === configured) return [];
  return [
    `  ${paint.faint('to keep them:')} slots = ${slots} of ${foreign(host.host)} in qrun.toml, which says ${configured}: the next submit-all sets that`,
  ];
}

function endOf(host: HostSlots, { group, watch_ms: watchMs }: SlotsReport, style: Style): string[] {
  const { paint, marks, foreign } = style;
  const { outcome, says, mend, slots, before, samples, harms } = host;
  const good = paint.good(marks.good);
  const caution = paint.caution(marks.caution);
  const bad = paint.bad(marks.bad);
  const name = foreign(host.host);
  const why = foreign(harms.map(one => one.says).join('; '));
  const mended = mend === null ? [] : [`  ${paint.faint('mend:')} ${foreign(mend)}`];
  const now = slotsText(slots);
  switch (outcome) {
    case 'shown':
      return slots === null ? [`${name}  has no group ${foreign(group)}: nothing was submitted there`] : [];
    case 'set':
      return [`${good} ${name}  set to ${now}, not watched`];
    case 'kept':
      return [
        `${good} ${name}  keeps ${now}: no limit was passed in ${formatDuration(watchMs ?? 0)} (${formatAmount(samples, 'look')})`,
      ];
    case 'stepped_back':
      return [`${bad} ${name}  set back to ${now}: ${why}`];
    case 'harmed':
      return [`${bad} ${name}  stays at ${now}, which is not more than before: ${why}`];
    case 'overruled':
      return [
        `${caution} ${name}  has ${now} now, which was not set here (changed by hand, or lost in a crash of the queue); not watched any more`,
      ];
    case 'silent':
      return [
        `${bad} ${name}  does not answer; its slots stay as they were set: ${foreign(says)}`,
        ...mended,
      ];
    case 'interrupted':
      return [
        slots === null || slots === before
          ? `${caution} ${name}  interrupted: qrun hosts slots shows what is set there`
          : `${caution} ${name}  keeps ${now}, and is not watched any more`,
      ];
    case 'failed':
      return harms.length === 0
        ? [`${bad} ${name}  ${foreign(says)}`, ...mended]
        : [`${bad} ${name}  could not be set back: ${why}; ${foreign(says)}`, ...mended];
  }
}
