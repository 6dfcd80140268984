const OPEN = 91;
const CLOSE = 93;
const COMMA = 44;
const NEWLINE = 10;

/**
 * Turns rows in the form of `output_format_json_array_of_rows` (`[`, rows with a comma after each but the last, `]`,
 * each on its own line) into plain lines of rows. Accepts pieces of any size. Input that does not begin with `[` is
 * passed on unchanged.
 */
export class ArrayOfRows {
  #part: 'start' | 'opened' | 'rows' | 'closing' | 'closed' | 'other' = 'start';
  #atLineStart = false;
  // The last byte of the last piece was a comma. It is not known yet whether it ends a row.
  #comma = false;

  /** Whether the bytes so far can be the whole input. */
  get isWhole(): boolean {
    return this.#part === 'start' || this.#part === 'closed' || this.#part === 'other';
  }

  /** The rows in the next piece. */
  take(chunk: Buffer): Buffer {
    let from = 0;
    if (this.#part === 'start') {
      this.#part = chunk[0] === OPEN ? 'opened' : 'other';
      from = 1;
    }
    if (this.#part === 'other') return chunk;
    const rows = Buffer.allocUnsafe(chunk.length + 1);
    let length = this.#comma ? rows.writeUInt8(COMMA) : 0;
    while (from < chunk.length) {
      if (this.#part !== 'rows') {
        from = this.#outside(chunk, from);
        // Passed on with a `[`: no row begins with it, so the reader finds that these are not rows.
        if (!this.#is('other')) continue;
        return Buffer.concat([rows.subarray(0, length), Buffer.of(OPEN), chunk.subarray(from)]);
      }
      if (this.#atLineStart && chunk[from] === CLOSE) {
        this.#part = 'closing';
        from += 1;
        continue;
      }
      const newline = chunk.indexOf(NEWLINE, from);
      const end = newline === -1 ? chunk.length : newline;
      length += chunk.copy(rows, length, from, end);
      this.#atLineStart = newline !== -1;
      if (newline !== -1) {
        if (length > 0 && rows[length - 1] === COMMA) length -= 1;
        length = rows.writeUInt8(NEWLINE, length);
      }
      from = end + 1;
    }
    this.#comma = length > 0 && rows[length - 1] === COMMA;
    return rows.subarray(0, this.#comma ? length - 1 : length);
  }

  // Takes one byte of the lines around the rows; returns the position of the next one.
  #outside(chunk: Buffer, from: number): number {
    const isEnd = chunk[from] === NEWLINE;
    if (this.#part === 'opened' && !this.#atLineStart && isEnd) {
      this.#atLineStart = true;
      return from + 1;
    }
    if (this.#part === 'opened' && this.#atLineStart) {
      this.#part = 'rows';
      // An array without rows has an empty line.
      return isEnd ? from + 1 : from;
    }
    this.#part = this.#part === 'closing' && isEnd ? 'closed' : 'other';
    return isEnd ? from + 1 : from;
  }

  #is(part: string): boolean {
    return this.#part === part;
  }
}
