import { isMet, type PartResult, shown, type Table, type Target } from './result.js';

/** What a run of the bench found, and where. */
export interface BenchReport {
  readonly date: string;
  readonly commit: string;
  readonly machine: string;
  readonly node: string;
  /** Whether only a tenth of the work was done: such numbers only show that the bench works. */
  readonly quick: boolean;
  readonly results: readonly PartResult[];
}

/** Returns the report as Markdown: the targets, then a table for each part. */
export function inMarkdown({ date, commit, machine, node, quick, results }: BenchReport): string {
  const targets = results.flatMap(result => result.targets);
  const lines = [
    `${date}, commit ${commit}, ${machine}, Node ${node}, ClickHouse 18.16.1 on the same machine.${quick ? ' A quick run: these numbers mean nothing.' : ''}`,
    '',
    ...(targets.length === 0 ? [] : targetTable(targets)),
  ];
  for (const { title, how, table } of results) {
    lines.push('', `### ${title}`, '', how, '', ...markdownTable(table));
  }
  return `${lines.join('\n')}\n`;
}

function targetTable(targets: readonly Target[]): string[] {
  return markdownTable({
    head: ['what', 'wanted', 'reached', ''],
    rows: targets.map(target => [
      target.what,
      `${target.atLeast ? 'at least' : 'at most'} ${shown(target.wanted)} ${target.unit}`.trim(),
      `${shown(target.reached)} ${target.unit}`.trim(),
      isMet(target) ? 'met' : '**not met**',
    ]),
  });
}

function markdownTable({ head, rows }: Table): string[] {
  const cells = (row: readonly (string | number)[]): string =>
    `| ${row.map(cell => (typeof cell === 'number' ? shown(cell) : cell)).join(' | ')} |`;
  const rule = head.map((_, i) => (typeof rows[0]?.[i] === 'number' ? '---:' : '---'));
  return [cells(head), cells(rule), ...rows.map(cells)];
}
