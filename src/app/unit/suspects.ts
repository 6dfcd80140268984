import { type Failure, ownFailure } from '../../core/engines/failure.js';
import { inflightName, type Suspect } from '../../core/unit/inflight.js';

/**
 * The queries that were in flight when earlier processes of this unit died, as a run treats them. They run after all
 * others, alone. One that is proven to be the reason is not run but recorded as an error.
 */
export class Suspects {
  readonly #byName: ReadonlyMap<string, Suspect>;

  constructor(suspects: readonly Suspect[]) {
    this.#byName = new Map(suspects.map(suspect => [suspect.query, suspect]));
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Returns whether this text of the query is a suspect. */
  has(query: string, fingerprint: string): boolean {
    return this.#of(query, fingerprint) !== undefined;
  }

  /**
   * Returns the position of the query among those that run last: the more processes died, the later. 0: not a
   * suspect.
   */
  rank(query: string, fingerprint: string): number {
    return this.#of(query, fingerprint)?.deaths ?? 0;
  }

  /** Returns the failure with which the query is recorded instead of being run; `undefined` when it is to run. */
  verdict(query: string, fingerprint: string): Failure | undefined {
    const suspect = this.#of(query, fingerprint);
    if (suspect?.proven !== true) return undefined;
    return ownFailure(
      'ENGINE_DIED',
      'permanent',
      `the process died ${suspect.deaths} times while this query was in flight, the last time with no other beside ` +
        'it: by a crash of the engine, a memory limit, the OOM killer (see dmesg) or kill -9. It was not run this time; the ' +
        'next run tries it again, alone and last. Lower its memory (--set max_memory_usage=...), change the SQL, or ' +
        'run it on a server with --url',
    );
  }

  #of(query: string, fingerprint: string): Suspect | undefined {
    if (this.#byName.size === 0) return undefined;
    const suspect = this.#byName.get(inflightName(query));
    return suspect?.fingerprint === fingerprint ? suspect : undefined;
  }
}

const NAMED = 5;

/** Returns what a run says about its suspects before it begins; `undefined` when none of them is to run. */
export function suspectsNotice(names: readonly string[]): string | undefined {
  if (names.length === 0) return undefined;
  const some = names.slice(0, NAMED).join(', ');
  const more = names.length > NAMED ? ` and ${names.length - NAMED} more` : '';
  const [what, how] =
    names.length === 1 ? ['a query', 'it runs alone'] : [`${names.length} queries`, 'each runs alone'];
  return `a process of this unit died with ${what} in flight; ${how}, after all others: ${some}${more}`;
}
