import { setTimeout as sleep } from 'node:timers/promises';
import { type Failure, ownFailure, parseServerError, serverFailure } from '../../../core/engines/failure.js';
import { engineShortage } from '../../../core/engines/shortage.js';
import type { ChdbConnection, ChdbResult } from './chdb.js';

/** How a call ended. The promise of a call never rejects. */
export type CallAnswer =
  | { readonly ok: true; readonly result: ChdbResult }
  | { readonly ok: false; readonly failure: Failure };

/** The output format of calls whose output nobody wants. */
export const NO_OUTPUT = 'Null';

// How many connections are closed together. chDB keeps a closed connection until the calls end that ran when it
// was closed, and remembers for each of them all others that wait: the cost of a batch grows with its square.
const CLOSE_BATCH = 256;

const FIRST_WAIT_MS = 25;
const LONGEST_WAIT_MS = 400;

/**
 * The connections of one engine: opens them, runs calls on them, and closes those that are done with.
 *
 * One of them, opened first and closed last, is never given out: it keeps the engine up when no other is open,
 * and carries what must not wait behind queries (KILL QUERY, ping).
 */
export class Connections {
  readonly #connect: () => ChdbConnection;
  readonly #control: ChdbConnection;
  readonly #onClosed: () => void;
  #lastControl: Promise<unknown> = Promise.resolve();
  readonly #running = new Set<Promise<unknown>>();
  readonly #discarded: ChdbConnection[] = [];
  #isClosing = false;

  /** `onClosed`: called when the last connection was closed. */
  constructor(connect: () => ChdbConnection, onClosed: () => void = () => {}) {
    this.#connect = connect;
    this.#onClosed = onClosed;
    this.#control = connect();
  }

  /** A new connection (0.3 to 0.5 ms, on this thread). To be given to {@link discard} in the end. */
  open(): ChdbConnection {
    return this.#connect();
  }

  /** Runs one statement. One call at a time on a connection: the next one would wait in a thread of libuv. */
  run(connection: ChdbConnection, sql: string, format: string): Promise<CallAnswer> {
    const answer: Promise<CallAnswer> = connection
      .queryAsync(sql, { format })
      .then(
        (result): CallAnswer => ({ ok: true, result }),
        (error: unknown): CallAnswer => ({ ok: false, failure: failureOf(error) }),
      )
      .finally(() => this.#running.delete(answer));
    this.#running.add(answer);
    return answer;
  }

  /** Runs one statement on the connection that is reserved for such calls, after those before it. */
  control(sql: string): Promise<CallAnswer> {
    const answer = this.#lastControl.then(() => this.run(this.#control, sql, 'JSONEachRow'));
    this.#lastControl = answer;
    return answer;
  }

  /**
   * Cancels the query that runs in `call`, and resolves with how the call has ended: chDB has no other cancel
   * than KILL QUERY. `which` is a condition on system.processes that only this query meets. Resolves with
   * `undefined` when the call has not ended within `limitMs`.
   */
  async cancel(call: Promise<CallAnswer>, which: string, limitMs: number): Promise<CallAnswer | undefined> {
    let answer: CallAnswer | undefined;
    void call.then(ended => {
      answer = ended;
    });
    const limit = sleep(limitMs, true, { ref: false });
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      // Never SYNC: it would not return. Again and again, because the first may come before the query is known.
      const kill = this.control(`KILL QUERY WHERE ${which} ASYNC`);
      const wait = kill.then(() => sleep(waitMs, undefined, { ref: false }));
      const isOver = await Promise.race([call, wait, limit]);
      if (answer !== undefined) {
        // Later it could meet the next query, which writes into the same pipe.
        await kill;
        return answer;
      }
      if (isOver === true) return undefined;
    }
  }

  /** Closes a connection as soon as that is cheap; until then it holds about 150 KB. */
  discard(connection: ChdbConnection): void {
    this.#discarded.push(connection);
    this.#closeDiscarded();
  }

  /** Closes all connections that were discarded, and the reserved one. Nothing may run any longer. */
  async close(): Promise<void> {
    await this.#lastControl;
    for (const connection of this.#discarded.splice(0)) connection.close();
    this.#control.close();
    this.#onClosed();
  }

  #closeDiscarded(): void {
    if (this.#isClosing || this.#discarded.length === 0) return;
    this.#isClosing = true;
    for (const connection of this.#discarded.splice(0, CLOSE_BATCH)) connection.close();
    void Promise.all(this.#running).then(() => {
      this.#isClosing = false;
      this.#closeDiscarded();
    });
  }
}

// By the text, because the classes of chDB's errors are not those that its users can import.
function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const known = parseServerError(message);
  if (known === undefined) return ownFailure('ENGINE_FAILED', 'unknown', message);
  const failure = serverFailure(known);
  // It runs in this process.
  const shortage = engineShortage(message);
  return shortage === undefined ? failure : { ...failure, kind: 'transient', shortage };
}
