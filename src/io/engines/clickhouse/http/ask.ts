import { HTTP_PARAMETERS } from '../../../../core/engines/engine-settings.js';
import { ownFailure } from '../../../../core/engines/failure.js';
import { NO_SUCH_ANSWER, textsOf } from '../../answer-texts.js';
import type { Caller, HttpAnswer, HttpCall, RequestSignal } from './call.js';

// The longest answer lists the names of all settings: 50 KB.
const ANSWER_BYTES = 1024 * 1024;

/** For a call whose answer is about the server itself: it is kept in memory, and one above 1 MiB is a failure. */
export const SMALL_ANSWER: Pick<HttpCall, 'spool' | 'limitBytes'> = {
  spool: { directory: '', thresholdBytes: ANSWER_BYTES },
  limitBytes: ANSWER_BYTES,
};

/** Some columns of each row of a small answer, or why there is none. */
export type Texts<Name extends string> =
  | { readonly ok: true; readonly rows: readonly Record<Name, string>[] }
  | Extract<HttpAnswer, { ok: false }>;

/**
 * Asks a server about itself, and resolves with the columns `names` as strings. `query`: what the URL holds besides
 * qrun's own parameters. The failure is `NOT_CLICKHOUSE` if the answer lacks a column. Never rejects.
 */
export async function askTexts<Name extends string>(
  caller: Caller,
  { sql, queryId = '', query }: Pick<HttpCall, 'sql'> & Partial<Pick<HttpCall, 'queryId' | 'query'>>,
  names: readonly Name[],
  stop: RequestSignal,
): Promise<Texts<Name>> {
  const call = { sql, queryId, query: { ...HTTP_PARAMETERS, ...query }, ...SMALL_ANSWER };
  const answer = await caller.call(call, stop);
  if (!answer.ok) return answer;
  const rows = await textsOf(answer.body, names);
  if (rows !== undefined) return { ok: true, rows };
  return { ok: false, failure: ownFailure('NOT_CLICKHOUSE', 'permanent', NO_SUCH_ANSWER) };
}
