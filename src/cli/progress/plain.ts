import { formatCount, formatElapsed, formatEstimate, formatLatency, formatRate } from '../terminal/format.js';
import type { Style } from '../terminal/style.js';
import { padEnd, padStart } from '../terminal/text.js';
import { conditionText } from './live.js';
import type { Note } from './notes.js';
import type { ProgressSnapshot } from './state.js';

const LABEL_WIDTH = 8;

/**
 * Returns one line for a log: time in UTC, label, text, aligned with all others; without a newline at the end, escape
 * codes or carriage returns. `style` must be one without colours.
 */
export function plainLine(label: string, text: string, nowMs: number): string {
  const at = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return `${at}  ${padEnd(label, LABEL_WIDTH)}  ${text}`.trimEnd();
}

/** Returns a note as a line for a log. */
export function plainNote(note: Note, nowMs: number): string {
  const detail = note.detail === undefined || note.detail === '' ? '' : `: ${note.detail}`;
  const subject = note.subject === undefined ? '' : `${note.subject}  `;
  return plainLine(note.label, subject + note.text + detail, nowMs);
}

/** Returns the state of a run as a line for a log; numbers keep their positions from line to line. */
export function plainProgress(snapshot: ProgressSnapshot, style: Style, nowMs: number): string {
  const total = formatCount(snapshot.total);
  const share = snapshot.total === 0 ? 1 : Math.min(1, snapshot.done / snapshot.total);
  const count = (value: number): string => padStart(formatCount(value), total.length);
  const latency = (valueMs: number | undefined): string =>
    padStart(valueMs === undefined ? '-' : formatLatency(valueMs), 7);
  const parts = [
    `${count(snapshot.done)}/${total} ${padStart(`${Math.floor(share * 100)}%`, 4)}`,
    `normal ${count(snapshot.counts.normal)}`,
    `skipped ${count(snapshot.counts.skipped)}`,
    `error ${count(snapshot.counts.error)}`,
    `running ${padStart(formatCount(snapshot.running), 3)}`,
    padStart(snapshot.perSecond === undefined ? '- q/s' : formatRate(snapshot.perSecond), 9),
    `p50 ${latency(snapshot.p50Ms)}`,
    `p95 ${latency(snapshot.p95Ms)}`,
    `elapsed ${padStart(formatElapsed(snapshot.elapsedMs), 7)}`,
    `ETA ${padStart(snapshot.etaMs === undefined ? '-' : formatEstimate(snapshot.etaMs), 7)}`,
  ];
  const condition = conditionText(snapshot.condition, snapshot, style);
  if (condition !== undefined) parts.push(condition);
  return plainLine('progress', parts.join('  '), nowMs);
}
