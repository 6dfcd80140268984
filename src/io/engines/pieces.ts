// A Buffer takes about 100 bytes beyond its content, and shifting a long list is slow.
const SMALL_BYTES = 1024;
const JOINED = 256;

/**
 * Pieces of an answer in their order. Small ones are joined as they come, so that an answer that arrives byte by byte
 * takes no more memory or time than one that arrives at once.
 */
export class Pieces {
  #list: Buffer[] = [];
  #bytes = 0;
  // How many at the end are small and not joined yet.
  #loose = 0;

  /** The size of all pieces together. */
  get bytes(): number {
    return this.#bytes;
  }

  get first(): Buffer | undefined {
    return this.#list[0];
  }

  push(piece: Buffer): void {
    this.#bytes += piece.length;
    this.#list.push(piece);
    if (piece.length >= SMALL_BYTES) this.#loose = 0;
    else {
      this.#loose += 1;
      if (this.#loose < JOINED) return;
      this.#list.push(Buffer.concat(this.#list.splice(-JOINED)));
      this.#loose = 0;
    }
  }

  /** Drops the first piece. */
  shift(): void {
    this.#bytes -= this.#list.shift()?.length ?? 0;
    this.#loose = Math.min(this.#loose, this.#list.length);
  }

  /** Returns all pieces, and keeps none. */
  take(): Buffer[] {
    const list = this.#list;
    this.#list = [];
    this.#bytes = 0;
    this.#loose = 0;
    return list;
  }

  /** All pieces as one buffer. */
  joined(): Buffer {
    return Buffer.concat(this.#list);
  }
}
