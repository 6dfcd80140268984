import { type AuditReport, formula } from '../../core/audit.js';
import { formatCount } from './format.js';
import type { Style } from './style.js';

const MAX_NAMES = 10;

const VERDICT_TEXT: Readonly<Record<AuditReport['verdict'], string>> = {
  complete: 'complete: every query has one whole result, and the log holds nothing else',
  errors: 'errors: every query is recorded, some as error',
  incomplete: 'incomplete: results are missing, partial or stale',
  inconsistent: 'inconsistent: the log holds what it must not hold',
};

/** The text of one or more audits: for each the formula with its numbers, what deviates, and the verdict. */
export function renderAudits(reports: readonly AuditReport[], style: Style): string {
  const texts = reports.map(report => renderAudit(report, style));
  if (reports.length > 1) {
    const complete = reports.filter(report => report.verdict === 'complete').length;
    texts.push(`${formatCount(complete)} of ${formatCount(reports.length)} units are complete\n`);
  }
  return texts.join('\n');
}

function renderAudit(report: AuditReport, style: Style): string {
  const { paint } = style;
  const good = report.verdict === 'complete';
  const found =
    report.found_lines === report.expected_lines
      ? 'found as many'
      : `found ${formatCount(report.found_lines)}`;
  const lines = [
    `${paint.strong(style.foreign(report.unit))}  ${style.foreign(report.log)}`,
    `  ${formula(report)}   (queries x rows: normal, skipped, error; ${found})`,
    ...deviations(report, style).map(line => `  ${line}`),
    `  ${(good ? paint.good : paint.bad)(VERDICT_TEXT[report.verdict])}`,
  ];
  return `${lines.join('\n')}\n`;
}

function deviations(report: AuditReport, style: Style): string[] {
  const at = (offset: number): string => `byte ${offset}`;
  const classes: [string, readonly string[]][] = [
    ['missing', report.missing],
    [
      'error',
      report.failed.map(({ query, attempt }) => (attempt > 1 ? `${query} (attempt ${attempt})` : query)),
    ],
    ['partial', report.partial.map(({ query, found, parts }) => `${query} (${found} of ${parts} records)`)],
    ['duplicate', report.duplicate.map(({ query, times }) => `${query} (${times} times)`)],
    ['stale', report.stale],
    [
      'foreign',
      report.foreign.map(({ query, offset }) => (query === null ? `a line at ${at(offset)}` : query)),
    ],
    [
      'wrong width',
      report.wrong_width.map(({ query, rows, expected }) => `${query} (${rows}, not ${expected})`),
    ],
    ['unreadable', report.unreadable.map(({ offset, reason }) => `${at(offset)} (${reason})`)],
  ];
  const lines = classes
    .filter(([, names]) => names.length > 0)
    .map(([name, names]) => {
      const shown = names.slice(0, MAX_NAMES).map(style.foreign).join(', ');
      const more =
        names.length > MAX_NAMES
          ? `, and ${formatCount(names.length - MAX_NAMES)} more (--json has all)`
          : '';
      return `${style.paint.caution(`${name.padEnd(11)} ${formatCount(names.length)}`)}: ${shown}${more}`;
    });
  const { groups, lines: old } = report.superseded;
  if (groups > 0)
    lines.push(
      `superseded  ${formatCount(groups)}: older results, ${formatCount(old)} lines, replaced by later ones`,
    );
  return lines;
}
