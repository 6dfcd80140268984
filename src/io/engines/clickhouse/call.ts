import type { Failure } from '../../../core/engines/failure.js';
import type { QueryStats } from '../../../core/model.js';
import type { ResultBody, RowShape, SpoolOptions } from '../result-body.js';
import type { RequestSignal } from './transport.js';

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

/** What sends statements: see `HttpChannel` of client.ts. */
export interface Caller {
  call(call: HttpCall, stop: RequestSignal): Promise<HttpAnswer>;
}
