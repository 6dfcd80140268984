import type { RecordHead } from '../log/record.js';
import type { LogVisitor } from '../log/scan/log-scan.js';
import type { Outcome } from '../model.js';
import { isWaiting, type QueueTask, type TaskEnd } from '../queue/queue.js';
import type { Output } from '../schema.js';
import type { unitStatus } from './status.schema.js';

/** Where a unit of a sweep is. */
export type UnitState = UnitStatus['state'];

/** One unit in the status of a sweep. */
export interface UnitStatus extends Output<typeof unitStatus> {}

interface State {
  readonly outcome: Outcome;
  readonly parts: number;
}

/**
 * What the log of a unit holds, as final states without their fingerprints: the status counts, and only the audit
 * judges. It can be kept while the log grows.
 */
export class UnitProgress implements LogVisitor {
  readonly #final = new Map<string, State>();
  #run = '';
  #groupsOfRun = 0;

  /** The newest run that recorded anything, and how many groups it recorded. */
  get lastRun(): { readonly run: string; readonly groups: number } {
    return { run: this.#run, groups: this.#groupsOfRun };
  }

  group({ query, outcome, parts, run }: RecordHead): void {
    this.#final.set(query, { outcome, parts });
    if (run !== this.#run) {
      this.#run = run;
      this.#groupsOfRun = 0;
    }
    this.#groupsOfRun += 1;
  }

  partial({ query }: RecordHead): void {
    this.#final.delete(query);
  }

  foreign(): void {}
  newer(): void {}
  unreadable(): void {}

  /** The first of these queries that have no result; at most `limit`. */
  unrecorded(queries: readonly string[], limit: number): string[] {
    const found: string[] = [];
    for (const query of queries) {
      if (found.length === limit) break;
      if (!this.#final.has(query)) found.push(query);
    }
    return found;
  }

  /** Rows that a normal result has on average; `undefined` without one. */
  get width(): number | undefined {
    let lines = 0;
    let normal = 0;
    for (const { outcome, parts } of this.#final.values()) {
      if (outcome !== 'normal') continue;
      lines += parts;
      normal += 1;
    }
    return normal === 0 ? undefined : lines / normal;
  }

  /**
   * The counts for the queries that the unit has; `rows` of a normal result where they are known, and else
   * `usualRows` for an estimate of those that have no result yet.
   */
  counts(
    queries: readonly string[],
    rows: number | undefined,
    usualRows = 1,
  ): Pick<UnitStatus, 'queries' | 'settled' | 'errors' | 'found_lines' | 'expected_lines' | 'estimated'> {
    let normal = 0;
    let skipped = 0;
    let errors = 0;
    let found = 0;
    let normalLines = 0;
    for (const name of queries) {
      const state = this.#final.get(name);
      if (state === undefined) continue;
      found += state.parts;
      if (state.outcome === 'error') errors += 1;
      else if (state.outcome === 'skipped') skipped += 1;
      else {
        normal += 1;
        normalLines += state.parts;
      }
    }
    const settled = normal + skipped;
    const missing = queries.length - settled - errors;
    const width = rows ?? (normal === 0 ? usualRows : normalLines / normal);
    return {
      queries: queries.length,
      settled,
      errors,
      found_lines: found,
      expected_lines: Math.round(
        (rows === undefined ? normalLines : normal * rows) + skipped + errors + missing * width,
      ),
      estimated: rows === undefined && missing > 0,
    };
  }
}

/** What decides a unit's state. */
export interface UnitFacts {
  readonly task: QueueTask | undefined;
  /** Who holds its lease, for people. */
  readonly holder: string | undefined;
  readonly queries: number;
  readonly settled: number;
  readonly errors: number;
}

/**
 * Returns the state of a unit. The queue tells whether it waits or runs, its lease whether it runs outside the queue, and
 * its log the rest.
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
    return { state: task.phase, note: elsewhere ? `runs outside the queue: ${holder}` : '' };
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
  20: 'some queries stand as error',
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
