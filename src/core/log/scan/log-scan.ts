import { HeadReader, LineHead, viewOf } from './head-reader.js';
import { type RecordHead, readForeignLine } from './record-head.js';

/** Called with the lines of a log that belong to no group of its unit. */
export interface OtherLines {
  /** A line of JSON that is not a record of this unit; `unit` is set if it is a record of another unit. */
  foreign(start: number, unit: string | undefined): void;
  /** A record of a later version of the format. */
  newer(start: number, schema: number): void;
  /** A line that is not JSON, or holds NUL bytes, with something else after it: damage. */
  unreadable(start: number, bytes: number): void;
}

/** Called with what a scan finds, in the order of the log; offsets are bytes from the start of the file. */
export interface LogVisitor extends OtherLines {
  /** All `head.parts` records of one attempt, one after the other. `head` is that of part 1. */
  group(head: RecordHead, start: number, end: number): void;
  /** The first `seen` records of a group that never became whole, with something else after it. */
  partial(head: RecordHead, seen: number, start: number): void;
}

/** How the log ends, beyond its last whole group. */
export interface LogTail {
  /**
   * Where the last whole group ends, or anything else that has a line after it. Everything before it stays as it is.
   */
  readonly goodEnd: number;
  /** Bytes after `goodEnd`; 0 when the log is clean. They are from a dead writer, or from one that is still writing. */
  readonly tornBytes: number;
  /** Why the tail is torn, in words; `undefined` when it is clean. */
  readonly reason: string | undefined;
}

const NEWLINE = 10;
// A longer line whose head was read is not kept: only its length counts.
const KEEP_BYTES = 8 * 1024 * 1024;
// Below V8's longest string (512 MiB); a longer line that is not a record of this unit cannot be read at all.
const PARSE_LIMIT_BYTES = 256 * 1024 * 1024;

/**
 * Reads a log once, front to back, in chunks of any size, and calls a visitor with what is in it.
 *
 * Records are recognised by their fixed prefix and their length and are not parsed, so that long rows cost almost
 * nothing. Lines of any other form are parsed as JSON one by one. So is the last record that a run left before
 * another writer's line or the end: only that one can be a torn record joined to a line that is exactly as long as
 * what was torn off. Such a line is first reported as a record and then as `unreadable`. The caller may reuse chunks
 * after `push`. Memory: one head, and at most two lines.
 */
export class LogScanner {
  readonly #unit: string;
  readonly #reader: HeadReader;
  readonly #visitor: LogVisitor;
  #position: number;
  #goodEnd: number;
  // The line that the last chunk left open.
  #carry: Carry | undefined;
  // The group that is being read.
  #head: RecordHead | undefined;
  #groupStart = 0;
  #seen = 0;
  // The last line that was accepted as a record by its length alone and has not been parsed.
  #lastChunk: Buffer | undefined;
  #lastFrom = 0;
  #lastEnd = 0;
  #lastStart = 0;
  #lastRun = '';
  // Unreadable lines at the end: damage if anything follows; a torn tail if they hold NULs and nothing follows.
  #suspects: { start: number; bytes: number }[] = [];

  /** `start`: the offset of the first byte that will be pushed, at the end of a whole group. */
  constructor(unit: string, visitor: LogVisitor, start = 0) {
    this.#unit = unit;
    this.#reader = new HeadReader(unit);
    this.#visitor = visitor;
    this.#position = start;
    this.#goodEnd = start;
  }

  /** The offset after the last byte that was pushed. */
  get position(): number {
    return this.#position;
  }

  /** Reads the next bytes of the log. */
  push(chunk: Buffer): void {
    const base = this.#position;
    const hasNul = chunk.includes(0);
    const view = viewOf(chunk);
    let from = 0;
    if (this.#carry !== undefined) {
      const end = chunk.indexOf(NEWLINE);
      if (end === -1) {
        this.#carry.add(chunk, hasNul);
        this.#position += chunk.length;
        return;
      }
      const carry = this.#carry;
      carry.add(chunk.subarray(0, end), hasNul && chunk.subarray(0, end).includes(0));
      this.#carry = undefined;
      this.#carried(carry, base + end + 1);
      from = end + 1;
    }
    for (let end = chunk.indexOf(NEWLINE, from); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      this.#line(chunk, view, from, end, base, hasNul);
      from = end + 1;
    }
    if (from < chunk.length) {
      this.#carry = new Carry(base + from, this.#reader);
      const rest = chunk.subarray(from);
      this.#carry.add(rest, hasNul && rest.includes(0));
    }
    if (this.#lastChunk === chunk) {
      this.#lastChunk = Buffer.from(chunk.subarray(this.#lastFrom, this.#lastEnd));
      this.#lastEnd -= this.#lastFrom;
      this.#lastFrom = 0;
    }
    if (this.#head instanceof LineHead && this.#head.bytes === chunk) this.#head.detach();
    this.#position = base + chunk.length;
  }

  /** Returns how the bytes so far end. Pushing may continue afterwards. */
  tail(): LogTail {
    this.#parseLast();
    const tornBytes = this.#position - this.#goodEnd;
    const goodEnd = this.#goodEnd;
    if (tornBytes === 0) return { goodEnd, tornBytes, reason: undefined };
    if (this.#carry !== undefined) {
      return { goodEnd, tornBytes, reason: `the last line has no end (${this.#carry.length} bytes)` };
    }
    if (this.#suspects.length > 0) return { goodEnd, tornBytes, reason: 'the last line holds NUL bytes' };
    const { query, parts } = this.#head as RecordHead;
    return {
      goodEnd,
      tornBytes,
      reason: `only ${this.#seen} of ${parts} records of ${JSON.stringify(query)}`,
    };
  }

  #line(chunk: Buffer, view: DataView, from: number, end: number, base: number, hasNul: boolean): void {
    const start = base + from;
    const next = base + end + 1;
    if (hasNul && chunk.subarray(from, end).includes(0)) {
      this.#suspects.push({ start, bytes: next - start });
      return;
    }
    const open = this.#head;
    if (open instanceof LineHead && this.#suspects.length === 0) {
      const lineBytes = this.#reader.continues(open, this.#seen + 1, chunk, from, end, view);
      if (lineBytes === end - from) {
        this.#keepLast(chunk, from, end, start);
        this.#continued(open, next);
        return;
      }
    }
    const head = this.#reader.read(chunk, from, end, view);
    if (head?.lineBytes === end - from) this.#known(head, chunk, from, end, start, next);
    else this.#other(chunk.subarray(from, end), start, next);
  }

  #carried(carry: Carry, next: number): void {
    if (carry.hasNul) {
      this.#suspects.push({ start: carry.start, bytes: next - carry.start });
      return;
    }
    const head = carry.head();
    if (head?.lineBytes === carry.length) {
      // A line longer than is kept cannot be parsed.
      this.#known(head, carry.bytes(), 0, carry.length, carry.start, next);
    } else this.#other(carry.bytes(), carry.start, next);
  }

  // A record by its prefix and its length.
  #known(
    head: LineHead,
    bytes: Buffer | undefined,
    from: number,
    end: number,
    start: number,
    next: number,
  ): void {
    if (head.run !== this.#lastRun) this.#parseLast();
    this.#lastRun = head.run;
    this.#keepLast(bytes, from, end, start);
    this.#record(head, start, next);
  }

  #keepLast(bytes: Buffer | undefined, from: number, end: number, start: number): void {
    this.#lastChunk = bytes;
    this.#lastFrom = from;
    this.#lastEnd = end;
    this.#lastStart = start;
  }

  #parseLast(): void {
    const chunk = this.#lastChunk;
    if (chunk === undefined) return;
    this.#lastChunk = undefined;
    if (isJson(chunk.subarray(this.#lastFrom, this.#lastEnd))) return;
    this.#visitor.unreadable(this.#lastStart, this.#lastEnd - this.#lastFrom + 1);
  }

  #record(head: RecordHead, start: number, next: number): void {
    this.#condemn(start);
    const open = this.#head;
    if (open !== undefined) {
      if (continues(open, this.#seen, head)) {
        this.#continued(open, next);
        return;
      }
      this.#abandon(start);
    }
    if (head.part !== 1) {
      this.#visitor.partial(head, 1, start);
      release(head);
      this.#goodEnd = next;
    } else if (head.parts === 1) {
      this.#complete(head, start, next);
    } else {
      this.#head = head;
      this.#groupStart = start;
      this.#seen = 1;
    }
  }

  #continued(open: RecordHead, next: number): void {
    this.#seen += 1;
    if (this.#seen === open.parts) this.#complete(open, this.#groupStart, next);
  }

  #other(bytes: Buffer | undefined, start: number, next: number): void {
    this.#parseLast();
    const line =
      bytes === undefined
        ? { kind: 'unreadable' as const }
        : readForeignLine(bytes.toString('utf8'), this.#unit);
    if (line.kind === 'record') {
      this.#record(line.head, start, next);
      return;
    }
    this.#condemn(start);
    this.#abandon(start);
    if (line.kind === 'unreadable') this.#visitor.unreadable(start, next - start);
    else if (line.kind === 'newer') this.#visitor.newer(start, line.schema);
    else this.#visitor.foreign(start, line.kind === 'other_unit' ? line.unit : undefined);
    this.#goodEnd = next;
  }

  #complete(head: RecordHead, start: number, next: number): void {
    this.#head = undefined;
    this.#goodEnd = next;
    this.#visitor.group(head, start, next);
    release(head);
  }

  // With a line after it at `next`, a group that is not whole is no longer the tail: it stays where it is.
  #abandon(next: number): void {
    if (this.#head === undefined) return;
    this.#visitor.partial(this.#head, this.#seen, this.#groupStart);
    release(this.#head);
    this.#head = undefined;
    this.#goodEnd = next;
  }

  #condemn(next: number): void {
    if (this.#suspects.length === 0) return;
    this.#abandon(next);
    for (const { start, bytes } of this.#suspects) this.#visitor.unreadable(start, bytes);
    this.#suspects = [];
    this.#goodEnd = next;
  }
}

function release(head: RecordHead): void {
  if (head instanceof LineHead) head.release();
}

function isJson(bytes: Buffer): boolean {
  // An exception for each of a million empty lines would take seconds.
  if (bytes.length === 0) return false;
  try {
    JSON.parse(bytes.toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

function continues(open: RecordHead, seen: number, next: RecordHead): boolean {
  return (
    next.part === seen + 1 &&
    next.query === open.query &&
    next.parts === open.parts &&
    next.fingerprint === open.fingerprint &&
    next.attempt === open.attempt &&
    next.run === open.run &&
    next.rerun === open.rerun &&
    next.outcome === open.outcome
  );
}

// A line that spans several chunks.
class Carry {
  readonly start: number;
  readonly #reader: HeadReader;
  #pieces: Buffer[] = [];
  #head: LineHead | undefined;
  #tried = false;
  #dropped = false;
  length = 0;
  hasNul = false;

  constructor(start: number, reader: HeadReader) {
    this.start = start;
    this.#reader = reader;
  }

  add(piece: Buffer, hasNul: boolean): void {
    if (piece.length === 0) return;
    this.length += piece.length;
    this.hasNul ||= hasNul;
    if (this.#dropped) return;
    this.#pieces.push(Buffer.from(piece));
    if (this.length <= KEEP_BYTES) return;
    if (!this.#tried) this.#head = this.#readHead();
    this.#tried = true;
    if (this.#head !== undefined || this.length > PARSE_LIMIT_BYTES) {
      this.#pieces = [];
      this.#dropped = true;
    }
  }

  head(): LineHead | undefined {
    return this.#head ?? (this.#dropped ? undefined : this.#readHead());
  }

  bytes(): Buffer | undefined {
    return this.#dropped ? undefined : this.#joined();
  }

  #readHead(): LineHead | undefined {
    const line = this.#joined();
    const head = this.#reader.read(line, 0, line.length);
    // Of a line that is not kept, only the head is.
    head?.detach();
    return head;
  }

  #joined(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)];
    return this.#pieces[0] ?? Buffer.alloc(0);
  }
}
