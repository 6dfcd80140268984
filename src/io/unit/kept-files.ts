import type { Stats } from 'node:fs';

const BLOCK_BYTES = 256 * 1024;
// Keeping a longer file is not worth it: reading it again costs little compared with running it.
const LONGEST_BYTES = 16 * 1024;
// Inode, size, both times, and where the content is.
const FIELDS = 5;
// The memory of the fields and of the name's entry in the map.
const ENTRY_BYTES = 128;
// No file system in use has coarser timestamps. A file younger than this may change again without showing it.
const SETTLED_MS = 2_000;

/**
 * Keeps the content of small files in memory, for callers that read them twice. As long as a file has the same inode,
 * size and times, its content is unchanged. Files are kept in the order in which they come, up to `limitBytes`
 * including their bookkeeping. The content is in buffers outside of the garbage-collected heap, where 20,000 objects
 * would slow down every collection.
 */
export class KeptFiles {
  readonly #limitBytes: number;
  // -1: the file was read but not kept, and a later version of it must not be kept.
  readonly #numbers = new Map<string, number>();
  #kept = 0;
  readonly #blocks: Buffer[] = [];
  #fields = new Float64Array(64 * FIELDS);
  #blockUsed = BLOCK_BYTES;
  #usedBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * Keeps the content of a file as it was first read, if there is room, and returns the kept copy. `stat` must be from
   * before the read, `nowMs` from after it.
   */
  keep(name: string, bytes: Buffer, stat: Stats, nowMs: number): Buffer | undefined {
    if (this.#limitBytes === 0 || this.#numbers.has(name)) return undefined;
    const needed = bytes.length + ENTRY_BYTES;
    const hasRoom = bytes.length <= LONGEST_BYTES && this.#usedBytes + needed <= this.#limitBytes;
    const isSettled = stat.isFile() && stat.size === bytes.length && nowMs - stat.ctimeMs >= SETTLED_MS;
    if (!hasRoom || !isSettled) {
      this.#numbers.set(name, -1);
      return undefined;
    }
    const number = this.#kept;
    this.#kept += 1;
    this.#numbers.set(name, number);
    this.#usedBytes += needed;
    // Empty content needs no room, but it needs a block to be in.
    if (this.#blockUsed === BLOCK_BYTES || this.#blockUsed + bytes.length > BLOCK_BYTES) {
      this.#blocks.push(Buffer.allocUnsafeSlow(BLOCK_BYTES));
      this.#blockUsed = 0;
    }
    const block = this.#blocks[this.#blocks.length - 1] as Buffer;
    const from = this.#blockUsed;
    bytes.copy(block, from);
    this.#blockUsed += bytes.length;
    const at = number * FIELDS;
    if (at === this.#fields.length) {
      const larger = new Float64Array(2 * at);
      larger.set(this.#fields);
      this.#fields = larger;
    }
    const fields = this.#fields;
    fields[at] = stat.ino;
    fields[at + 1] = stat.size;
    fields[at + 2] = stat.mtimeMs;
    fields[at + 3] = stat.ctimeMs;
    fields[at + 4] = (this.#blocks.length - 1) * BLOCK_BYTES + from;
    return block.subarray(from, this.#blockUsed);
  }

  has(name: string): boolean {
    return (this.#numbers.get(name) ?? -1) >= 0;
  }

  /** The kept content of a file whose state is now `stat`; `undefined` if it has changed. Do not write to it. */
  get(name: string, stat: Stats): Buffer | undefined {
    const number = this.#numbers.get(name);
    if (number === undefined || number < 0) return undefined;
    const fields = this.#fields;
    const at = number * FIELDS;
    const isSame =
      fields[at] === stat.ino &&
      fields[at + 1] === stat.size &&
      fields[at + 2] === stat.mtimeMs &&
      fields[at + 3] === stat.ctimeMs;
    if (!isSame) return undefined;
    const place = fields[at + 4] as number;
    const from = place % BLOCK_BYTES;
    return this.#blocks[Math.floor(place / BLOCK_BYTES)]?.subarray(from, from + stat.size);
  }
}
