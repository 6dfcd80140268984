import { randomUUID } from 'node:crypto';
import { type Failure, ownFailure } from '../../../core/engines/failure.js';
import { rowsOf } from '../../../core/engines/rows.js';
import { parseQuery } from '../../../core/sql/parse.js';
import { NO_SUCH_ANSWER } from '../answer-texts.js';
import type { Engine } from '../engine.js';

// A system table, or less.
const LIMIT_MS = 10_000;
// The names of 100,000 tables. A longer list is not compared.
const ANSWER_BYTES = 16 * 1024 * 1024;

const id = `qrun-servers-${randomUUID()}`;
let asked = 0;

/** What a server has answered to a question about itself, or why it has not. */
export type Answer<Name extends string> =
  | { readonly ok: true; readonly rows: readonly Readonly<Record<Name, string>>[] }
  | { readonly ok: false; readonly failure: Failure };

/**
 * Asks one server about itself, and resolves with some columns of each row as strings. The question goes where queries
 * go, with what they are sent with, because it is about them. Never rejects.
 */
export async function askServer<Name extends string>(
  server: Engine,
  sql: string,
  names: readonly Name[],
  signal: AbortSignal,
): Promise<Answer<Name>> {
  asked += 1;
  const result = await server.run({
    query: parseQuery(sql),
    queryId: `${id}-${asked}`,
    parameters: {},
    settings: {},
    timeoutMs: LIMIT_MS,
    signal,
  });
  if (!result.ok) return result;
  const { body } = result;
  try {
    if (body.sizeBytes > ANSWER_BYTES) return foreign('the answer is too long');
    const chunks: Buffer[] = [];
    for await (const chunk of body.chunks()) chunks.push(chunk);
    const rows: Record<Name, string>[] = [];
    for (const row of rowsOf(Buffer.concat(chunks))) {
      const texts = {} as Record<Name, string>;
      for (const name of names) {
        if (typeof row[name] !== 'string') return foreign(NO_SUCH_ANSWER);
        texts[name] = row[name];
      }
      rows.push(texts);
    }
    return { ok: true, rows };
  } finally {
    await body.dispose();
  }
}

function foreign(message: string): { readonly ok: false; readonly failure: Failure } {
  return { ok: false, failure: ownFailure('NOT_CLICKHOUSE', 'permanent', message) };
}
