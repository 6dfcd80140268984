import type { Failure } from '../../../../core/engines/failure.js';
import type { QueryStats } from '../../../../core/model.js';
import type { ResultBody, RowShape, SpoolOptions } from '../../result-body.js';
import type { StopSignal } from '../../stop.js';

/** One statement to send. */
export interface HttpCall {
  readonly sql: string;
  /** Inline data of an INSERT. It follows the SQL in the body, byte for byte. */
  readonly data?: string | undefined;
  /** Fields of a form that is sent as the body instead of SQL and data; the SQL is the field `query`. */
  readonly form?: Readonly<Record<string, string>>;
  readonly queryId: string;
  /** Settings, parameters and everything else in the URL. */
  readonly query: Readonly<Record<string, string>>;
  /** Where a large result goes. Without it the rows are proven and dropped. */
  readonly spool?: SpoolOptions;
  /** A longer answer fails with `ANSWER_TOO_LARGE`. Without it there is no limit. */
  readonly limitBytes?: number;
  /** The form that the rows may have, if not the usual one. */
  readonly shape?: RowShape;
}

/** How a statement ended; the caller owns `body`. */
export type HttpAnswer =
  | { readonly ok: true; readonly body: ResultBody; readonly stats: QueryStats | undefined }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** The status of the answer, if one came. */
      readonly status?: number;
      /** qrun itself did not read the rest of it: the server may still be working. */
      readonly isUnread?: boolean;
    };

/** A signal that is notified of the progress of its statement's request. */
export interface RequestSignal extends StopSignal {
  /** Called when the request has got a connection, and its first bytes go to the server. */
  sent?(): void;
  /** Called when ClickHouse has answered: the headers have arrived. */
  answered?(): void;
}

/**
 * Sends statements and proves the answers. A failure is an answer too: `call` rejects only with QrunError
 * `WRITE_FAILED` (spool). When `stop` aborts, the connection is cut, but the statement continues on the server.
 */
export interface Caller {
  call(call: HttpCall, stop: RequestSignal): Promise<HttpAnswer>;
}

/** Headers of an answer, by their names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The bytes of an answer, for one reader. */
export interface ReplyBody {
  /**
   * Passes all bytes to `take` in order, one call at a time. Resolves with `undefined` when the answer has ended whole,
   * or with the error that ended it early. Rejects with what `take` rejects with, and cuts the connection. Call it
   * once.
   */
  read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<Error | undefined>;
  /** Cuts the connection: nothing more of the answer is wanted. */
  destroy(): void;
}

/** An answer whose headers have arrived, not yet proven. Whoever receives one reads the body or destroys it. */
export interface Reply {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: ReplyBody;
}

/** The maximum size of an answer's headers, in bytes. */
// ClickHouse sends less than 2 KiB, and the usual limit is 16 KiB. But a user may switch on progress headers (about 200
// bytes each, ten a second by default) to keep a load balancer awake. Not higher, because an empty header takes 200
// bytes of memory, and each running query may have that many.
export const MAX_HEADER_BYTES = 64 * 1024;
