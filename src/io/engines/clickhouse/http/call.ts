import type { Failure } from '../../../../core/engines/failure.js';
import type { QueryStats } from '../../../../core/model.js';
import type { ResultBody, RowShape, SpoolOptions } from '../../result-body.js';
import type { StopSignal } from '../../stop.js';

/** One statement to send. */
export interface HttpCall {
  readonly sql: string;
  /** Inline data of an INSERT; it follows the SQL in the body, byte for byte. */
  readonly data?: string | undefined;
  /** Fields of a form that is the body in their place; the SQL is the field `query`. */
  readonly form?: Readonly<Record<string, string>>;
  readonly queryId: string;
  /** Settings, parameters and everything else that stands in the URL. */
  readonly query: Readonly<Record<string, string>>;
  /** Where a large result goes; without it the rows are proven and thrown away. */
  readonly spool?: SpoolOptions;
  /** An answer that is longer is a failure, `ANSWER_TOO_LARGE`; without it there is no limit. */
  readonly limitBytes?: number;
  /** How the rows may look, where not as usual. */
  readonly shape?: RowShape;
}

/** How a statement ended; the caller owns `body`. */
export type HttpAnswer =
  | { readonly ok: true; readonly body: ResultBody; readonly stats: QueryStats | undefined }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** The status of the answer, where one came. */
      readonly status?: number;
      /** qrun itself did not take the rest of it: the server may still be at work. */
      readonly isUnread?: boolean;
    };

/** A signal that is told how far the request of its statement has come. */
export interface RequestSignal extends StopSignal {
  /** Called when the bytes of the request begin to go to the server: a connection has been found for it. */
  sent?(): void;
  /** Called when ClickHouse has answered: the headers are there. */
  answered?(): void;
}

/**
 * What sends statements and proves the answers: a failure is an answer too, and `call` rejects only with QrunError
 * `WRITE_FAILED` (spool). When `stop` aborts, the connection is cut; the statement runs on at the server.
 */
export interface Caller {
  call(call: HttpCall, stop: RequestSignal): Promise<HttpAnswer>;
}

/** Headers of an answer by their names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** The bytes of an answer, for one reader. */
export interface ReplyBody {
  /**
   * Gives all bytes to `take` in order, one call at a time, and resolves with `undefined` when the answer has ended
   * whole, or with the error that ended it before. Rejects with what `take` rejects with, after cutting the connection.
   * Call it once.
   */
  read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<Error | undefined>;
  /** Cuts the connection: nothing more of the answer is wanted. */
  destroy(): void;
}

/** An answer whose headers are there, as it came and not proven. Whoever gets one reads the body or destroys it. */
export interface Reply {
  readonly status: number;
  readonly headers: AnswerHeaders;
  readonly body: ReplyBody;
}

/** The most that the headers of an answer may take, in bytes. */
// ClickHouse sends under 2 KiB, and the usual limit is 16 KiB; a user may switch on progress headers (about 200 bytes
// each, ten a second unless told otherwise) to keep a load balancer awake. A header of no length takes 200 bytes of
// memory, and each query that runs may have as many.
export const MAX_HEADER_BYTES = 64 * 1024;
