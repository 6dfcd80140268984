import { rowsOf } from '../../core/engines/rows.js';
import type { ResultBody } from './result-body.js';

/**
 * Returns some columns of each row of a small answer about the server, as strings, and disposes the answer. Returns
 * `undefined` if a row lacks one of them or holds anything but a string, a number or a boolean there: it is then not an
 * answer to what was asked. Call it only for an answer that has a size limit and is in memory.
 */
export async function textsOf<Name extends string>(
  body: ResultBody,
  names: readonly Name[],
): Promise<Record<Name, string>[] | undefined> {
  try {
    const rows: Record<Name, string>[] = [];
    for (const row of rowsOf(body.bytes() ?? Buffer.alloc(0))) {
      const texts = {} as Record<Name, string>;
      for (const name of names) {
        const value = row[name];
        if (typeof value === 'object' || value === undefined) return undefined;
        texts[name] = String(value);
      }
      rows.push(texts);
    }
    return rows;
  } finally {
    await body.dispose();
  }
}

/** The message for an answer that {@link textsOf} cannot read. */
export const NO_SUCH_ANSWER =
  'the answer is not what was asked for: a column is missing, or does not hold a string';

// Real ones have 30.
const VERSION_LENGTH = 100;

/** The version of a server as it may be recorded and shown: at most 100 characters, `unknown` if it states none. */
export function shownVersion(version: string | undefined): string {
  return version === undefined || version === '' ? 'unknown' : version.slice(0, VERSION_LENGTH);
}
