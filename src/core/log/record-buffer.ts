import type { QueryStats } from '../model.js';
import { envelope, type GroupHead, statsField } from './record.js';

const NEWLINE = 10;
const CLOSE_BRACE = 125;
// Up to this size a loop is faster than the call.
const LOOP_BYTES = 64;
const FIRST_BYTES = 64 * 1024;
// A larger buffer, which a large batch has needed, is not kept.
const KEPT_BYTES = 1024 * 1024;

/**
 * Collects the records of many groups in one reused buffer. It produces the same bytes as `RecordEncoder`, in a fifth
 * of the time for a group of three short rows, because the pieces have no buffers of their own.
 */
export class RecordBuffer {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /**
   * Adds the records of a normal result. `rows`: all its lines, each with its newline.
   *
   * Throws when these are not `count` whole rows; nothing is added then.
   */
  addRows(head: GroupHead, rows: Buffer, count: number, stats: QueryStats | undefined): void {
    const start = this.#length;
    const { before, middle, rest } = envelope(head, count, 'normal');
    let tail = `${rest}${statsField(stats)},"row":`;
    let tailBytes = Buffer.byteLength(tail);
    let part = 0;
    let from = 0;
    for (let end = rows.indexOf(NEWLINE); end !== -1; end = rows.indexOf(NEWLINE, from)) {
      part += 1;
      if (part === 2) {
        tail = `${rest},"row":`;
        tailBytes = Buffer.byteLength(tail);
      }
      this.#add(`${before}${part}${middle}${tailBytes + (end - from) + 1}${tail}`, end - from + 2);
      this.#copy(rows, from, end);
      this.#bytes[this.#length] = CLOSE_BRACE;
      this.#bytes[this.#length + 1] = NEWLINE;
      this.#length += 2;
      from = end + 1;
    }
    if (part === count && count > 0 && from === rows.length) return;
    this.#length = start;
    throw new Error(`a result of ${count} rows gave ${part} whole ones`);
  }

  /** Adds bytes that are already encoded. */
  addBytes(bytes: Buffer): void {
    this.#reserve(bytes.length);
    bytes.copy(this.#bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Returns what was added and empties the buffer. The bytes are valid until the next call of any other method. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    return taken;
  }

  // The caller has reserved the room.
  #copy(from: Buffer, start: number, end: number): void {
    const bytes = this.#bytes;
    let length = this.#length;
    if (end - start > LOOP_BYTES) length += from.copy(bytes, length, start, end);
    else for (let at = start; at < end; at += 1) bytes[length++] = from[at] as number;
    this.#length = length;
  }

  // UTF-8 takes at most three bytes per UTF-16 unit.
  #add(text: string, besides: number): void {
    this.#reserve(3 * text.length + besides);
    this.#length += this.#bytes.write(text, this.#length);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
