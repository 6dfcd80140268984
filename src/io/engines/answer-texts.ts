import { rowsOf } from '../../core/engines/rows.js';
import type { ResultBody } from './result-body.js';

/**
 * The texts of some columns in each row of a small answer about the server, which it disposes; `undefined` where a row
 * lacks one of them, or holds something else than a text, a number or a truth value: then it is no answer to what was
 * asked. Call it for an answer that has a limit and is in memory.
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

/** What is said of an answer that {@link textsOf} cannot read. */
export const NO_SUCH_ANSWER = 'the answer is not what was asked for: a column is missing, or holds no text';

// Real ones have 30.
const VERSION_LENGTH = 100;

/** The version of a server as it may be recorded and shown: at most 100 characters, `unknown` where it tells none. */
export function shownVersion(version: string | undefined): string {
  return version === undefined || version === '' ? 'unknown' : version.slice(0, VERSION_LENGTH);
}
