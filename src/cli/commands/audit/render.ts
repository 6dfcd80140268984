import { type AuditReport, formula } from '../../../core/log/audit.js';
import type { Settings } from '../../../core/model.js';
import { firstOf, formatCount } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';

const MAX_NAMES = 10;

const VERDICT_TEXT: Readonly<Record<AuditReport['verdict'], string>> = {
  complete: 'complete: every query has one whole result, and the log holds nothing else',
  errors: 'errors: every query is recorded, some as error',
  incomplete: 'incomplete: results are missing, partial or stale, or files cannot run',
  inconsistent: 'inconsistent: the log holds what it must not hold',
};

/** Returns the text of one or more audits: for each the formula with its numbers, what deviates, and the verdict. */
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
  const several = report.logs.length > 1;
  const names = report.logs.map(
    ({ log, lines }) => `${style.foreign(log)}${several && lines === null ? ' (no such log)' : ''}`,
  );
  const lines = [
    `${paint.strong(style.foreign(report.unit))}  ${names.join('  ')}`,
    formulaLine(report),
    ...deviations(report, style).map(line => `  ${line}`),
    ...notes(report, style).map(line => `  ${line}`),
    `  ${(good ? paint.good : paint.bad)(VERDICT_TEXT[report.verdict])}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** Returns the formula with its numbers, and whether as many lines were found. */
export function formulaLine(
  counted: Parameters<typeof formula>[0] & { readonly found_lines: number },
): string {
  const { found_lines: found, expected_lines: expected } = counted;
  const text = found === expected ? 'found as many' : `found ${formatCount(found)}`;
  return `  ${formula(counted)}   (queries x rows: normal, skipped, error; ${text})`;
}

function deviations(report: AuditReport, style: Style): string[] {
  const several = report.logs.length > 1;
  const at = ({ offset, log }: { readonly offset: number; readonly log: string }): string =>
    `byte ${offset}${several ? ` of ${log}` : ''}`;
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
      'cannot run',
      report.cannot_run.map(({ query, problem }) => `${query === null ? '' : `${query}.sql: `}${problem}`),
    ],
    ['foreign', report.foreign.map(line => line.query ?? `a line at ${at(line)}`)],
    [
      'wrong width',
      report.wrong_width.map(({ query, rows, expected }) => `${query} (${rows}, not ${expected})`),
    ],
    ['unreadable', report.unreadable.map(place => `${at(place)} (${place.reason})`)],
  ];
  const lines = classes
    .filter(([, names]) => names.length > 0)
    .map(([name, names]) => {
      const shown = firstOf(names, MAX_NAMES, style.foreign, 'more (--json has all)').join(', ');
      return `${style.paint.caution(`${name.padEnd(11)} ${formatCount(names.length)}`)}: ${shown}`;
    });
  const { groups, lines: old } = report.superseded;
  if (groups > 0)
    lines.push(
      `superseded  ${formatCount(groups)}: older results, ${formatCount(old)} lines, replaced by later ones`,
    );
  return lines;
}

// What explains the numbers.
function notes({ no_statement, left_out, stale, settings, last_run }: AuditReport, style: Style): string[] {
  const lines: string[] = [];
  if (no_statement.length > 0) {
    const names = firstOf(no_statement, MAX_NAMES, name => style.foreign(`${name}.sql`)).join(', ');
    lines.push(`not queries, because they hold no statement: ${names}`);
  }
  if (left_out > 0) lines.push(`${formatCount(left_out)} other queries of the unit are not selected`);
  if (stale.length > 0 && last_run !== null) {
    const run = style.foreign(last_run.run);
    lines.push(
      `judged with ${written(settings, style)}; the last run (${run}) had ${written(last_run.settings, style)}`,
      'give the audit the flags of that run, or run the unit again as it is configured now',
    );
  }
  return lines;
}

function written(settings: Settings, style: Style): string {
  const pairs = Object.entries(settings).map(([name, value]) => style.foreign(`${name}=${value}`));
  return pairs.length === 0 ? 'no settings' : pairs.join(', ');
}
