import type { GroupRange } from './last-groups.js';
import type { LogVisitor } from './log-scan.js';
import type { RecordHead } from './record-head.js';

/**
 * Counts the attempts that a part of a log tells of: how many groups there are, how many attempts failed before them,
 * and where the records of errors lie. What belongs to no whole group, such as the end of one that began before the
 * part, is passed over. Memory: 16 bytes for each error.
 */
export class EndedAttempts implements LogVisitor {
  /** Whole groups, one for each query that ended. */
  groups = 0;
  /** Attempts that failed and were followed by another, also those that a full server turned away. */
  retried = 0;
  readonly errors: GroupRange[] = [];

  group({ attempt, outcome }: RecordHead, start: number, end: number): void {
    this.groups += 1;
    this.retried += attempt - 1;
    if (outcome === 'error') this.errors.push([start, end]);
  }

  partial(): void {}

  foreign(): void {}

  newer(): void {}

  unreadable(): void {}
}
