import { isUtf8 } from 'node:buffer';
import { randomBytes } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Failure, ownFailure } from '../../core/engines/failure.js';
import { shortageCode } from '../../core/engines/shortage.js';
import { QrunError } from '../../core/errors.js';
import { RowProof } from '../../core/log/row-proof.js';
import { ArrayOfRows } from './array-of-rows.js';
import { Pieces } from './pieces.js';
import { type SpoolShare, type SpoolSpace, tooLarge } from './spool-space.js';

/**
 * Rows of one result: lines, each proven to be one JSON object followed by a newline and nothing else
 * ({@link RowProof}), in valid UTF-8. Held in memory, or in an unlinked temporary file if they are larger than the
 * spool threshold.
 */
export interface ResultBody {
  readonly rows: number;
  readonly sizeBytes: number;
  /** Where the bytes are: `memory` costs its size in resident memory, `spool` costs none. */
  readonly kind: 'memory' | 'spool';
  /** The bytes in order, in pieces of any size that need not end at line ends; may be called again. */
  chunks(): AsyncIterable<Buffer>;
  /** All bytes in one buffer for a body in memory, `undefined` for a spooled one. */
  bytes(): Buffer | undefined;
  /** Releases the memory or the file. Safe to call twice. */
  dispose(): Promise<void>;
}

/** Where results go that are too large for memory, and from which size on. */
export interface SpoolOptions {
  /** An existing directory. The file in it is unlinked at once, so it disappears with the process. */
  readonly directory: string;
  readonly thresholdBytes: number;
  /** A larger result fails with `RESULT_TOO_LARGE`. Without it there is no limit. */
  readonly limitBytes?: number;
  /** The space that all spooled results share. */
  readonly space?: SpoolSpace;
}

/** 1 MiB for each running query: -P64 stays at 64 MiB, and writing 1 MiB costs less than a millisecond. */
export const SPOOL_THRESHOLD_BYTES = 1024 * 1024;

/**
 * How much is kept of output that is not rows. An exception block in a body is at most 16 KiB according to the server's
 * documentation. Messages of older servers have no limit, but one longer than this helps nobody.
 */
export const TAIL_BYTES = 64 * 1024;
// The server's exception comes after the last row, and nothing comes after it. Longer output is not an exception.
const BEHIND_FAULT_BYTES = 1024 * 1024;
const READ_BYTES = 256 * 1024;
const NO_BYTES = Buffer.alloc(0);
const NEWLINE = 10;

/** What the settings in a file may have done to the form of its rows. */
export interface RowShape {
  /** They may be elements of an array, which are then the rows. */
  readonly mayBeArray?: boolean;
  /** The last one may be `{"exception": "Code: ..."}`. */
  readonly mayEndWithException?: boolean;
}

/** Why the bytes so far are not rows. */
export interface NotRows {
  readonly reason: string;
  /** All lines but the last are rows, and the last has no end: the bytes stopped too early. */
  readonly cut: boolean;
  /** The last 64 KiB that were received, from a line start on: a server's exception is found there. */
  readonly tail: string;
  /** Set if they may be rows, but are too many or there is no room for them now. */
  readonly failure?: Failure;
}

/** Returns the failure of a statement whose bytes are not rows; `more` is for the end of its message. */
export function notRows({ reason, cut }: NotRows, more = ''): Failure {
  return cut
    ? ownFailure('RESULT_CUT', 'unknown', `the result is not whole: ${reason}`)
    : ownFailure('RESULT_INVALID', 'permanent', `the result is not lines of rows: ${reason}${more}`);
}

/**
 * Collects the bytes of one answer and proves that they are rows.
 *
 * Bytes are accepted in pieces of any size. From the first line on that is not a row, only the tail is kept, so that
 * the caller can look for the server's exception in it. Concurrent calls of `write` are not safe. A rejected `write`
 * (QrunError `WRITE_FAILED`, spool disk full) leaves nothing behind.
 *
 * Without spool options the rows are proven and counted, but not kept. This is for the output of a statement that is
 * not the result.
 */
export class ResultWriter {
  readonly #spool: SpoolOptions | undefined;
  readonly #chunks = new Pieces();
  #file: FileHandle | undefined;
  #share: SpoolShare | undefined;
  #sizeBytes = 0;
  readonly #proof = new RowProof();
  // At most 3 bytes of a character that was cut at the end of the last chunk.
  #cutCharacter: Buffer = NO_BYTES;
  #bad: string | undefined;
  #failure: Failure | undefined;
  // Bytes since the first line that is not a row, counted from the start of its piece.
  #behindFault = 0;
  // The newest chunks, together just over TAIL_BYTES: an exception that ends the body is in them.
  readonly #recent = new Pieces();
  readonly #array: ArrayOfRows | undefined;

  constructor(spool: SpoolOptions | undefined, shape?: RowShape) {
    this.#spool = spool;
    this.#array = shape?.mayBeArray ? new ArrayOfRows() : undefined;
  }

  /** Adds bytes. Returns a promise only when the bytes go to the spool; awaiting it is the back-pressure. */
  write(chunk: Buffer): Promise<void> | undefined {
    if (chunk.length === 0) return undefined;
    this.#remember(chunk);
    return this.#add(this.#array === undefined ? chunk : this.#array.take(chunk));
  }

  #add(chunk: Buffer): Promise<void> | undefined {
    if (chunk.length === 0) return undefined;
    if (this.#bad === undefined) this.#scan(chunk);
    if (this.#bad !== undefined) {
      this.#chunks.take();
      this.#behindFault += chunk.length;
      return undefined;
    }
    this.#sizeBytes += chunk.length;
    if (this.#spool === undefined) return undefined;
    const { directory, thresholdBytes, limitBytes, space } = this.#spool;
    if (limitBytes !== undefined && this.#sizeBytes > limitBytes) return this.#refuse(tooLarge(limitBytes));
    this.#chunks.push(chunk);
    if (this.#sizeBytes <= thresholdBytes && this.#file === undefined) return undefined;
    this.#share ??= space?.share();
    return this.#writeSpool(directory);
  }

  /**
   * Whether nothing that follows can make a result of it any more, so that the rest need not be sent. Check it after
   * each `write`, and again when its promise has resolved.
   */
  get isRefused(): boolean {
    return this.#failure !== undefined || this.#behindFault > BEHIND_FAULT_BYTES;
  }

  #refuse(failure: Failure): Promise<void> {
    this.#failure = failure;
    this.#bad = failure.message;
    // Frees the space at once, for other results.
    return this.discard();
  }

  /** The newest bytes as a string: at most 64 KiB, from a line start on. */
  get tail(): string {
    const bytes = this.#recent.joined();
    // Pieces are dropped only while this much remains.
    if (bytes.length < TAIL_BYTES) return bytes.toString('utf8');
    const cut = bytes.subarray(-TAIL_BYTES);
    return cut.subarray(cut.indexOf(NEWLINE) + 1).toString('utf8');
  }

  /** Returns the body, or why the bytes are not rows. The writer cannot be used afterwards. */
  async finish(): Promise<ResultBody | NotRows> {
    const isOpen = this.#proof.isOpen || this.#array?.isWhole === false;
    if (this.#bad !== undefined || isOpen) {
      await this.discard();
      const cut = this.#bad === undefined;
      const failure = this.#failure === undefined ? {} : { failure: this.#failure };
      return { reason: this.#bad ?? 'its last line has no end', cut, tail: this.tail, ...failure };
    }

    return this.#file === undefined
      ? memoryBody(this.#chunks.take(), this.#proof.rows, this.#sizeBytes)
      : spoolBody(this.#file, this.#proof.rows, this.#sizeBytes, this.#share);
  }

  /** Drops everything. */
  async discard(): Promise<void> {
    this.#chunks.take();
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
    this.#share?.free();
  }

  #scan(chunk: Buffer): void {
    const fault = this.#proof.take(chunk);
    // Most answers are ASCII only and need no check. If there are two faults, the one of the encoding says more.
    if (fault !== undefined || this.#proof.sawNonAscii || this.#cutCharacter.length > 0) {
      this.#checkEncoding(chunk);
    }
    if (fault === undefined) return;
    this.#bad ??= fault.reason;
    if (fault.isTooLong) this.#failure = ownFailure('RESULT_TOO_LARGE', 'permanent', fault.reason);
  }

  #checkEncoding(chunk: Buffer): void {
    const text = this.#cutCharacter.length === 0 ? chunk : Buffer.concat([this.#cutCharacter, chunk]);
    const whole = text.length - cutCharacterBytes(text);
    // Nearly every answer is one piece, with no character cut.
    const isWhole = whole === text.length;
    this.#cutCharacter = isWhole ? NO_BYTES : Buffer.from(text.subarray(whole));
    if (!isUtf8(isWhole ? text : text.subarray(0, whole))) {
      this.#bad =
        'it holds bytes that are not UTF-8 (wrap the column in hex() or base64Encode(), or where the server ' +
        'knows it use --set output_format_json_validate_utf8=1)';
    }
  }

  #remember(chunk: Buffer): void {
    const recent = this.#recent;
    recent.push(chunk);
    for (let { first } = recent; first !== undefined; first = recent.first) {
      if (recent.bytes - first.length < TAIL_BYTES) return;
      recent.shift();
    }
  }

  async #writeSpool(directory: string): Promise<void> {
    const pending = this.#chunks.take();
    const size = pending.reduce((sum, { length }) => sum + length, 0);
    const why = await this.#share?.grow(size);
    if (why !== undefined) return await this.#refuse(why);
    try {
      this.#file ??= await openWhenPossible(directory);
      for (const chunk of pending) {
        for (let done = 0; done < chunk.length; ) {
          done += (await this.#file.write(chunk, done)).bytesWritten;
        }
      }
    } catch (cause) {
      await this.discard();
      throw new QrunError(
        'WRITE_FAILED',
        `cannot spool a large result in ${directory}: ${(cause as Error).message}`,
        { hint: 'free space there, or choose another place with --log-dir', cause },
      );
    }
  }
}

// How many bytes at the end belong to a UTF-8 character that is not complete yet (0 to 3).
function cutCharacterBytes(text: Buffer): number {
  for (let back = 1; back <= Math.min(3, text.length); back += 1) {
    const byte = text[text.length - back] ?? 0;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return length > back ? back : 0;
  }
  return 0;
}

// Worth waiting: other results release their files when they are recorded, and a run that cannot spool cannot go on.
const SPOOL_TRIES = 300;
const SPOOL_WAIT_MS = 100;

async function openWhenPossible(directory: string): Promise<FileHandle> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await openUnnamed(directory);
    } catch (error) {
      if (shortageCode(error) === undefined || tries === SPOOL_TRIES) throw error;
    }
    await delay(SPOOL_WAIT_MS);
  }
}

async function openUnnamed(directory: string): Promise<FileHandle> {
  const path = join(directory, `.qrun-spool-${randomBytes(12).toString('hex')}`);
  const file = await open(path, 'wx+', 0o600);
  await unlink(path);
  return file;
}

/** Returns rows that are held in memory, for bytes that are proven. */
export function memoryBody(chunks: Buffer[], rows: number, sizeBytes: number): ResultBody {
  let held = chunks;
  return {
    rows,
    sizeBytes,
    kind: 'memory',
    async *chunks() {
      yield* held;
    },
    bytes: () => (held.length === 1 ? held[0] : Buffer.concat(held)),
    dispose: async () => {
      held = [];
    },
  };
}

function spoolBody(
  file: FileHandle,
  rows: number,
  sizeBytes: number,
  share: SpoolShare | undefined,
): ResultBody {
  let closed = false;
  return {
    rows,
    sizeBytes,
    kind: 'spool',
    async *chunks() {
      for (let at = 0; at < sizeBytes; ) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, at);
        if (bytesRead === 0)
          throw new QrunError('READ_FAILED', 'a spooled result is shorter than it was written');
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    },
    bytes: () => undefined,
    dispose: async () => {
      if (closed) return;
      closed = true;
      await file.close();
      share?.free();
    },
  };
}
