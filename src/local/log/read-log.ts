import type { FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { QrunError } from '../../core/errors.js';
import { LOG_START_BYTES, refusals, refuseOther } from '../../core/log/refusals.js';
import { FirstUnit, type GroupRange, LastGroups, LogScanner } from '../../core/log/scan/index.js';
import type { Outcome, QueryError, QueryStats, Parameters as Values } from '../../core/model.js';
import { checkArgument } from '../../core/options.js';
import { readError } from '../../io/files/failures.js';
import { openToReadAsync } from '../../io/files/open-file.js';
import { OWN_TO_READ } from '../../io/files/own-file.js';
import { scanFile } from '../../io/log/follow.js';
import { realLogPath } from '../../io/log/place.js';

/** One line of a log; schema/record.schema.json says what each key means. New optional keys may be added. */
export interface LogRecord {
  readonly unit: string;
  readonly query: string;
  /** From 1 to `parts`; a query with rows has a record for each. */
  readonly part: number;
  readonly parts: number;
  readonly outcome: Outcome;
  readonly fingerprint: string;
  readonly attempt: number;
  readonly run: string;
  readonly query_id: string;
  /** The server that the attempt ended on; only in a run on several. */
  readonly server?: string;
  readonly started_at: string;
  readonly duration_ms: number;
  readonly params?: Values;
  readonly stats?: QueryStats;
  /** The row as `JSON.parse` reads it: integers beyond 2^53 lose digits, which {@link line} keeps. */
  readonly row?: Readonly<Record<string, unknown>>;
  readonly error?: QueryError;
  /** The line itself, without its newline. */
  readonly line: string;
}

// How much is read at once, and up to what size neighbouring groups are read together.
const PIECE_BYTES = 1024 * 1024;
const NEWLINE = 10;

/**
 * Yields the records that count: of each query those of its last whole group, in the order of the log. Records that a
 * later group replaced, a torn end, and the beginning of a group that is still being written are left out. Needs no
 * lock and changes nothing; a log that grows meanwhile is read as it was at the beginning. The log is of the unit of
 * its first record. The path may be a link, as that of `--log`.
 *
 * Memory: the name and place of each query, and the longest line. Errors: QrunError `READ_FAILED` if there is no log,
 * or none that can be read; `LOG_DAMAGED`, `LOG_FOREIGN`, `LOG_SCHEMA` and `LOG_UNUSABLE` for what a run would refuse.
 */
export async function* readLog(path: string): AsyncGenerator<LogRecord, void, undefined> {
  checkArgument('readLog', 'the path', path, 'string');
  const real = realLogPath(resolve(path));
  const { file, stat } = await orReadFailed(real, () => openToReadAsync(real, 'log', OWN_TO_READ));
  const log: OpenLog = { path: real, file, size: stat.size };
  try {
    for (const [start, end] of joined(await lastGroups(log))) {
      for await (const line of linesOf(log, start, end)) yield recordOf(log, line);
    }
  } finally {
    await file.close();
  }
}

interface OpenLog {
  readonly path: string;
  readonly file: FileHandle;
  readonly size: number;
}

interface Line {
  readonly start: number;
  readonly text: string;
}

// Resolves with where the groups that count lie, in the order of the log.
async function lastGroups(log: OpenLog): Promise<GroupRange[]> {
  const { path, file, size } = log;
  const first = new FirstUnit(refusals(path, ''));
  const found = () => first.unit !== undefined;
  const tail = await orReadFailed(path, () => scanFile(file, first.scanner, size, found));
  if (tail.goodEnd === 0 && tail.tornBytes > 0) refuseOther(path, await readAt(log, 0, LOG_START_BYTES));
  const { unit } = first;
  if (unit === undefined) return [];
  const groups = new LastGroups(refusals(path, unit));
  await orReadFailed(path, () => scanFile(file, new LogScanner(unit, groups), size));
  return groups.inOrder();
}

// No library splits at newlines alone: other characters that readline takes as line ends may occur in a row.
async function* linesOf(log: OpenLog, start: number, end: number): AsyncGenerator<Line> {
  let rest: Buffer[] = [];
  let lineStart = start;
  for (let at = start; at < end; ) {
    const piece = await readAt(log, at, Math.min(PIECE_BYTES, end - at));
    if (piece.length === 0) throw new QrunError('READ_FAILED', 'the log was cut while it was read');
    let from = 0;
    for (let to = piece.indexOf(NEWLINE); to !== -1; to = piece.indexOf(NEWLINE, from)) {
      const text = Buffer.concat([...rest, piece.subarray(from, to)]).toString('utf8');
      yield { start: lineStart, text };
      rest = [];
      from = to + 1;
      lineStart = at + from;
    }
    if (from < piece.length) rest.push(piece.subarray(from));
    at += piece.length;
  }
}

// A line that has the length of its record was not parsed by the scan.
function recordOf({ path }: OpenLog, { start, text: line }: Line): LogRecord {
  let parsed: Omit<LogRecord, 'line'> & { readonly rest_bytes: number };
  try {
    parsed = JSON.parse(line) as typeof parsed;
  } catch {
    refusals(path, '').unreadable(start, Buffer.byteLength(line) + 1);
    throw new QrunError('LOG_DAMAGED', `${path} is damaged`);
  }
  const { rest_bytes: _, ...record } = parsed;
  return { ...record, line };
}

async function readAt({ path, file }: OpenLog, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await orReadFailed(path, () =>
    file.read(Buffer.alloc(length), 0, length, at),
  );
  return buffer.subarray(0, bytesRead);
}

async function orReadFailed<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof QrunError) throw cause;
    throw readError(`the log ${path}`, cause, 'name a log, such as openUnit(...).log');
  }
}

// Groups that follow each other as one range, up to a size.
function* joined(groups: readonly GroupRange[]): Generator<GroupRange> {
  let range: GroupRange | undefined;
  for (const [start, end] of groups) {
    if (range !== undefined && range[1] === start && end - range[0] <= PIECE_BYTES) range = [range[0], end];
    else {
      if (range !== undefined) yield range;
      range = [start, end];
    }
  }
  if (range !== undefined) yield range;
}
