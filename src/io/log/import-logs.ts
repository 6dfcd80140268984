import type { FileHandle } from 'node:fs/promises';
import { QrunError } from '../../core/errors.js';
import { LOG_START_BYTES, refusals, refuseOther } from '../../core/log/refusals.js';
import {
  type Fates,
  type GroupRange,
  LogScanner,
  NewGroups,
  type PresentQueries,
  RecordedAttempts,
} from '../../core/log/scan/index.js';
import { readError } from '../files/failures.js';
import { FileLock } from '../files/flock.js';
import { openToReadAsync } from '../files/open-file.js';
import { OWN_AS_NAMED, OWN_TO_READ } from '../files/own-file.js';
import { scanFile } from './follow.js';
import { READ_BYTES } from './read-ahead.js';
import { type GroupCopies, type LogOptions, ResultLog } from './result-log.js';

/** A log that another host has written, or a copy of it. */
export interface LogSource {
  readonly path: string;
  /** Whether the user named this very file, which may then be a link. */
  readonly isNamed: boolean;
}

/** The log into which others are imported: that of the unit on this host. */
export type ImportTarget = Omit<LogOptions, 'lock' | 'states' | 'gatherMs'>;

/** What became of one source. */
export interface SourceReport {
  readonly source: LogSource;
  /** How many of its whole groups have which fate; `new` were appended. All are 0 with a {@link problem}. */
  readonly fates: Fates;
  /** Lines and bytes that were appended. */
  readonly lines: number;
  readonly bytes: number;
  /** Groups that were never completed, with something else after them: they count for nothing. */
  readonly unfinished: number;
  /** Bytes at its end that were not read: its writer died there, or is writing now. */
  readonly tornBytes: number;
  /** Why nothing of it was imported. */
  readonly problem: QrunError | undefined;
}

const NOTHING: Omit<SourceReport, 'source' | 'problem'> = {
  fates: { new: 0, there: 0, ran_twice: 0, stale: 0, unknown: 0 },
  lines: 0,
  bytes: 0,
  unfinished: 0,
  tornBytes: 0,
};

/**
 * Imports logs of one unit into its log here, by content: group by group, each with its bytes as they are, so that
 * every query counts once, however often and wherever it was executed. {@link NewGroups} decides which groups belong
 * there. Importing the same again appends nothing.
 *
 * The caller holds the lease of the unit. Each source is imported as a whole, under the lock of the log, and is durable
 * when `onReport` is called with it. A process that dies at any moment leaves whole groups and at most a torn end,
 * which the next run or import repairs; importing again does the rest. Sources are only read: a torn end of one is left
 * out, and one that is damaged, unreadable or of another unit is reported, and the others are imported all the same.
 *
 * Errors: those of {@link ResultLog} for the log here.
 */
export async function importLogs(
  into: ImportTarget,
  sources: readonly LogSource[],
  present: PresentQueries,
  onReport: (report: SourceReport) => void,
): Promise<void> {
  let target: OpenTarget | undefined;
  try {
    for (const source of sources) {
      target ??= await OpenTarget.open(into);
      const report = await target.importLog(source, present);
      if (report.problem !== undefined) {
        // It may have noted groups that were not appended.
        await target.close();
        target = undefined;
      }
      onReport(report);
    }
  } finally {
    await target?.close();
  }
}

class OpenTarget {
  readonly #log: ResultLog;
  readonly #states: RecordedAttempts;
  readonly #unit: string;

  static async open(into: ImportTarget): Promise<OpenTarget> {
    const { path, unit } = into;
    const states = new RecordedAttempts(refusals(path, unit));
    const log = await ResultLog.open({ ...into, states, lock: await FileLock.open(`${path}.lock`) });
    return new OpenTarget(log, states, unit);
  }

  private constructor(log: ResultLog, states: RecordedAttempts, unit: string) {
    this.#log = log;
    this.#states = states;
    this.#unit = unit;
  }

  async importLog(source: LogSource, present: PresentQueries): Promise<SourceReport> {
    const other = new OtherLog(source, this.#unit);
    try {
      await other.open();
      let found: Omit<SourceReport, 'source' | 'problem'> = NOTHING;
      await this.#log.appendCopies(async () => {
        const groups = new NewGroups(this.#states, present, refusals(source.path, this.#unit));
        const tornBytes = await other.scan(groups);
        const { fates, size, unfinished } = groups;
        found = { fates, ...size, unfinished, tornBytes };
        return fates.new === 0 ? undefined : other.copies(groups);
      });
      return { source, ...found, problem: undefined };
    } catch (error) {
      if (other.failure === undefined || error !== other.failure) throw error;
      return { source, ...NOTHING, problem: other.failure };
    } finally {
      await other.close();
    }
  }

  async close(): Promise<void> {
    await this.#log.close();
  }
}

// A source. What goes wrong with it is noted in `failure`, so that it is told from what goes wrong with the log here.
class OtherLog {
  failure: QrunError | undefined;
  readonly #source: LogSource;
  readonly #unit: string;
  #file: FileHandle | undefined;
  #size = 0;

  constructor(source: LogSource, unit: string) {
    this.#source = source;
    this.#unit = unit;
  }

  async open(): Promise<void> {
    const { path, isNamed } = this.#source;
    await this.#noting(async () => {
      const { file, stat } = await openToReadAsync(path, 'log', isNamed ? OWN_AS_NAMED : OWN_TO_READ);
      this.#file = file;
      this.#size = stat.size;
    });
  }

  // Resolves with the number of bytes at its end that are not a whole group.
  async scan(groups: NewGroups): Promise<number> {
    return await this.#noting(async () => {
      const scanner = new LogScanner(this.#unit, groups);
      const { goodEnd, tornBytes } = await scanFile(this.#opened(), scanner, this.#size);
      if (goodEnd === 0 && tornBytes > 0) {
        const start = Buffer.alloc(LOG_START_BYTES);
        const { bytesRead } = await this.#opened().read(start, 0, start.length, 0);
        refuseOther(this.#source.path, start.subarray(0, bytesRead));
      }
      return tornBytes;
    });
  }

  copies(groups: NewGroups): GroupCopies {
    return { lines: groups.size.lines, pieces: start => this.#pieces(groups, start) };
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  // Each piece is checked while it is being written: the file may have been changed since it was scanned.
  async *#pieces(groups: NewGroups, start: number): AsyncGenerator<Buffer, void, undefined> {
    const copy = groups.copyAt(start);
    const scanner = new LogScanner(this.#unit, copy, start);
    const pieces = packed(this.#opened(), groups.ranges);
    for (;;) {
      const step = await this.#noting(() => pieces.next());
      if (step.done === true) break;
      yield step.value;
      scanner.push(step.value);
    }
    const { tornBytes } = scanner.tail();
    if (copy.isWhole && tornBytes === 0) return;
    throw this.#noted(
      new QrunError('READ_FAILED', `${this.#source.path} was changed while it was read`, {
        hint: 'wait until nothing writes to it or copies it, then import it again; nothing of it was imported',
      }),
    );
  }

  #opened(): FileHandle {
    if (this.#file === undefined) throw new Error('the source of an import is not open');
    return this.#file;
  }

  async #noting<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (cause instanceof QrunError) throw this.#noted(ofSource(cause));
      const hint = 'make it readable, or copy it from its host again';
      throw this.#noted(readError(`the log ${this.#source.path}`, cause, hint));
    }
  }

  #noted(failure: QrunError): QrunError {
    this.failure = failure;
    return failure;
  }
}

// The same error with what to do about a source, instead of about the log of a run.
function ofSource({ code, message, hint, details }: QrunError): QrunError {
  const hints: Partial<Record<QrunError['code'], string>> = {
    LOG_FOREIGN: 'it is a log of another unit: import it under the name that it has on its host',
    LOG_SCHEMA: 'update qrun on this host, then import it again',
    LOG_UNUSABLE: 'name the logs of another host, or the directory that holds them',
    LOG_DAMAGED: `copy it from its host again; if it is damaged there too, ${hint ?? 'look at it there'}`,
  };
  const known = hints[code] ?? hint;
  return new QrunError(code, message, { details, ...(known === undefined ? {} : { hint: known }) });
}

/**
 * Yields the bytes of ranges in pieces of at most {@link READ_BYTES}, each valid until the one after the next is asked
 * for. Neighbouring ranges are read together, however small they are.
 */
async function* packed(
  file: FileHandle,
  ranges: readonly GroupRange[],
): AsyncGenerator<Buffer, void, undefined> {
  const window = Buffer.allocUnsafe(READ_BYTES);
  let from = 0;
  let end = 0;
  let out: Buffer = Buffer.allocUnsafe(READ_BYTES);
  let other: Buffer = Buffer.allocUnsafe(READ_BYTES);
  let used = 0;
  const last = ranges.at(-1)?.[1] ?? 0;
  for (const [start, stop] of ranges) {
    for (let at = start; at < stop; ) {
      if (at < from || at >= end) {
        const { bytesRead } = await file.read(window, 0, Math.min(READ_BYTES, last - at), at);
        // It was cut: what is missing is noticed when the copy is checked.
        if (bytesRead === 0) return;
        from = at;
        end = at + bytesRead;
      }
      const bytes = Math.min(Math.min(stop, end) - at, out.length - used);
      window.copy(out, used, at - from, at - from + bytes);
      at += bytes;
      used += bytes;
      if (used < out.length) continue;
      yield out;
      [out, other] = [other, out];
      used = 0;
    }
  }
  if (used > 0) yield out.subarray(0, used);
}
