import { jsonObject } from '../../../../core/text/json.js';
import type { AnswerHeaders } from './call.js';

/** Returns the first value of a header. */
export function headerOf(headers: AnswerHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

// ClickHouse from 18.16 on sends it with every answer to a query, errors included, before it reads the query.
const DISPLAY_NAME = 'x-clickhouse-server-display-name';
// On every answer with status 200 of 20.x and later; 18.16 does not have it.
const QUERY_ID = 'x-clickhouse-query-id';
// Names are for messages; more than a cluster has need not be kept.
const MOST_SERVERS = 64;
// The longest possible host name (RFC 1035, 2.3.4).
const NAME_LENGTH = 255;
// The server's names for JSONEachRow; which one it uses depends on how the statement named it.
const ROW_FORMATS: ReadonlySet<string> = new Set(['JSONEachRow', 'JSONLines', 'NDJSON', 'JSONL']);

/**
 * Distinguishes answers of ClickHouse from those of something in between: a proxy's page, a captive portal, a cache.
 *
 * Every answer must bear the name of a server. If all answers to the first requests had the id of their query, every
 * later answer must have an id too. An id must be the one that was sent. Which server name it is does not matter,
 * because behind a balancer each server has its own; {@link servers} collects them.
 */
export class ServerIdentity {
  readonly #servers = new Set<string>();
  #echoesId: boolean | undefined;
  #lastName: string | undefined;
  #isLearning = true;

  /** The names of all servers that have answered. Two names mean a balancer; but servers may share a name. */
  get servers(): readonly string[] {
    return [...this.#servers];
  }

  /** Whether servers with different names have answered. */
  get isSeveral(): boolean {
    return this.#servers.size > 1;
  }

  /** Requires from now on that every answer has what all answers so far had. */
  settle(): void {
    this.#isLearning = false;
  }

  /** Whether the answer, whatever its status, has ClickHouse's mark. Notes the name of the server. */
  isMarked(headers: AnswerHeaders): boolean {
    const name = headerOf(headers, DISPLAY_NAME);
    if (name === undefined) return false;
    if (name !== this.#lastName) {
      this.#lastName = name;
      if (this.#servers.size < MOST_SERVERS) this.#servers.add(name.slice(0, NAME_LENGTH));
    }
    return true;
  }

  /** Returns why an answer with status 200 is not ClickHouse's answer to this query, or `undefined` if it is. */
  foreign(headers: AnswerHeaders, queryId: string): string | undefined {
    if (!this.isMarked(headers)) {
      return 'it lacks the header X-ClickHouse-Server-Display-Name, which every answer of ClickHouse has';
    }
    const id = headerOf(headers, QUERY_ID);
    if (this.#isLearning) {
      this.#echoesId = (this.#echoesId ?? true) && id !== undefined;
      // Whether ids get through is checked separately during this phase, with its own message.
      return undefined;
    }
    if (id === undefined) {
      return this.#echoesId === true
        ? 'it lacks the header X-ClickHouse-Query-Id, which the answers before it had'
        : undefined;
    }
    return queryId === '' || id === queryId
      ? undefined
      : `it is the answer to the query ${JSON.stringify(id.slice(0, 100))}`;
  }
}

/** The numbers of X-ClickHouse-Summary. Which ones are there depends on the version; 18.16 sends none. */
export type Summary = Readonly<Record<string, unknown>>;

/** Returns the summary of an answer; empty if there is none that can be read. */
export function summaryOf(headers: AnswerHeaders): Summary {
  const text = headerOf(headers, 'x-clickhouse-summary');
  return (text === undefined ? undefined : jsonObject(text)) ?? {};
}

/** Returns one of its numbers, which are written as strings; `undefined` if it is not a number. */
export function countIn(summary: Summary, name: string): number | undefined {
  const value = Object.hasOwn(summary, name) ? summary[name] : undefined;
  if (typeof value !== 'number' && !(typeof value === 'string' && /^\d{1,20}$/.test(value))) return undefined;
  const count = Number(value);
  return Number.isFinite(count) && count >= 0 ? count : undefined;
}

/**
 * Returns why rows that came whole are not the result that the server counted and named, or `undefined` if they may be.
 *
 * `result_rows` is in the summary since 22.8. It is 0 if the summary was written before the end. For an INSERT it is
 * the number of rows written. Neither says anything about what came.
 */
export function contradiction(headers: AnswerHeaders, summary: Summary, rows: number): string | undefined {
  const format = headerOf(headers, 'x-clickhouse-format');
  if (format === undefined) return undefined;
  if (!ROW_FORMATS.has(format)) {
    return rows === 0
      ? undefined
      : `the server says that the result is in the format ${JSON.stringify(format.slice(0, 50))}, not JSONEachRow`;
  }
  const counted = countIn(summary, 'result_rows') ?? 0;
  const isInsert = (countIn(summary, 'written_rows') ?? 0) > 0;
  if (isInsert || !(counted > 0) || counted === rows) return undefined;
  return `the server counted ${counted} rows, and ${rows} came`;
}
