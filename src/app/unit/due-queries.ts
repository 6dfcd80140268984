import { FINGERPRINT_DIGITS } from '../../core/log/record.js';
import { type PlanReason, REASON_TEXT } from '../../core/unit/plan.js';

/** A query of the plan. */
export interface PlannedQuery {
  readonly name: string;
  /** 16 hex digits. */
  readonly fingerprint: string;
  readonly reason: PlanReason;
}

const PRINT_BYTES = FINGERPRINT_DIGITS / 2;
const REASONS = Object.keys(REASON_TEXT) as readonly PlanReason[];

/**
 * The due queries of a plan, in order, for one run: each is forgotten when it is taken.
 *
 * Memory: the name and 17 bytes for each, instead of 150 as objects, because a unit may have several hundred
 * thousand.
 */
export class DueQueries {
  readonly #limit: number;
  readonly #names: string[] = [];
  #prints = Buffer.alloc(1024);
  #reasons = Buffer.alloc(1024 / PRINT_BYTES);
  #taken = 0;

  /** `limit`: how many are kept; queries added beyond it are not due. */
  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  /** How many there were in total. */
  get total(): number {
    return this.#names.length;
  }

  /** How many have not been taken yet. */
  get left(): number {
    return this.#names.length - this.#taken;
  }

  add({ name, fingerprint, reason }: PlannedQuery): void {
    const number = this.#names.length;
    if (number >= this.#limit) return;
    if (number === this.#reasons.length) {
      this.#reasons = Buffer.concat([this.#reasons], 2 * number);
      this.#prints = Buffer.concat([this.#prints], 2 * number * PRINT_BYTES);
    }
    this.#names.push(name);
    this.#prints.write(fingerprint, number * PRINT_BYTES, PRINT_BYTES, 'hex');
    this.#reasons[number] = REASONS.indexOf(reason);
  }

  /**
   * Moves the queries for which `rank` returns more than 0 after all others, ordered by that rank, and returns them
   * in that order. Must be called before the first query is taken.
   */
  postpone(rank: (name: string, fingerprint: string) => number): readonly PlannedQuery[] {
    const all = Array.from(this.#names, (_, number) => this.#at(number));
    const ranked = all
      .map(query => ({ query, rank: rank(query.name, query.fingerprint) }))
      .filter(each => each.rank > 0)
      .sort((a, b) => a.rank - b.rank)
      .map(({ query }) => query);
    if (ranked.length === 0) return [];
    const last = new Set(ranked);
    this.#names.length = 0;
    for (const query of [...all.filter(each => !last.has(each)), ...ranked]) this.add(query);
    return ranked;
  }

  /** The names of those that have not been taken yet, in order. */
  names(): readonly string[] {
    return this.#names.slice(this.#taken);
  }

  /** The next query, or `undefined` after the last. */
  take(): PlannedQuery | undefined {
    const number = this.#taken;
    if (number === this.#names.length) return undefined;
    const query = this.#at(number);
    this.#taken = number + 1;
    this.#names[number] = '';
    return query;
  }

  #at(number: number): PlannedQuery {
    const from = number * PRINT_BYTES;
    return {
      name: this.#names[number] as string,
      fingerprint: this.#prints.toString('hex', from, from + PRINT_BYTES),
      reason: REASONS[this.#reasons[number] as number] as PlanReason,
    };
  }
}
