import type { FinalStates } from '../log/scan/index.js';
import { isWaiting, type QueueTask, type TaskEnd } from '../queue/queue.js';
import type { Output } from '../schema.js';
import type { hostStatus, sweepStatus, unitStatus } from './status.schema.js';

/** The state of a unit of a sweep. */
export type UnitState = UnitStatus['state'];

/** One unit in the status of a sweep. */
export interface UnitStatus extends Output<typeof unitStatus> {}

/** A host in the status of a sweep. */
export interface HostStatus extends Output<typeof hostStatus> {}

/** A sweep at one moment. */
export interface SweepStatus extends Output<typeof sweepStatus> {}

/** Returns the first of these queries that have no result; at most `limit`. */
export function unrecorded(states: FinalStates, queries: readonly string[], limit: number): string[] {
  const found: string[] = [];
  for (const query of queries) {
    if (found.length === limit) break;
    if (states.outcomeOf(states.find(query)) === undefined) found.push(query);
  }
  return found;
}

/** Returns how many rows a normal result has on average; `undefined` if there is none. */
export function usualRows(states: FinalStates): number | undefined {
  let lines = 0;
  let normal = 0;
  for (let number = 0; number < states.numbers; number += 1) {
    if (states.outcomeOf(number) !== 'normal') continue;
    lines += states.partsOf(number);
    normal += 1;
  }
  return normal === 0 ? undefined : lines / normal;
}

/** How much of a unit there is. */
export type UnitCounts = Pick<
  UnitStatus,
  'queries' | 'settled' | 'errors' | 'found_lines' | 'expected_lines' | 'estimated'
>;

/**
 * Returns the counts for the queries that the unit has, from final states with any fingerprints: the status counts, and
 * only the audit judges. `rows`: the rows of a normal result, if known. Otherwise `usual` is the estimate for queries
 * without a result, if no query has a normal one.
 */
export function countStates(
  states: FinalStates,
  queries: readonly string[],
  rows: number | undefined,
  usual = 1,
): UnitCounts {
  const counts = { normal: 0, skipped: 0, error: 0 };
  let found = 0;
  let normalLines = 0;
  for (const name of queries) {
    const number = states.find(name);
    const outcome = states.outcomeOf(number);
    if (outcome === undefined) continue;
    const parts = states.partsOf(number);
    counts[outcome] += 1;
    found += parts;
    if (outcome === 'normal') normalLines += parts;
  }
  const { normal, skipped, error } = counts;
  const settled = normal + skipped;
  const missing = queries.length - settled - error;
  const width = rows ?? (normal === 0 ? usual : normalLines / normal);
  return {
    queries: queries.length,
    settled,
    errors: error,
    found_lines: found,
    expected_lines: Math.round(
      (rows === undefined ? normalLines : normal * rows) + skipped + error + missing * width,
    ),
    estimated: rows === undefined && missing > 0,
  };
}

/** What decides a unit's state. */
export interface UnitFacts extends Pick<UnitStatus, 'queries' | 'settled' | 'errors'> {
  readonly task: QueueTask | undefined;
  /** Who holds its lease, for people. */
  readonly holder: string | undefined;
}

/**
 * Returns the state of a unit. The queue tells whether it waits or runs, its lease whether it runs outside the queue,
 * and its log everything else.
 */
export function unitState({
  task,
  holder,
  queries,
  settled,
  errors,
}: UnitFacts): Pick<UnitStatus, 'state' | 'note'> {
  if (task !== undefined && task.phase !== 'done') {
    const elsewhere = holder !== undefined && isWaiting(task);
    return { state: task.phase, note: elsewhere ? `runs outside the queue: ${holder}` : (task.waits ?? '') };
  }
  if (holder !== undefined) return { state: 'running', note: `outside the queue: ${holder}` };
  if (settled === queries) return { state: 'complete', note: '' };
  const note = task === undefined ? '' : endNote(task);
  if (settled + errors === queries) return { state: 'errors', note };
  if (note !== '') return { state: 'failed', note };
  return { state: task === undefined && settled + errors === 0 ? 'not submitted' : 'incomplete', note: '' };
}

// What the exit codes of `qrun unit` mean in a table; see EXIT_TABLE.
const EXIT_NOTES: Readonly<Record<number, string>> = {
  2: 'configuration',
  20: 'some queries ended as errors',
  22: 'was running elsewhere',
  23: 'its log cannot be trusted or written',
  24: 'the engine was away or refused it',
  25: 'halted by policy',
  129: 'drained',
  130: 'drained',
  137: 'killed at its memory cap, or by kill -9',
  143: 'drained',
};

const END_NOTES: Readonly<Record<TaskEnd['kind'], string>> = {
  success: '',
  failed: 'failed',
  killed: 'killed',
  lost: 'the queue lost it',
  'not started': 'was not started',
};

/** Returns how a task ended, in words; an empty string after a success. */
export function endNote({ end }: Pick<QueueTask, 'end'>): string {
  if (end === undefined) return '';
  if (end.kind !== 'failed') return end.says ?? END_NOTES[end.kind];
  const code = end.exitCode ?? 1;
  return `${EXIT_NOTES[code] ?? END_NOTES.failed} (${code})`;
}
