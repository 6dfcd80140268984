import { DURATION_EXAMPLES, parseDuration } from '../text/duration.js';
import { sqlInvalid } from './lexer/position.js';
import type { QueryOverrides } from './statement.js';

const MARK = /--[ \t]*qrun:/iy;
const KNOWN = `known are timeout=DURATION (${DURATION_EXAMPLES}), rows=N (1 or more) and retries=N (0 or more)`;

const PROPERTY_OF: ReadonlyMap<string, keyof QueryOverrides> = new Map([
  ['timeout', 'timeoutMs'],
  ['rows', 'rows'],
  ['retries', 'retries'],
]);

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * Returns what the comment `-- qrun: timeout=30s rows=3 retries=1` on the first line sets; empty if there is none.
 * Blanks or commas separate the settings. `dashComments` are the offsets of all `--` comments.
 *
 * Throws QrunError `SQL_INVALID` for an unknown key, a bad value, a key given twice, and for such a comment anywhere
 * else, where it would otherwise be silently ignored. Zero rows are refused because a query without rows is recorded
 * as skipped and its width is never compared. Zero time is refused because the query could never run.
 */
export function parseOverrides(sql: string, dashComments: readonly number[]): QueryOverrides {
  const overrides: Writable<QueryOverrides> = {};
  for (const offset of dashComments) {
    MARK.lastIndex = offset;
    const mark = MARK.exec(sql);
    if (mark === null) continue;
    if (sql.lastIndexOf('\n', offset) !== -1 || sql.slice(0, offset).trim() !== '') {
      throw sqlInvalid(sql, offset, 'a "-- qrun:" comment must be the first line of the file');
    }
    const listStart = offset + mark[0].length;
    const lineFeed = sql.indexOf('\n', listStart);
    const list = sql.slice(listStart, lineFeed === -1 ? sql.length : lineFeed);
    if (list.trim() === '') throw sqlInvalid(sql, offset, 'the "-- qrun:" comment sets nothing', KNOWN);
    for (const item of list.matchAll(/[^\s,]+/g)) applyItem(sql, listStart + item.index, item[0], overrides);
  }
  return overrides;
}

function applyItem(sql: string, offset: number, item: string, overrides: Writable<QueryOverrides>): void {
  const equals = item.indexOf('=');
  const key = equals === -1 ? item : item.slice(0, equals);
  const value = equals === -1 ? '' : item.slice(equals + 1);
  const property = PROPERTY_OF.get(key);
  if (property === undefined) {
    throw sqlInvalid(sql, offset, `unknown setting ${JSON.stringify(key)} in the "-- qrun:" comment`, KNOWN);
  }
  if (overrides[property] !== undefined) {
    throw sqlInvalid(sql, offset, `${key} is set twice in the "-- qrun:" comment`);
  }
  const number = property === 'timeoutMs' ? parseDuration(value) : parseCount(value);
  if (number === undefined || (number === 0 && property !== 'retries')) {
    const message = `bad value ${JSON.stringify(value)} for ${key} in the "-- qrun:" comment`;
    throw sqlInvalid(sql, offset, message, KNOWN);
  }
  overrides[property] = number;
}

function parseCount(value: string): number | undefined {
  const count = /^\d+$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(count) ? count : undefined;
}
