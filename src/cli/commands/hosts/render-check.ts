import type { HostCheck, HostsCheck } from '../../../core/hosts/check.js';
import { formatSize } from '../../../core/text/bytes.js';
import { formatAmount, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import { renderTable } from '../../terminal/table.js';

const NONE = '-';

/** Returns the table of all hosts, what runs there, and below it what is wrong, with what mends it. */
export function renderHostsCheck({ hosts }: HostsCheck, queue: string, style: Style): string {
  const { paint, marks } = style;
  const columns = [
    { title: 'host', shrink: 'end' as const },
    { title: 'ssh', align: 'right' as const },
    { title: 'node' },
    { title: 'qrun' },
    { title: queue },
    { title: 'disk', align: 'right' as const },
    { title: 'clock', align: 'right' as const },
    { title: 'locks' },
    { title: 'running', align: 'right' as const },
    { title: 'queued', align: 'right' as const },
  ];
  const lines = [renderTable(columns, hosts.map(rowOf), style, 2), ''];
  for (const { name, sweeps } of hosts) {
    for (const { sweep, running, queued } of sweeps) {
      const counts = `${formatCount(running)} running, ${formatCount(queued)} queued`;
      lines.push(`  ${name}  sweep ${style.foreign(sweep)}: ${counts}`);
    }
  }
  for (const { name, findings } of hosts) {
    // Lines are not wrapped: they hold commands to copy.
    for (const { what, state, says, mend } of findings) {
      const mark = state === 'problem' ? paint.bad(marks.bad) : paint.caution(marks.caution);
      lines.push(`  ${mark} ${name}  ${what}: ${style.foreign(says)}`);
      lines.push(`    ${paint.faint('mend:')} ${style.foreign(mend)}`);
    }
  }
  lines.push(`  ${verdict(hosts, style)}`);
  return `${lines.join('\n')}\n`;
}

function rowOf(host: HostCheck): string[] {
  const { name, reached, elapsed_ms: elapsedMs, node, qrun, queue, locks, sweeps } = host;
  if (!reached) return [name, 'no'];
  const { free_bytes: freeBytes, clock_ahead_s: ahead } = host;
  const sum = (of: (sweep: HostCheck['sweeps'][number]) => number): string =>
    // Without an answer of the qrun there nothing is known.
    locks === null && qrun === null ? NONE : formatCount(sweeps.reduce((total, one) => total + of(one), 0));
  return [
    name,
    elapsedMs === null ? NONE : `${formatCount(elapsedMs)} ms`,
    node ?? NONE,
    qrun ?? NONE,
    queue ?? NONE,
    freeBytes === null ? NONE : formatSize(freeBytes),
    ahead === null ? NONE : ahead === 0 ? 'ok' : `${ahead > 0 ? '+' : ''}${formatCount(ahead)} s`,
    locks === null ? NONE : locks === 'koffi' ? 'ok' : 'slow',
    sum(({ running }) => running),
    sum(({ queued }) => queued),
  ];
}

function verdict(hosts: readonly HostCheck[], { paint }: Style): string {
  const bad = hosts.filter(({ findings }) => findings.some(({ state }) => state === 'problem')).length;
  if (bad === 0) return paint.good(`the sweep can run on ${formatAmount(hosts.length, 'host')}`);
  const which = bad === hosts.length ? `${formatAmount(bad, 'host')}` : `${bad} of ${hosts.length} hosts`;
  return paint.bad(`the sweep cannot run on ${which}`);
}
