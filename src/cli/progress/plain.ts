import {
  formatCount,
  formatElapsed,
  formatEstimate,
  formatLatency,
  formatRate,
  orDash,
} from '../terminal/format.js';
import type { Style } from '../terminal/style.js';
import { padEnd, padStart } from '../terminal/text.js';
import { conditionText, doneText } from './live.js';
import { type Note, wholeText } from './notes.js';
import type { ProgressSnapshot } from './state.js';

const LABEL_WIDTH = 8;

/**
 * Returns one line for a log: time in UTC, label, text, aligned with all others; without a newline at the end, escape
 * codes or carriage returns.
 */
function plainLine(label: string, text: string, nowMs: number): string {
  const at = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return `${at}  ${padEnd(label, LABEL_WIDTH)}  ${text}`.trimEnd();
}

/** Returns a note as a line for a log. */
export function plainNote(note: Note, nowMs: number): string {
  const subject = note.subject === undefined ? '' : `${note.subject}  `;
  return plainLine(note.label, subject + wholeText(note), nowMs);
}

/**
 * Returns the state of a run as a line for a log; numbers keep their positions from line to line. `style` must be one
 * without colours.
 */
export function plainProgress(snapshot: ProgressSnapshot, style: Style, nowMs: number): string {
  const { counts, perSecond } = snapshot;
  const width = formatCount(snapshot.total).length;
  const count = (value: number): string => padStart(formatCount(value), width);
  const parts = [
    doneText(snapshot),
    `normal ${count(counts.normal)}`,
    `skipped ${count(counts.skipped)}`,
    `error ${count(counts.error)}`,
    `running ${padStart(formatCount(snapshot.running), 3)}`,
    padStart(perSecond === undefined ? '- q/s' : formatRate(perSecond), 9),
    `p50 ${padStart(orDash(snapshot.p50Ms, formatLatency), 7)}`,
    `p95 ${padStart(orDash(snapshot.p95Ms, formatLatency), 7)}`,
    `elapsed ${padStart(formatElapsed(snapshot.elapsedMs), 7)}`,
    `ETA ${padStart(orDash(snapshot.etaMs, formatEstimate), 7)}`,
    conditionText(snapshot, style) ?? '',
  ];
  return plainLine('progress', parts.join('  '), nowMs);
}
