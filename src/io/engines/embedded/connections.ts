import { setTimeout as sleep } from 'node:timers/promises';
import { type Failure, ownFailure, parseServerError, serverFailure } from '../../../core/engines/failure.js';
import { engineShortage } from '../../../core/engines/shortage.js';
import type { ChdbConnection, ChdbResult } from './chdb.js';

/** How a call ended. The promise of a call never rejects. */
export type CallAnswer =
  | { readonly ok: true; readonly result: ChdbResult }
  | { readonly ok: false; readonly failure: Failure };

/** The output format of calls whose output is not needed. */
export const NO_OUTPUT = 'Null';

// How many connections are closed together. chDB keeps a closed connection until the calls that ran when it was closed
// have ended, and remembers for each of them all others that wait. So the cost of a batch grows with its square.
const CLOSE_BATCH = 256;

const FIRST_WAIT_MS = 25;
const LONGEST_WAIT_MS = 400;

/**
 * The connections of one engine: opens them, runs calls on them, and closes those that are no longer needed.
 *
 * One connection, opened first and closed last, is never given out. It keeps the engine up when no other is open, and
 * runs what must not wait behind queries (KILL QUERY, ping).
 */
export class Connections {
  readonly #connect: () => ChdbConnection;
  readonly #control: ChdbConnection;
  readonly #onClosed: () => void;
  #lastControl: Promise<unknown> = Promise.resolve();
  readonly #running = new Set<Promise<unknown>>();
  readonly #discarded: ChdbConnection[] = [];
  #isClosing = false;

  /** `onClosed` is called when the last connection has been closed. */
  constructor(connect: () => ChdbConnection, onClosed: () => void = () => {}) {
    this.#connect = connect;
    this.#onClosed = onClosed;
    this.#control = connect();
  }

  /** Opens a new connection (0.3 to 0.5 ms, on this thread). Give it to {@link discard} in the end. */
  open(): ChdbConnection {
    return this.#connect();
  }

  /** Runs one statement. Make one call at a time on a connection: a second one would wait in a libuv thread. */
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

  /** Runs one statement on the reserved connection, after the earlier ones there. */
  control(sql: string): Promise<CallAnswer> {
    const answer = this.#lastControl.then(() => this.run(this.#control, sql, 'JSONEachRow'));
    this.#lastControl = answer;
    return answer;
  }

  /**
   * Cancels the query that runs in `call`, and resolves with how the call ended, or with `undefined` if it has not
   * ended within `limitMs`. Uses KILL QUERY, the only way to cancel in chDB. `which` is a condition on system.processes
   * that only this query meets.
   */
  async cancel(call: Promise<CallAnswer>, which: string, limitMs: number): Promise<CallAnswer | undefined> {
    let answer: CallAnswer | undefined;
    void call.then(ended => {
      answer = ended;
    });
    const limit = sleep(limitMs, true, { ref: false });
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
      // Never SYNC: it would not return. Repeated, because the first KILL may come before the query is known.
      const kill = this.control(`KILL QUERY WHERE ${which} ASYNC`);
      const wait = kill.then(() => sleep(waitMs, undefined, { ref: false }));
      const isOver = await Promise.race([call, wait, limit]);
      if (answer !== undefined) {
        // A later KILL could meet the next query, which writes into the same pipe.
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

  /** Closes all discarded connections and the reserved one. No call may be running. */
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

// Judged by the message, because the classes of chDB's errors are not the ones that its users can import.
function failureOf(error: unknown): Failure {
  const message = error instanceof Error ? error.message : String(error);
  const known = parseServerError(message);
  if (known === undefined) return ownFailure('ENGINE_FAILED', 'unknown', message);
  const failure = serverFailure(known);
  // The engine runs in this process.
  const shortage = engineShortage(message);
  return shortage === undefined ? failure : { ...failure, kind: 'transient', shortage };
}
