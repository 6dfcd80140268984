import type { LogVisitor } from './log-scan.js';
import type { RecordHead } from './record-head.js';

/**
 * One thing that was found, with what distinguishes it from another one at the same place. For a record that is its
 * run: a run is one process and ends with an append that failed, so it never writes a second record to the same
 * place.
 */
export interface Finding {
  readonly kind: keyof LogVisitor;
  readonly start: number;
  /** A group: its end. Unreadable: its length. A partial group: the records seen. A newer record: its schema. */
  readonly number: number;
  /** A record: its run. Another unit's record: that unit. */
  readonly text: string | undefined;
}

/** Passes to a visitor only what comes after the last finding, provided that this finding comes first. */
export class Continuation implements LogVisitor {
  readonly #visitor: LogVisitor;
  readonly #awaited: Finding | undefined;
  #hasMet: boolean;
  last: Finding | undefined;
  /** Something else came first. */
  differs = false;

  constructor(visitor: LogVisitor, last: Finding | undefined) {
    this.#visitor = visitor;
    this.#awaited = last;
    this.#hasMet = last === undefined;
    this.last = last;
  }

  /** Whether the last finding was found again. */
  get isOne(): boolean {
    return this.#hasMet && !this.differs;
  }

  group(head: RecordHead, start: number, end: number): void {
    if (this.#isNew('group', start, end, head.run)) this.#visitor.group(head, start, end);
  }

  partial(head: RecordHead, seen: number, start: number): void {
    if (this.#isNew('partial', start, seen, head.run)) this.#visitor.partial(head, seen, start);
  }

  foreign(start: number, unit: string | undefined): void {
    if (this.#isNew('foreign', start, 0, unit)) this.#visitor.foreign(start, unit);
  }

  newer(start: number, schema: number): void {
    if (this.#isNew('newer', start, schema, undefined)) this.#visitor.newer(start, schema);
  }

  unreadable(start: number, bytes: number): void {
    if (this.#isNew('unreadable', start, bytes, undefined)) this.#visitor.unreadable(start, bytes);
  }

  #isNew(kind: Finding['kind'], start: number, number: number, text: string | undefined): boolean {
    if (this.differs) return false;
    if (this.#hasMet) {
      this.last = { kind, start, number, text };
      return true;
    }
    const awaited = this.#awaited as Finding;
    this.#hasMet =
      awaited.kind === kind && awaited.start === start && awaited.number === number && awaited.text === text;
    this.differs = !this.#hasMet;
    return false;
  }
}
