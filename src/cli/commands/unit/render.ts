import { formatDuration } from '../../../core/text/duration.js';
import { pasteablePath, pasteableWord } from '../../../core/text/shell.js';
import type { RunSummary } from '../../../core/unit/events.js';
import { sharedLines } from '../../../core/unit/judge.js';
import { renderHistogram } from '../../progress/histogram.js';
import { errorTitle, shortMessage } from '../../progress/notes.js';
import { formatAmount, formatCount, formatLatency, formatRate } from '../../terminal/format.js';
import type { Paint, Style } from '../../terminal/style.js';
import { clipMiddle, displayWidth, padEnd, padStart, wrap } from '../../terminal/text.js';

// Text wider than this is hard to read, however wide the terminal is.
const MAX_WIDTH = 100;
const INDENT = 2;
const LABEL_WIDTH = 10;
const MAX_ERRORS = 10;
const MESSAGE_LENGTH = 500;
const MESSAGE_LINES = 4;

/** What {@link renderSummary} uses besides the summary. */
export interface SummaryContext {
  /** The unit's directory as the user can type it in the shell's current directory; if omitted, the unit's id. */
  readonly directory?: string;
  /** Options that `qrun audit` needs to find the same log (`--log-dir`, `--param`, ...), one word each. */
  readonly auditOptions?: readonly string[];
}

/**
 * Returns the text that closes a run, ending with a newline: what happened, how much of it, how long queries took,
 * what failed and why, where the log is, and what to do next. No line is wider than 100 columns or the style's width,
 * except for the log's path and commands, which stay whole so that they can be copied.
 */
export function renderSummary(summary: RunSummary, style: Style, context: SummaryContext = {}): string {
  const width = Math.min(style.columns, MAX_WIDTH) - INDENT - LABEL_WIDTH;
  const blocks = [
    verdictLines(summary, style),
    [...countLines(summary, style, width), ...durationLines(summary, style, width)],
    labelled('servers', serverLines(summary, style, width), style),
    labelled('spread', renderHistogram(summary.histogram ?? [], style, width), style),
    labelled('slowest', slowestLines(summary, style, width), style),
    labelled('errors', errorLines(summary, style, width), style),
    labelled('left out', leftOutLines(summary, style, width), style),
    [...labelled('log', [style.foreign(summary.log)], style), ...nextLines(summary, style, context, width)],
  ];
  const text = blocks.filter(lines => lines.length > 0).map(lines => lines.join('\n'));
  return `${text.join('\n\n')}\n`;
}

function recordedTotal({ recorded }: RunSummary): number {
  return recorded.normal + recorded.skipped + recorded.error;
}

// A file may have several problems.
function cannotRun({ cannot_run }: RunSummary): number {
  return new Set(cannot_run.map(({ query }) => query)).size;
}

// Nothing in this run explains its exit code 20: it left earlier failures as they are.
function keptErrors(summary: RunSummary): boolean {
  const { exit_code, recorded, not_run } = summary;
  return exit_code === 20 && recorded.error + not_run + cannotRun(summary) === 0;
}

function queries(count: number): string {
  return formatAmount(count, 'query');
}

function stand(count: number): string {
  return count === 1 ? 'stands' : 'stand';
}

/** Returns what happened, in plain words, and whether it is good; colour and mark say the same. */
function verdict(summary: RunSummary): { readonly kind: 'good' | 'caution' | 'bad'; readonly text: string } {
  const { recorded, not_run, selected, stopped, exit_code } = summary;
  const { error } = recorded;
  const refused = cannotRun(summary);
  if (stopped !== null || not_run > 0) {
    const why = stopped === null ? '' : ` (${stopped})`;
    const failed = error === 0 ? '' : `, ${formatCount(error)} ${stand(error)} as error`;
    return { kind: 'caution', text: `stopped early${why}: ${queries(not_run)} not run${failed}` };
  }
  if (error > 0 || refused > 0) {
    const failed =
      error === 0 ? [] : [`${formatCount(error)} of ${queries(selected)} ${stand(error)} as error`];
    const out =
      refused === 0
        ? []
        : [`${queries(refused)} left out because ${refused === 1 ? 'it' : 'they'} cannot run`];
    return { kind: 'bad', text: ['ran to the end', ...failed, ...out].join(', ') };
  }
  if (keptErrors(summary)) return { kind: 'bad', text: 'errors of earlier runs stand (--rerun none)' };
  if (exit_code !== 0) return { kind: 'bad', text: `ended with exit code ${exit_code}` };
  if (selected === 0) return { kind: 'caution', text: 'nothing to do, the selection holds no query' };
  const all = selected === 1 ? 'the query is settled' : `all ${queries(selected)} are settled`;
  return { kind: 'good', text: recordedTotal(summary) === 0 ? `nothing to do, ${all}` : all };
}

function verdictLines(summary: RunSummary, style: Style): string[] {
  const { kind, text } = verdict(summary);
  const lines = wrap(
    `${style.foreign(summary.unit)}: ${style.foreign(text)}`,
    Math.min(style.columns, MAX_WIDTH) - INDENT,
  );
  const mark = style.paint[kind](style.marks[kind]);
  return lines.map((line, index) => `${index === 0 ? mark : ' '} ${style.paint.strong(line)}`);
}

/** Returns lines with a label beside the first; none without lines. */
function labelled(label: string, lines: readonly string[], style: Style): string[] {
  const margin = ' '.repeat(INDENT);
  return lines.map((line, index) => {
    const head = padEnd(index === 0 ? label : '', LABEL_WIDTH);
    return `${margin}${style.paint.faint(head)}${line}`;
  });
}

type Figure = readonly [value: string, name: string, color: keyof Paint | undefined];

/**
 * Returns rows of figures below each other: numbers right-aligned, names left-aligned; one figure a line where it is
 * narrow.
 */
function figureRows(
  rows: readonly (readonly [string, readonly Figure[]])[],
  style: Style,
  width: number,
): string[] {
  const valueWidth = Math.max(...rows.flatMap(([, row]) => row.map(([value]) => displayWidth(value))));
  const columns = Math.max(...rows.map(([, row]) => row.length));
  const nameWidths = Array.from({ length: columns }, (_, index) =>
    Math.max(...rows.map(([, row]) => row[index]?.[1].length ?? 0)),
  );
  const draw = ([value, name, color]: Figure, index: number, last: boolean): string => {
    const number = padStart(value, valueWidth);
    const label = style.paint.faint(last ? name : padEnd(name, nameWidths[index] ?? 0));
    return `${color === undefined ? number : style.paint[color](number)} ${label}`;
  };
  const needed = nameWidths.reduce((sum, name) => sum + valueWidth + 1 + name, 0) + 3 * (columns - 1);
  return rows.flatMap(([label, row]) => {
    const cells = row.map((figure, index) => draw(figure, index, needed > width || index === row.length - 1));
    return labelled(label, needed > width ? cells : [cells.join('   ')], style);
  });
}

const FIGURE_COLORS: Readonly<Record<string, keyof Paint>> = { 'not run': 'caution', error: 'bad' };

function countLines(summary: RunSummary, style: Style, width: number): string[] {
  const { recorded, not_run, retries } = summary;
  const rows = {
    queries: { selected: summary.selected, 'settled before': summary.settled_before, 'not run': not_run },
    recorded: { normal: recorded.normal, skipped: recorded.skipped, error: recorded.error },
    work: { 'lines appended': summary.records, [retries === 1 ? 'retry' : 'retries']: retries },
  };
  const figures = (counts: Readonly<Record<string, number>>): Figure[] =>
    Object.entries(counts).map(([name, count]) => [
      formatCount(count),
      name,
      count > 0 ? FIGURE_COLORS[name] : undefined,
    ]);
  return figureRows(
    Object.entries(rows).map(([label, counts]) => [label, figures(counts)]),
    style,
    width,
  );
}

// What each of several servers did; none with one.
function serverLines({ servers }: RunSummary, style: Style, width: number): string[] {
  const counts = servers.map(({ recorded }) => formatCount(recorded));
  const countWidth = Math.max(0, ...counts.map(displayWidth));
  return servers.map(({ server }, index) => {
    const name = clipMiddle(style.foreign(server), width - countWidth - 2, style.marks.ellipsis);
    return `${padStart(counts[index] ?? '', countWidth)}  ${name}`;
  });
}

function durationLines(summary: RunSummary, style: Style, width: number): string[] {
  const { durations, elapsed_ms } = summary;
  const count = recordedTotal(summary);
  const elapsed = formatDuration(elapsed_ms);
  const lines = labelled(
    'elapsed',
    [count === 0 || elapsed_ms <= 0 ? elapsed : `${elapsed}, ${formatRate((count * 1000) / elapsed_ms)}`],
    style,
  );
  if (durations === null) return lines;
  const quantiles = (['p50', 'p95', 'p99', 'max'] as const).map(
    name => `${name} ${formatLatency(durations[`${name}_ms`])}`,
  );
  const oneLine = quantiles.join('   ');
  return [...lines, ...labelled('duration', displayWidth(oneLine) <= width ? [oneLine] : quantiles, style)];
}

function slowestLines(summary: RunSummary, style: Style, width: number): string[] {
  const times = summary.slowest.map(({ duration_ms }) => formatLatency(duration_ms));
  const timeWidth = Math.max(0, ...times.map(displayWidth));
  return summary.slowest.map(({ query }, index) => {
    const name = clipMiddle(style.foreign(query), width - timeWidth - 2, style.marks.ellipsis);
    return `${padStart(times[index] ?? '', timeWidth)}  ${name}`;
  });
}

function errorLines(summary: RunSummary, style: Style, width: number): string[] {
  const { ellipsis } = style.marks;
  const countWidth = Math.max(0, ...summary.errors.map(({ count }) => formatCount(count).length));
  const room = width - countWidth - 2;
  const margin = ' '.repeat(countWidth + 2);
  const lines = summary.errors.slice(0, MAX_ERRORS).flatMap(error => {
    const title = wrap(errorTitle(error, style), room);
    const example = `e.g. ${clipMiddle(style.foreign(error.example), room - 5, ellipsis)}`;
    const message = wrap(shortMessage(error.message, style, MESSAGE_LENGTH), room);
    const shown = message.slice(0, MESSAGE_LINES);
    if (message.length > MESSAGE_LINES) {
      shown[MESSAGE_LINES - 1] = `${(shown.at(-1) ?? '').slice(0, room - ellipsis.length)}${ellipsis}`;
    }
    const count = style.paint.bad(padStart(formatCount(error.count), countWidth));
    return [
      ...title.map((line, index) => (index === 0 ? `${count}  ${line}` : margin + line)),
      ...shown.filter(line => line !== '').map(line => margin + style.paint.faint(line)),
      margin + style.paint.faint(example),
    ];
  });
  const hidden = summary.errors.length - MAX_ERRORS;
  return hidden > 0
    ? [...lines, `${margin}${style.paint.faint(`and ${formatCount(hidden)} other errors`)}`]
    : lines;
}

function leftOutLines({ cannot_run, no_statement }: RunSummary, style: Style, width: number): string[] {
  const refused = sharedLines(cannot_run);
  const shown = refused
    .slice(0, MAX_ERRORS)
    .flatMap(line => wrap(style.foreign(line), width).slice(0, MESSAGE_LINES));
  const more = refused.length - MAX_ERRORS;
  const empty = no_statement.length;
  return [
    ...shown,
    ...(more > 0 ? [style.paint.faint(`and ${formatCount(more)} other problems (--json has all)`)] : []),
    ...(empty > 0
      ? wrap(
          `${formatCount(empty)} ${empty === 1 ? 'file holds' : 'files hold'} no statement, such as ${style.foreign(`${no_statement[0]}.sql`)}`,
          width,
        )
      : []),
  ];
}

function nextLines(summary: RunSummary, style: Style, context: SummaryContext, width: number): string[] {
  const { recorded, not_run, exit_code } = summary;
  const asciiOnly = !style.unicode;
  const options = (context.auditOptions ?? []).map(word => pasteableWord(word, asciiOnly));
  const unit = pasteablePath(context.directory ?? summary.unit, asciiOnly);
  const audit = ['qrun audit', unit, ...options].join(' ');
  const auditLines = (purpose: string): string[] => {
    const oneLine = displayWidth(audit) + 2 + purpose.length <= width;
    const faint = style.paint.faint(purpose);
    return oneLine ? [`${audit}  ${faint}`] : [audit, faint];
  };
  if (exit_code === 0) return labelled('next', auditLines('checks the log against the files'), style);
  const left = not_run + recorded.error;
  const what = not_run === 0 ? `only the ${queries(left)} that failed` : `the ${queries(left)} left`;
  const corrected = cannotRun(summary) > 0 && left === 0;
  const nothing = corrected
    ? 'correct the files, and start the same command again'
    : 'start the same command again';
  const once = keptErrors(summary) ? `${nothing}, without --rerun none` : nothing;
  const again = left === 0 ? once : `the same command again runs ${what}`;
  const text = exit_code === 24 ? `when the engine answers again, ${again}` : again;
  return labelled('next', [...wrap(text, width), ...auditLines('lists what is not settled')], style);
}
