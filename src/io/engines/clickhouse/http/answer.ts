import { Pieces } from '../../pieces.js';
import type { ReplyBody } from './call.js';

// How much may wait for the reader. Pausing and resuming a connection is expensive, above all for a large result that
// arrives in chunks of 4 KiB. The reader gets what has arrived in the meantime as one piece.
const WAITING_BYTES = 256 * 1024;

/**
 * The bytes of an answer on their way from a connection to the code that proves them.
 *
 * Used instead of a Node stream: for a small answer, making and iterating a stream takes longer than the answer itself.
 * One producer, one reader. Bytes that arrive before the reader, or while it is busy, wait in memory; the producer is
 * paused when too many are waiting.
 */
export class AnswerBody implements ReplyBody {
  readonly #resume: () => void;
  readonly #cut: (error: Error) => void;
  readonly #waiting = new Pieces();
  #take: ((chunk: Buffer) => Promise<void> | undefined) | undefined;
  #finish: ((error: Error | undefined) => void) | undefined;
  #busy: Promise<void> | undefined;
  // `null` if it ended whole, an error if it broke off.
  #end: Error | null | undefined;

  /** `resume` lets the producer continue after `push` has asked it to wait. `cut` ends the connection. */
  constructor(resume: () => void, cut: (error: Error) => void) {
    this.#resume = resume;
    this.#cut = cut;
  }

  read(take: (chunk: Buffer) => Promise<void> | undefined): Promise<Error | undefined> {
    return new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#take = chunk => {
        const taken = take(chunk);
        return taken?.catch(error => {
          reject(error);
          this.destroy();
        });
      };
      this.#goOn();
    });
  }

  /** Takes bytes from the connection; `false` asks it to wait until it is resumed. */
  push(chunk: Buffer): boolean {
    if (this.#busy !== undefined || this.#take === undefined) {
      this.#waiting.push(chunk);
      return this.#waiting.bytes < WAITING_BYTES;
    }
    const busy = this.#take(chunk);
    if (busy === undefined) return true;
    this.#busy = busy;
    void busy.then(() => this.#goOn());
    return true;
  }

  /** Call it when the answer has ended whole. */
  end(): void {
    this.#end ??= null;
    this.#settle();
  }

  /** Call it when the connection broke. */
  fail(error: Error): void {
    this.#end ??= error;
    this.#settle();
  }

  destroy(): void {
    const error = new Error('aborted');
    this.#waiting.take();
    if (this.#end !== undefined) return;
    this.#end = error;
    this.#cut(error);
    this.#settle();
  }

  #goOn(): void {
    this.#busy = undefined;
    const wasFull = this.#waiting.bytes >= WAITING_BYTES;
    const waiting = this.#waiting.take();
    if (waiting.length > 0) this.push(waiting.length === 1 ? (waiting[0] as Buffer) : Buffer.concat(waiting));
    if (wasFull && this.#end === undefined) this.#resume();
    this.#settle();
  }

  // A busy reader first gets what arrived before the end.
  #settle(): void {
    if (this.#end === undefined || this.#busy !== undefined || this.#waiting.bytes > 0) return;
    this.#finish?.(this.#end ?? undefined);
  }
}
