import type { QueryError } from '../model.js';

/** How many failed queries stop a run: a number, or a share of the queries that were due. */
export interface HaltErrors {
  readonly count: number;
  readonly unit: 'queries' | 'percent';
}

/** When a run stops by policy. */
export interface HaltPolicy {
  /** At this many failed queries, whatever their failures; `undefined`: at no number. */
  readonly errors: HaltErrors | undefined;
  /** When the first results are this many equal failures; `undefined`: never. */
  readonly same: number | undefined;
}

// With this many, the problem is around the queries and not in them. Fewer would stop a unit that begins with a few
// queries of one kind, and nobody benefits from the same message a thousand times.
const DEFAULT_SAME = 20;

/** The default policy. */
export const DEFAULT_HALT: HaltPolicy = { errors: undefined, same: DEFAULT_SAME };

/** The forms that {@link parseHalt} accepts, for messages. */
export const HALT_FORMS =
  'errors=N, errors=N%, same=N or same=off (or two of them, such as errors=5%,same=50)';

// 7 % of 100 is 7.000000000000001 in binary fractions, which must not become 8.
const ROUNDING = 1e-9;

/**
 * Returns the number of failed queries at which a run with `due` queries halts, at least 1; infinite if none is set.
 */
export function haltThreshold({ errors }: HaltPolicy, due: number): number {
  if (errors === undefined) return Number.POSITIVE_INFINITY;
  if (errors.unit === 'queries') return errors.count;
  return Math.max(1, Math.ceil((errors.count / 100) * due - ROUNDING));
}

/**
 * Returns `errors=10`, `errors=5%`, `same=50`, `same=off`, or two of them with a comma, as a policy; or `undefined`.
 */
export function parseHalt(text: string): HaltPolicy | undefined {
  const policy: { -readonly [Key in keyof HaltPolicy]: HaltPolicy[Key] } = { ...DEFAULT_HALT };
  const given = new Set<string>();
  for (const part of text.split(',')) {
    const [, name = '', value = ''] = /^(errors|same)=(.+)$/.exec(part) ?? [];
    if (name === '' || given.has(name)) return undefined;
    given.add(name);
    if (name === 'same') {
      const same = value === 'off' ? undefined : wholeFrom1(value);
      if (same === undefined && value !== 'off') return undefined;
      policy.same = same;
    } else {
      policy.errors = errorsOf(value);
      if (policy.errors === undefined) return undefined;
    }
  }
  return policy;
}

/** Returns a policy as {@link parseHalt} reads it. */
export function formatHalt({ errors, same }: HaltPolicy): string {
  const share = errors === undefined ? [] : [`errors=${errors.count}${errors.unit === 'percent' ? '%' : ''}`];
  return [...share, `same=${same ?? 'off'}`].join(',');
}

function errorsOf(value: string): HaltErrors | undefined {
  const match = /^(\d{1,15}(?:\.\d{1,15})?)%$/.exec(value);
  if (match === null) {
    const count = wholeFrom1(value);
    return count === undefined ? undefined : { count, unit: 'queries' };
  }
  const count = Number(match[1]);
  return count > 0 && count <= 100 ? { count, unit: 'percent' } : undefined;
}

function wholeFrom1(value: string): number | undefined {
  return /^\d{1,15}$/.test(value) && Number(value) >= 1 ? Number(value) : undefined;
}

// UNKNOWN_TABLE, UNKNOWN_DATABASE, ACCESS_DENIED: the same problem whichever table a query asks for. So are files that
// cannot be read.
const SAME_BY_CODE: ReadonlySet<number> = new Set([60, 81, 497]);
// Where servers begin to repeat the query in the message.
const QUERY_TEXT = /(?:[:.,] )?\b(?:in scope|while processing|while executing|in query)\b|\(in query/i;
const KEY_LENGTH = 200;

/**
 * Returns a string that two failures share if they are the same problem: their code and what their messages have in
 * common, without numbers and without the query that servers repeat in them.
 */
export function failureKey({ code, name, message }: QueryError): string {
  const head = `${code} ${name}`;
  if (SAME_BY_CODE.has(code) || name === 'UNIT_UNREADABLE') return head;
  const text = message.slice(0, 4 * KEY_LENGTH);
  const end = QUERY_TEXT.exec(text)?.index ?? text.length;
  return `${head} ${text.slice(0, end).replace(/\d+/g, '0').slice(0, KEY_LENGTH)}`;
}

/** Counts the results that a run began with, as long as all are permanent failures and equal. */
export class SameFailures {
  #key: string | undefined;
  #count = 0;
  #over = false;

  /** Takes the next result (`undefined`: not a failure). Returns how many equal failures the run began with, or 0. */
  next(error: QueryError | undefined): number {
    if (this.#over) return 0;
    const key = error?.kind === 'permanent' ? failureKey(error) : undefined;
    this.#over = key === undefined || (this.#key !== undefined && key !== this.#key);
    if (this.#over) return 0;
    this.#key = key;
    this.#count += 1;
    return this.#count;
  }
}

/** What the reasons for equal failures depend on. */
export interface HaltContext {
  /** Setup files that exist and were not run on this server. */
  readonly setupNotRun: readonly string[];
  readonly target: string;
  readonly version: string;
  readonly user: string | undefined;
  readonly database: string | undefined;
}

/** Returns what a person would check first if all queries fail with this error: one sentence, or an empty string. */
export function likelyReason({ code, name }: QueryError, context: HaltContext): string {
  const { setupNotRun, target, version, user, database } = context;
  const setup =
    setupNotRun.length === 0 ? '' : `${setupNotRun.join(', ')} did not run on ${target}: --setup runs it. `;
  const where = `Is ${database === undefined ? 'the default database' : `"${database}"`} the right database (--database), and ${target} the right server?`;
  if (code === 60) return `${setup}${where}`;
  if (code === 81) return `${setup}Is ${target} the right server, and the name of the database right?`;
  if (code === 497 || code === 164) return `May the user "${user ?? 'default'}" do this on ${target}?`;
  if (code === 46 || code === 50 || code === 115 || code === 62) {
    return `Was this SQL written for another version? This is ClickHouse ${version}.`;
  }
  if (name === 'TIMEOUT') return 'Is --timeout long enough?';
  return setup.trim();
}
