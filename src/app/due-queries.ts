import { type PlanReason, REASON_TEXT } from '../core/plan.js';
import { FINGERPRINT_DIGITS } from '../core/record.js';

/** A query of the plan. */
export interface PlannedQuery {
  readonly name: string;
  /** 16 hex digits. */
  readonly fingerprint: string;
  readonly reason: PlanReason;
  /** Rows that the file itself declares (`-- qrun: rows=3`). */
  readonly rows: number | undefined;
}

const PRINT_BYTES = FINGERPRINT_DIGITS / 2;
const REASONS = Object.keys(REASON_TEXT) as readonly PlanReason[];

/**
 * The due queries of a plan, in order, for one run: each is forgotten when it is taken.
 *
 * Memory: the name and 17 bytes for each, in place of 150 as objects, because a unit may have some hundred thousand.
 */
export class DueQueries {
  readonly #limit: number;
  readonly #names: string[] = [];
  #prints = Buffer.alloc(1024);
  #reasons = Buffer.alloc(1024 / PRINT_BYTES);
  // By the number of the query: few declare them.
  readonly #rows = new Map<number, number>();
  #taken = 0;

  /** `limit`: how many are kept; what is added beyond them is not due. */
  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  /** How many there were in all. */
  get total(): number {
    return this.#names.length;
  }

  /** How many were not taken yet. */
  get left(): number {
    return this.#names.length - this.#taken;
  }

  add({ name, fingerprint, reason, rows }: PlannedQuery): void {
    const number = this.#names.length;
    if (number >= this.#limit) return;
    if (number === this.#reasons.length) {
      this.#reasons = Buffer.concat([this.#reasons], 2 * number);
      this.#prints = Buffer.concat([this.#prints], 2 * number * PRINT_BYTES);
    }
    this.#names.push(name);
    this.#prints.write(fingerprint, number * PRINT_BYTES, PRINT_BYTES, 'hex');
    this.#reasons[number] = REASONS.indexOf(reason);
    if (rows !== undefined) this.#rows.set(number, rows);
  }

  /** The next query, or `undefined` after the last. */
  take(): PlannedQuery | undefined {
    const number = this.#taken;
    const name = this.#names[number];
    if (name === undefined) return undefined;
    this.#taken = number + 1;
    this.#names[number] = '';
    const from = number * PRINT_BYTES;
    return {
      name,
      fingerprint: this.#prints.toString('hex', from, from + PRINT_BYTES),
      reason: REASONS[this.#reasons[number] as number] as PlanReason,
      rows: this.#rows.get(number),
    };
  }
}
