import type { Stats } from 'node:fs';

const BLOCK_BYTES = 256 * 1024;
// More of one text is not worth it: reading it again costs little beside running it.
const LONGEST_BYTES = 16 * 1024;
// Inode, size, both times, and where the text stands.
const FIELDS = 5;
// Of the fields, and of the name's place in the map.
const ENTRY_BYTES = 128;
// No file system in use has coarser times. A younger file may change once more without showing it.
const SETTLED_MS = 2_000;

/**
 * Texts of small files in memory, for whoever reads them twice: as long as a file has the same inode, size and
 * times, its text is what it was. First come, first kept; in all `limitBytes`, what belongs to a text included, in
 * buffers outside of the garbage-collected heap, where the objects of 20,000 texts would cost each collection.
 */
export class KeptFiles {
  readonly #limitBytes: number;
  // -1: it was read and not kept, and must not be kept as it is later.
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
   * Keeps the text of a file as it was first read, if there is room, and gives the copy that it keeps. `stat` is from
   * before it was read, `nowMs` from behind it.
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
    // A text without bytes needs no room, but a block that it stands in.
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

  /** The kept text of a file that is now as `stat` says; `undefined` when it changed. Not to be written to. */
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
