import { randomBytes } from 'node:crypto';
import { QrunError } from '../../core/errors.js';
import { encodeRowless, type GroupHead, RecordEncoder } from '../../core/log/record.js';
import { RecordBuffer } from '../../core/log/record-buffer.js';
import { LOG_START_BYTES, refusals, refuseOther } from '../../core/log/refusals.js';
import { FinalStates, LogScanner } from '../../core/log/scan/index.js';
import type { QueryError, QueryStats } from '../../core/model.js';
import { isSettled } from '../../core/unit/plan.js';
import type { ResultBody } from '../engines/result-body.js';
import { hintOf, readError, reasonOf } from '../files/failures.js';
import type { FileLock } from '../files/flock.js';
import type { LogDisk, LogFile } from './disk.js';
import { READ_BYTES, readAhead } from './read-ahead.js';

/** The outcome of an attempt, to be recorded. The log disposes of `body` once it is written or refused. */
export type GroupContent =
  | { readonly outcome: 'normal'; readonly body: ResultBody; readonly stats: QueryStats | undefined }
  | { readonly outcome: 'skipped'; readonly stats: QueryStats | undefined }
  | { readonly outcome: 'error'; readonly error: QueryError };

/** The lock under which all writers of a log append. */
export type LogLock = Pick<FileLock, 'path' | 'tryAcquireNow' | 'acquire' | 'release' | 'close'>;

export interface LogOptions {
  readonly path: string;
  readonly unit: string;
  readonly disk: LogDisk;
  /** The lock on `<path>.lock`; the log closes it. */
  readonly lock: LogLock;
  /** How long another writer may hold the lock. */
  readonly lockLimitMs?: number;
  /**
   * How long a batch waits for more groups, up to {@link GATHERED_GROUPS}, before it is written. Without this option
   * it does not wait. The first group is acknowledged that much later; the others need no sync of their own.
   */
  readonly gatherMs?: number;
  /** Collects what the log holds; the default is final states alone. */
  readonly states?: FinalStates;
  /** Called after a torn tail was saved aside and cut off. */
  readonly onRepair?: (repair: { bytes: number; savedAs: string; reason: string }) => void;
}

/** A writer holds the lock for one append; 30 s is enough for several GB on a slow disk. */
export const LOCK_LIMIT_MS = 30_000;

/** A batch of this many groups waits no longer: its sync costs less than a tenth of encoding it. */
const GATHERED_GROUPS = 32;

const WRITE_BYTES = 1024 * 1024;
// Larger results are encoded piece by piece, because short rows become many times longer in the log.
const SMALL_BYTES = 64 * 1024;
const NO_BYTES = Buffer.alloc(0);

/** Whole groups of another log, to be appended as they are. */
export interface GroupCopies {
  /** How many lines they are. */
  readonly lines: number;
  /**
   * Their bytes, for a log that ends at `start`. The next piece is asked for while one is being written; a piece must
   * stay valid until the one after the next is asked for.
   */
  pieces(start: number): AsyncIterator<Buffer>;
}

interface Pending {
  readonly head: GroupHead;
  readonly content: GroupContent;
  readonly resolve: (recorded: boolean) => void;
  readonly reject: (error: unknown) => void;
  /** Whether the flush wrote it; `false` if it was in the log already. */
  isWritten: boolean;
}

/**
 * The append-only log of a unit, with exactly-once recording.
 *
 * - `append` resolves only after the whole group is written and fdatasync has succeeded; this is the
 *   acknowledgement. A crash at any moment leaves every acknowledged group whole and at most one torn tail,
 *   which the next `open` or `append` of any qrun saves aside and cuts off.
 * - Groups that arrive while a flush is under way are written together by the next one (group commit).
 * - Under the lock, before each write, the log is read up to its end. A group whose query another writer has
 *   settled with the same fingerprint is dropped (`append` resolves with `false`).
 * - Any number of processes may append to one log, including shell writers that hold `flock <log>.lock`.
 * - After the first failure nothing more is written: all pending and later appends reject with that error.
 *   Errors are QrunErrors: `WRITE_FAILED` (nothing of the batch stays), `LOG_SYNC` (it is unknown what is durable;
 *   nothing is acknowledged), `READ_FAILED`, `LOCK_BUSY`, `LOCK_FAILED`, `LOG_DAMAGED`, `LOG_FOREIGN`,
 *   `LOG_SCHEMA`, `LOG_UNUSABLE`.
 */
export class ResultLog {
  readonly path: string;
  readonly #options: LogOptions;
  readonly #file: LogFile;
  readonly #network: boolean;
  // A group that was never completed and has good lines after it does not count: its query runs again.
  readonly #final: FinalStates;
  #scanner: LogScanner;
  readonly #buffer = new RecordBuffer();
  #queue: Pending[] = [];
  #pumping: Promise<void> | undefined;
  // Ends the wait for more groups.
  #gathered: (() => void) | undefined;
  #isClosing = false;
  #failure: unknown;
  #records = 0;
  // A sync has succeeded up to here.
  #confirmed = 0;

  private constructor(options: LogOptions, file: LogFile, network: boolean) {
    this.path = options.path;
    this.#options = options;
    this.#file = file;
    this.#network = network;
    this.#final = options.states ?? new FinalStates(refusals(options.path, options.unit));
    this.#scanner = this.#newScanner(0);
  }

  /**
   * Opens the log, creates it if it is missing, reads all of it (over 1 GB/s on long rows) and repairs a torn tail.
   *
   * Errors: QrunError `LOG_UNUSABLE` (not a file, not writable), `LOG_DAMAGED` with the offset, `LOG_FOREIGN`
   * when it holds records of another unit, `LOG_SCHEMA`, `READ_FAILED`, `LOCK_BUSY`, `LOCK_FAILED`.
   */
  static async open(options: LogOptions, signal?: AbortSignal): Promise<ResultLog> {
    const { path, disk, lock } = options;
    let file: LogFile | undefined;
    let log: ResultLog;
    try {
      file = await disk.open(path);
      log = new ResultLog(options, file, await disk.isNetwork(path));
    } catch (cause) {
      file?.close();
      lock.close();
      throw new QrunError('LOG_UNUSABLE', `cannot open the log ${path}: ${reasonOf(cause)}`, {
        hint: hintOf(cause, 'name a writable file with --log, or a writable directory with --log-dir'),
        cause,
      });
    }
    try {
      await lock.acquire({ limitMs: options.lockLimitMs ?? LOCK_LIMIT_MS, signal });
      try {
        await log.#catchUp();
        if (log.#scanner.position > 0) await log.#sync(log.#scanner.position);
      } finally {
        lock.release();
      }
    } catch (error) {
      file.close();
      lock.close();
      throw asLogError(error, path);
    }
    return log;
  }

  /** The final state of every query in the log, as of the last read or append. */
  get final(): Pick<FinalStates, 'get' | 'size' | typeof Symbol.iterator> {
    return this.#final;
  }

  /** The number of lines that this object appended. */
  get records(): number {
    return this.#records;
  }

  /** Whether the log lies on a network file system, where every append is slower and locks are weaker. */
  get onNetwork(): boolean {
    return this.#network;
  }

  /** Records a group; resolves with `true` once it is durable, with `false` if the query was settled meanwhile. */
  append(head: GroupHead, content: GroupContent): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ head, content, resolve, reject, isWritten: false });
      if (this.#queue.length === GATHERED_GROUPS) this.#gathered?.();
      this.#pumping ??= this.#pump();
    });
  }

  /**
   * Appends groups that `choose` finds in another log, all of them or none; resolves once they are durable. `choose` is
   * called under the lock, when all that the log holds is in the states that {@link LogOptions.states} collects, and
   * notes there what it chose. The lock is held until everything is written.
   *
   * Not while `append` is under way. Errors: those of {@link ResultLog}, and whatever `choose` and the pieces reject
   * with; nothing was appended then, and the log must be opened again.
   */
  async appendCopies(choose: () => Promise<GroupCopies | undefined>): Promise<void> {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      await this.#underLock(async () => {
        const copies = await choose();
        if (copies !== undefined) await this.#copy(copies);
      });
    } catch (error) {
      this.#failure = asLogError(error, this.path);
      throw this.#failure;
    }
  }

  async #copy({ lines, pieces }: GroupCopies): Promise<void> {
    const before = this.#scanner.position;
    let bytes = 0;
    try {
      const source = pieces(before);
      for (let step = await source.next(); step.done !== true; ) {
        bytes += step.value.length;
        step = await both(this.#file.append(step.value), source.next());
      }
    } catch (cause) {
      const failed = this.#rollBack(before, cause);
      // What failed was reading: nothing of it stays, and its own error says more.
      throw cause instanceof QrunError && this.#file.sizeBytes() === before ? cause : failed;
    }
    const size = before + bytes;
    this.#expectSize(size, 'after an import');
    this.#records += lines;
    this.#scanner = this.#newScanner(size);
  }

  /** Waits for pending appends, then closes the log and its lock. Does not reject; failures went to `append`. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#gathered?.();
    await this.#pumping;
    this.#failure ??= new QrunError('LOG_UNUSABLE', `the log ${this.path} is closed`);
    this.#file.close();
    this.#options.lock.close();
  }

  async #pump(): Promise<void> {
    // Lets `append` store this promise first; groups appended in the same tick join the batch.
    await undefined;
    while (this.#queue.length > 0) {
      await this.#gather();
      const batch = this.#queue;
      this.#queue = [];
      try {
        if (this.#failure !== undefined) throw this.#failure;
        await this.#flush(batch);
        for (const { resolve, isWritten } of batch) resolve(isWritten);
      } catch (error) {
        this.#failure = asLogError(error, this.path);
        for (const pending of batch) pending.reject(this.#failure);
      }
      for (const { content } of batch) {
        if (content.outcome !== 'normal') continue;
        const disposed = content.body.dispose().catch(() => {});
        // A body in memory is released at once.
        if (content.body.kind === 'spool') await disposed;
      }
    }
    this.#pumping = undefined;
  }

  #gather(): Promise<void> | undefined {
    const { gatherMs } = this.#options;
    if (gatherMs === undefined || this.#queue.length >= GATHERED_GROUPS || this.#isClosing) return undefined;
    return new Promise(resolve => {
      const timer = setTimeout(resolve, gatherMs);
      this.#gathered = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async #flush(batch: readonly Pending[]): Promise<void> {
    await this.#underLock(() => this.#write(this.#due(batch)));
  }

  // Calls `work` with the lock held and the log read up to its end; then makes all of the log durable.
  async #underLock(work: () => Promise<void>): Promise<void> {
    const { lock, lockLimitMs = LOCK_LIMIT_MS } = this.#options;
    if (this.#network) await this.#options.disk.reached?.(this.path);
    if (lock.tryAcquireNow() !== true) await lock.acquire({ limitMs: lockLimitMs });
    let end: number;
    try {
      if (this.#network && this.#file.isCurrent()) this.#file.reopen();
      if (!this.#file.isCurrent()) {
        throw new QrunError(
          'LOG_UNUSABLE',
          `the log ${this.path} was removed or replaced while it was in use`,
          {
            hint: 'what was recorded up to then is in the old file; start again to record into the new one',
          },
        );
      }
      await this.#catchUp();
      await work();
      end = this.#scanner.position;
      if (this.#network) await this.#sync(end);
    } finally {
      lock.release();
    }
    // This also covers what others wrote: the answer "already recorded" must be durable too.
    if (!this.#network) await this.#sync(end);
  }

  // The groups to write: reruns, and those whose query is settled neither in the log nor earlier in the batch.
  #due(batch: readonly Pending[]): Pending[] {
    // Fingerprints by query.
    const settled = new Map<string, string>();
    return batch.filter(pending => {
      const { head, content } = pending;
      const { query, fingerprint } = head;
      const known = settled.get(query) === fingerprint || isSettled(this.#final.get(query), fingerprint);
      if (content.outcome !== 'error') settled.set(query, fingerprint);
      pending.isWritten = head.rerun || !known;
      return pending.isWritten;
    });
  }

  async #write(due: readonly Pending[]): Promise<void> {
    if (due.length === 0) return;
    const before = this.#scanner.position;
    let bytes = 0;
    try {
      await encodeBatch(due, this.#buffer, async buffer => {
        await this.#file.append(buffer);
        bytes += buffer.length;
      });
    } catch (cause) {
      throw this.#rollBack(before, cause);
    }
    const size = before + bytes;
    this.#expectSize(size, 'after an append');
    for (const { head, content } of due) {
      const parts = content.outcome === 'normal' ? content.body.rows : 1;
      this.#records += parts;
      const { query, fingerprint, run } = head;
      this.#final.set({ query, fingerprint, outcome: content.outcome, parts, run });
    }
    this.#scanner = this.#newScanner(size);
  }

  #expectSize(expected: number, when: string): void {
    const size = this.#file.sizeBytes();
    if (size === expected) return;
    throw new QrunError(
      'LOG_DAMAGED',
      `${this.path} has ${size} bytes ${when}, not ${expected}: another program writes to it without holding its lock`,
      { hint: `stop that program, or let it append under: flock ${this.#options.lock.path} ...` },
    );
  }

  #rollBack(size: number, cause: unknown): QrunError {
    const reason = reasonOf(cause);
    try {
      this.#file.truncate(size);
    } catch (error) {
      return new QrunError(
        'WRITE_FAILED',
        `cannot append to ${this.path}: ${reason}; nor could the torn end be cut off: ${reasonOf(error)}`,
        { hint: 'nothing recorded is lost: the next run saves the torn end aside and goes on', cause },
      );
    }
    return new QrunError('WRITE_FAILED', `cannot append to ${this.path}: ${reason}`, {
      hint: 'free space (or raise the file size limit) and run again: what was recorded stays, the rest runs then',
      cause,
    });
  }

  // Makes the file durable up to `end`, the end of a whole group.
  async #sync(end: number): Promise<void> {
    try {
      await this.#file.sync();
      this.#confirmed = Math.max(this.#confirmed, end);
    } catch (cause) {
      // Not retried: after a failed fsync the kernel may report success for data that it has dropped. The next run,
      // which may find these records, must not be misled by that either, so they are written again. This run no
      // longer acknowledges them, so a failure of the rewrite changes nothing.
      await this.#file.rewrite(this.#confirmed, end).catch(() => {});
      throw new QrunError(
        'LOG_SYNC',
        `${this.path}: the disk did not confirm the last append: ${(cause as Error).message}`,
        { hint: 'check the disk (dmesg), then run again: only what was confirmed counts as recorded', cause },
      );
    }
  }

  // Under the lock: reads what is new since the last time, and repairs a torn tail.
  async #catchUp(): Promise<void> {
    const size = this.#file.sizeBytes();
    const from = this.#scanner.position;
    if (size < from) {
      throw new QrunError(
        'LOG_DAMAGED',
        `${this.path} shrank from ${from} to ${size} bytes while it was in use`,
        {
          hint: 'another program cut it; restore it from a backup, or start again to run what is missing',
        },
      );
    }
    if (size > from) await this.#scan(size);
    const tail = this.#scanner.tail();
    if (tail.tornBytes > 0) await this.#repair(tail.goodEnd, size, tail.reason ?? 'torn');
  }

  async #scan(size: number): Promise<void> {
    const read = this.#read.bind(this);
    const range = { from: this.#scanner.position, end: size, pieceBytes: READ_BYTES };
    const end = await readAhead(read, range, bytes => this.#scanner.push(bytes));
    if (end < size) throw new QrunError('LOG_DAMAGED', `${this.path} shrank while it was read`);
  }

  // The order matters: the fragment must be durable in its own file before it is cut from the log.
  async #repair(goodEnd: number, size: number, reason: string): Promise<void> {
    if (goodEnd === 0) await this.#expectLog(size);
    const savedAs = `${this.path}.torn-${goodEnd}-${randomBytes(4).toString('hex')}`;
    try {
      await this.#options.disk.writeNew(savedAs, this.#fragment(goodEnd, size));
      // A writer without the lock may be at work: what was not saved must not be cut off.
      this.#expectSize(size, 'after its torn end was saved');
      this.#file.truncate(goodEnd);
    } catch (cause) {
      if (cause instanceof QrunError) throw cause;
      throw new QrunError(
        'WRITE_FAILED',
        `${this.path} has a torn end from byte ${goodEnd} on (${reason}), which cannot be saved aside: ` +
          reasonOf(cause),
        { hint: 'free space or make the directory writable, then run again', cause },
      );
    }
    this.#scanner = this.#newScanner(goodEnd);
    this.#options.onRepair?.({ bytes: size - goodEnd, savedAs, reason });
    await this.#sync(goodEnd);
  }

  async #read(buffer: Buffer, length: number, position: number): Promise<number> {
    try {
      return await this.#file.read(buffer, length, position);
    } catch (cause) {
      throw readError(
        `the log ${this.path}`,
        cause,
        'check the disk (dmesg), then run again; nothing was changed',
      );
    }
  }

  // A file without a single record is a log only if it begins like one; a crash of the machine may have turned any
  // part of that beginning into NULs. Somebody else's file that was named by mistake must not be cut.
  async #expectLog(size: number): Promise<void> {
    const start = Buffer.alloc(Math.min(size, LOG_START_BYTES));
    const got = await this.#read(start, start.length, 0);
    refuseOther(this.path, start.subarray(0, got));
  }

  async *#fragment(from: number, to: number): AsyncGenerator<Buffer> {
    for (let at = from; at < to; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, to - at));
      const got = await this.#file.read(buffer, buffer.length, at);
      if (got === 0) throw new Error('the log shrank while its end was read');
      at += got;
      yield buffer.subarray(0, got);
    }
  }

  #newScanner(start: number): LogScanner {
    return new LogScanner(this.#options.unit, this.#final, start);
  }
}

// Resolves with the result of `next` when both have succeeded; rejects only when neither is under way any more.
async function both<T>(work: Promise<void>, next: Promise<T>): Promise<T> {
  const [worked] = await Promise.allSettled([work, next]);
  if (worked.status === 'rejected') throw worked.reason;
  return await next;
}

// Wraps the failure of a system call that nothing else has explained.
function asLogError(error: unknown, path: string): unknown {
  if ((error as NodeJS.ErrnoException | undefined)?.syscall === undefined) return error;
  return new QrunError('LOG_UNUSABLE', `cannot use the log ${path}: ${reasonOf(error)}`, {
    hint: 'check its disk and directory, then run again: what was recorded stays',
    cause: error,
  });
}

// Calls `write` with the bytes of all groups, in buffers of about 1 MiB: a small batch is one write, and a large one
// takes bounded memory. Each buffer is valid until its write has ended.
async function encodeBatch(
  due: readonly Pending[],
  buffer: RecordBuffer,
  write: (bytes: Buffer) => Promise<void>,
): Promise<void> {
  for (const { head, content } of due) {
    if (content.outcome !== 'normal') buffer.addBytes(encodeRowless(head, content));
    else if (content.body.sizeBytes <= SMALL_BYTES && content.body.kind === 'memory') {
      buffer.addRows(head, content.body.bytes() ?? NO_BYTES, content.body.rows, content.stats);
    } else {
      const encoder = new RecordEncoder(head, content.body.rows, content.stats);
      for await (const chunk of content.body.chunks()) {
        for (const piece of encoder.encode(chunk)) buffer.addBytes(piece);
        if (buffer.length >= WRITE_BYTES) await write(buffer.take());
      }
      encoder.finish();
    }
    if (buffer.length >= WRITE_BYTES) await write(buffer.take());
  }
  if (buffer.length > 0) await write(buffer.take());
}
