import { viewOf } from './head-reader.js';

const MIN_SLOTS = 64;
const MIN_BYTES = 1024;
const QUOTE = 34;
const BACKSLASH = 92;

/** Returns a copy of a column of numbers with room for as many again, filled with 0. */
export function twice<T extends Float64Array | Uint32Array>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(2 * column.length);
  larger.set(column);
  return larger;
}

/**
 * Numbers names from 0 in the order in which they first come. It keeps them as bytes in one buffer, found through a
 * hash table, so that it holds no objects that the garbage collector moves; a Map of strings takes several times as
 * long.
 *
 * Names are compared in the form in which JSON writes them, which is how they are in a log.
 */
export class NameTable {
  // Pairs of a hash and a number + 1; 0 if the slot is free. Open addressing, at most five eighths full.
  #slots = new Int32Array(2 * MIN_SLOTS);
  #bytes = Buffer.alloc(MIN_BYTES);
  #view = viewOf(this.#bytes);
  // Where the name of each number ends.
  #ends = new Uint32Array(MIN_SLOTS / 2);
  #size = 0;
  // For names that come as strings: most are plain and are encoded here without a buffer of their own.
  #text = Buffer.alloc(MIN_BYTES);
  #textView = viewOf(this.#text);

  get size(): number {
    return this.#size;
  }

  /** Returns the number of a name that is in `bytes` as JSON writes it, without its quotes. */
  add(bytes: Buffer, view: DataView, from: number, to: number): number {
    const hash = hashOf(view, from, to);
    const slot = this.#slotOf(hash, view, from, to - from);
    const known = this.#slots[slot + 1] as number;
    return known === 0 ? this.#insert(slot, hash, bytes, from, to) : known - 1;
  }

  /** Returns the number of any name. */
  addText(name: string): number {
    const length = this.#encode(name);
    return this.add(this.#text, this.#textView, 0, length);
  }

  /** Returns the number of a name that was added, otherwise -1. */
  find(name: string): number {
    const length = this.#encode(name);
    const view = this.#textView;
    const slot = this.#slotOf(hashOf(view, 0, length), view, 0, length);
    return (this.#slots[slot + 1] as number) - 1;
  }

  // Writes the name as JSON writes it into `#text`, and returns its length.
  #encode(name: string): number {
    // As \u0000 each UTF-16 unit takes six bytes.
    if (6 * name.length > this.#text.length) {
      this.#text = Buffer.alloc(12 * name.length);
      this.#textView = viewOf(this.#text);
    }
    const text = this.#text;
    for (let at = 0; at < name.length; at += 1) {
      const unit = name.charCodeAt(at);
      const isPlain = unit >= 0x20 && unit <= 0x7e && unit !== QUOTE && unit !== BACKSLASH;
      if (!isPlain) return text.write(JSON.stringify(name).slice(1, -1));
      text[at] = unit;
    }
    return name.length;
  }

  name(number: number): string {
    const text = this.#bytes.toString('utf8', this.#start(number), this.#ends[number]);
    return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text;
  }

  #start(number: number): number {
    return number === 0 ? 0 : (this.#ends[number - 1] as number);
  }

  // Returns the slot of the name, or the free slot where it belongs.
  #slotOf(hash: number, view: DataView, from: number, length: number): number {
    const slots = this.#slots;
    const mask = slots.length - 2;
    for (let slot = (hash << 1) & mask; ; slot = (slot + 2) & mask) {
      const known = slots[slot + 1] as number;
      if (known === 0) return slot;
      if (slots[slot] === hash && this.#isName(known - 1, view, from, length)) return slot;
    }
  }

  #isName(number: number, view: DataView, from: number, length: number): boolean {
    const start = this.#start(number);
    if ((this.#ends[number] as number) - start !== length) return false;
    for (let i = 0; i < length; i += 1) {
      if (this.#view.getInt8(start + i) !== view.getInt8(from + i)) return false;
    }
    return true;
  }

  #insert(slot: number, hash: number, bytes: Buffer, from: number, to: number): number {
    const number = this.#size;
    const start = this.#start(number);
    const end = start + to - from;
    if (end > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(end, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = viewOf(larger);
    }
    const own = this.#bytes;
    for (let i = from, at = start; i < to; i += 1, at += 1) own[at] = bytes[i] as number;
    if (number === this.#ends.length) this.#ends = twice(this.#ends);
    this.#ends[number] = end;
    this.#slots[slot] = hash;
    this.#slots[slot + 1] = number + 1;
    this.#size = number + 1;
    if (16 * this.#size > 5 * this.#slots.length) this.#grow();
    return number;
  }

  #grow(): void {
    const old = this.#slots;
    const slots = new Int32Array(2 * old.length);
    const mask = slots.length - 2;
    for (let i = 0; i < old.length; i += 2) {
      const number = old[i + 1] as number;
      if (number === 0) continue;
      const hash = old[i] as number;
      let slot = (hash << 1) & mask;
      while (slots[slot + 1] !== 0) slot = (slot + 2) & mask;
      slots[slot] = hash;
      slots[slot + 1] = number;
    }
    this.#slots = slots;
  }
}

// MurmurHash3, x86, 32 bits, with the constants of its author (Austin Appleby, public domain).
function hashOf(view: DataView, from: number, to: number): number {
  let hash = 0;
  let at = from;
  for (; at + 4 <= to; at += 4) {
    hash ^= scrambled(view.getInt32(at));
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let rest = 0;
  for (; at < to; at += 1) rest = (rest << 8) | view.getUint8(at);
  hash ^= scrambled(rest) ^ (to - from);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

function scrambled(word: number): number {
  const mixed = Math.imul(word, 0xcc9e2d51);
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
}
