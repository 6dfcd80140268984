import { LogScanner, type LogVisitor, type OtherLines } from './log-scan.js';

// No unit has this name: to a scanner of it, every record is one of another unit.
const NO_UNIT = '\0';

/**
 * Finds the unit that a log is of: that of its first record, in whatever form. `others` is called with what comes
 * before it, and may throw.
 */
export class FirstUnit implements LogVisitor {
  readonly scanner = new LogScanner(NO_UNIT, this);
  readonly #others: OtherLines;
  #unit: string | undefined;

  constructor(others: OtherLines) {
    this.#others = others;
  }

  /** `undefined` as long as there was no record. */
  get unit(): string | undefined {
    return this.#unit;
  }

  group(): void {
    this.#unit ??= NO_UNIT;
  }

  partial(): void {
    this.#unit ??= NO_UNIT;
  }

  foreign(_start: number, unit: string | undefined): void {
    this.#unit ??= unit;
  }

  newer(start: number, schema: number): void {
    if (this.#unit === undefined) this.#others.newer(start, schema);
  }

  unreadable(start: number, bytes: number): void {
    if (this.#unit === undefined) this.#others.unreadable(start, bytes);
  }
}
