import { drawBar } from '../terminal/bar.js';
import {
  formatCount,
  formatElapsed,
  formatEstimate,
  formatLatency,
  formatRateNumber,
  orDash,
} from '../terminal/format.js';
import type { Style } from '../terminal/style.js';
import { clip, clipMiddle, displayWidth, padEnd, padStart, wrap } from '../terminal/text.js';
import { type Note, wholeText } from './notes.js';
import type { ProgressSnapshot } from './state.js';

// A query that runs for less than this is not news, and its name would change with each frame.
const LONG_RUNNING_MS = 2_000;
// With fewer terminal rows only the first line is shown: the rest would scroll away what is above it.
const ROWS_FOR_ALL = 6;

// A mark and a space.
const NOTE_INDENT = '  ';

interface Cell {
  readonly label: string;
  readonly value: string;
  readonly paint?: ((text: string) => string) | undefined;
}

interface Pair {
  readonly upper: Cell;
  readonly lower: Cell;
  /** Columns that the values take at least, so that a growing number moves nothing. */
  readonly valueWidth: number;
  /** Which pairs are dropped first when the terminal is narrow: those with the greatest rank. */
  readonly rank: number;
}

/**
 * Returns the lines of the live view for one moment, none wider than `columns - 1` (a full line would make some
 * terminals wrap): at most four, and always the same number for the same terminal, so that nothing jumps.
 */
export function liveFrame(snapshot: ProgressSnapshot, style: Style, columns: number, rows = 24): string[] {
  const available = columns - 1;
  if (!snapshot.started) {
    const condition = conditionText(snapshot, style);
    return condition === undefined
      ? []
      : [style.paint.caution(clip(condition, available, style.marks.ellipsis))];
  }
  const { pairs, gap, width } = fitPairs(pairsOf(snapshot, style), available);
  const frameWidth = pairs.length >= 3 ? width : available;
  const bar = barLine(snapshot, style, frameWidth);
  if (rows < ROWS_FOR_ALL || pairs.length === 0) return [bar];
  const separator = ' '.repeat(gap);
  const row = (pick: 'upper' | 'lower'): string =>
    pairs.map(pair => drawCell(pair, pair[pick], style)).join(separator);
  return [bar, row('upper'), row('lower'), lastLine(snapshot, style, frameWidth)];
}

/**
 * Returns the lines of a note as they stay above the live view, none wider than `columns - 1`. A note about one query
 * takes one line, or two if it does not fit; other notes are wrapped and stay whole.
 */
export function noteLines(note: Note, style: Style, columns: number): string[] {
  const { marks, paint } = style;
  const available = columns - 1 - NOTE_INDENT.length;
  const faint = note.level === 'plain' ? paint.faint : (text: string): string => text;
  const mark = note.level === 'plain' ? ' ' : paint[note.level](marks[note.level]);
  const text = wholeText(note);
  if (note.subject === undefined) {
    return wrap(text, available).map((line, index) => `${index === 0 ? mark : ' '} ${faint(line)}`);
  }
  if (displayWidth(note.subject) + 2 + displayWidth(text) <= available) {
    return [`${mark} ${note.subject}  ${paint.faint(text)}`];
  }
  return [
    `${mark} ${clipMiddle(note.subject, available, marks.ellipsis)}`,
    NOTE_INDENT + paint.faint(clip(text, available, marks.ellipsis)),
  ];
}

function pairsOf(snapshot: ProgressSnapshot, style: Style): Pair[] {
  const { counts, retries } = snapshot;
  const cell = (label: string, value: string, paint?: Cell['paint']): Cell => ({ label, value, paint });
  const count = (label: string, value: number, paint?: Cell['paint']): Cell =>
    cell(label, formatCount(value), value > 0 ? paint : undefined);
  return [
    {
      upper: count('normal', counts.normal),
      lower: count('skipped', counts.skipped),
      valueWidth: Math.max(5, formatCount(snapshot.total).length),
      rank: 4,
    },
    {
      upper: count('error', counts.error, style.paint.bad),
      lower: count('retries', retries, style.paint.caution),
      valueWidth: 4,
      rank: 2,
    },
    {
      upper: count('running', snapshot.running),
      lower: cell('q/s', orDash(snapshot.perSecond, formatRateNumber)),
      valueWidth: 5,
      rank: 3,
    },
    {
      upper: cell('p50', orDash(snapshot.p50Ms, formatLatency)),
      lower: cell('p95', orDash(snapshot.p95Ms, formatLatency)),
      valueWidth: 7,
      rank: 5,
    },
    {
      upper: cell('elapsed', formatElapsed(snapshot.elapsedMs)),
      lower: cell('ETA', orDash(snapshot.etaMs, formatEstimate)),
      valueWidth: 7,
      rank: 1,
    },
  ];
}

function pairWidth(pair: Pair): number {
  const value = Math.max(pair.valueWidth, displayWidth(pair.upper.value), displayWidth(pair.lower.value));
  return labelWidth(pair) + 1 + value;
}

function labelWidth(pair: Pair): number {
  return Math.max(pair.upper.label.length, pair.lower.label.length);
}

function drawCell(pair: Pair, cell: Cell, style: Style): string {
  const label = style.paint.faint(padEnd(cell.label, labelWidth(pair)));
  const value = padStart(cell.value, pairWidth(pair) - labelWidth(pair));
  return label + (cell.paint === undefined ? value : cell.paint(value));
}

/** Returns those pairs that fit beside each other, in their order, and the gap between them. */
function fitPairs(pairs: Pair[], available: number): { pairs: Pair[]; gap: number; width: number } {
  const fitting = [...pairs];
  const sum = (): number => fitting.reduce((total, pair) => total + pairWidth(pair), 0);
  while (fitting.length > 0 && sum() + 2 * (fitting.length - 1) > available) {
    fitting.splice(fitting.indexOf(fitting.reduce((a, b) => (b.rank > a.rank ? b : a))), 1);
  }
  const gaps = Math.max(1, fitting.length - 1);
  const gap = Math.min(5, Math.max(2, Math.floor((available - sum()) / gaps)));
  return { pairs: fitting, gap, width: sum() + gap * (fitting.length - 1) };
}

function shareDone({ done, total }: ProgressSnapshot): number {
  return total === 0 ? 1 : Math.min(1, done / total);
}

/** Returns how much is done, rounded down: 100 % means all of it. Always as wide for the same total. */
export function doneText(snapshot: ProgressSnapshot): string {
  const total = formatCount(snapshot.total);
  const percent = padStart(`${Math.floor(shareDone(snapshot) * 100)}%`, 4);
  return `${padStart(formatCount(snapshot.done), total.length)}/${total} ${percent}`;
}

function barLine(snapshot: ProgressSnapshot, style: Style, width: number): string {
  const numbers = doneText(snapshot);
  const cells = width - displayWidth(numbers) - 2;
  if (cells < 4) return clip(numbers, width, style.marks.ellipsis);
  return `${drawBar(shareDone(snapshot), cells, style)}  ${style.paint.strong(numbers)}`;
}

/** Returns what the run waits for, then what has been running longest; empty when neither is worth a line. */
function lastLine(snapshot: ProgressSnapshot, style: Style, width: number): string {
  const { condition } = snapshot;
  // Retries are common and pass; a query that has been running for long is more important.
  if (condition?.kind === 'retrying') {
    const short = `retrying ${formatCount(condition.waiting)}`;
    const longest = longestText(snapshot, style, width - short.length - 2);
    if (longest !== '') return `${style.paint.caution(short)}  ${longest}`;
  }
  const text = conditionText(snapshot, style);
  if (text === undefined) return longestText(snapshot, style, width);
  const shown = clip(text, width, style.marks.ellipsis);
  const longest = longestText(snapshot, style, width - displayWidth(shown) - 2);
  return style.paint.caution(shown) + (longest === '' ? '' : `  ${longest}`);
}

function longestText(snapshot: ProgressSnapshot, style: Style, room: number): string {
  const { longest } = snapshot;
  if (longest === undefined || longest.forMs < LONG_RUNNING_MS) return '';
  const attempt = longest.attempt > 1 ? `, attempt ${longest.attempt}` : '';
  const tail = ` ${formatElapsed(longest.forMs)}${attempt}`;
  const nameRoom = room - 'longest '.length - tail.length;
  if (nameRoom < 8) return '';
  const name = clipMiddle(style.foreign(longest.query), nameRoom, style.marks.ellipsis);
  return `${style.paint.faint('longest')} ${name}${style.paint.faint(tail)}`;
}

/** Returns what a run waits for in words, without colours; `undefined` when it waits for nothing. */
export function conditionText({ condition, running }: ProgressSnapshot, style: Style): string | undefined {
  switch (condition?.kind) {
    case undefined:
      return undefined;
    case 'setup':
      return `setup ${style.foreign(condition.file)} for ${formatElapsed(condition.forMs)}`;
    case 'lost':
      return `engine lost ${formatElapsed(condition.forMs)} ago, waiting: ${style.foreign(condition.reason)}`;
    case 'stopping': {
      const verb = condition.how === 'drain' ? 'finishing' : 'cancelling';
      return `stopping (${style.foreign(condition.reason)}): ${verb} ${formatCount(running)}`;
    }
    case 'retrying':
      return (
        `retrying ${formatCount(condition.waiting)}, next in ${formatElapsed(condition.nextMs + 999)} ` +
        `(${style.foreign(condition.error)})`
      );
  }
}
