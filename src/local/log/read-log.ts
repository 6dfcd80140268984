import type { FileHandle } from 'node:fs/promises';
import { QrunError } from '../../core/errors.js';
import { refusals } from '../../core/log/refusals.js';
import { FinalStates } from '../../core/log/scan/index.js';
import type { FailureKind, Outcome, Parameters as Values } from '../../core/model.js';
import { readError } from '../../io/files/failures.js';
import { openToReadAsync } from '../../io/files/open-file.js';
import { OWN_TO_READ } from '../../io/files/own-file.js';
import { readLog as scanLog } from '../../io/log/follow.js';

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
  readonly started_at: string;
  readonly duration_ms: number;
  readonly params?: Values;
  readonly stats?: {
    readonly read_rows?: number;
    readonly read_bytes?: number;
    readonly memory_bytes?: number;
    readonly elapsed_ms?: number;
  };
  /** The row as `JSON.parse` reads it: integers beyond 2^53 lose digits, which {@link line} keeps. */
  readonly row?: Readonly<Record<string, unknown>>;
  readonly error?: {
    readonly code: number;
    readonly name: string;
    readonly kind: FailureKind;
    readonly message: string;
  };
  /** The line itself, without its newline. */
  readonly line: string;
}

// How much is read at once, and up to what size neighbouring groups are read together.
const PIECE_BYTES = 1024 * 1024;
// A record begins with its unit, which is a path.
const UNIT_BYTES = 64 * 1024;
const NEWLINE = 10;

/**
 * Yields the records that count: of each query those of its last whole group, in the order of the log. Records that a
 * later group replaced, a torn end, and the beginning of a group that is still being written are left out. Needs no
 * lock and changes nothing; a log that grows meanwhile is read as it was at the beginning.
 *
 * Memory: the name and place of each query, and the longest line. Errors: QrunError `READ_FAILED` if there is no log,
 * or none that can be read; `LOG_DAMAGED`, `LOG_FOREIGN` and `LOG_SCHEMA` for what a run would refuse.
 */
export async function* readLog(path: string): AsyncGenerator<LogRecord, void, undefined> {
  const file = await open(path);
  try {
    const unit = await unitOf(file);
    if (unit === undefined) return;
    const groups = new LastGroups(refusals(path, unit));
    await scanLog(path, unit, groups);
    for (const [start, end] of joined(groups.inOrder())) {
      for await (const line of linesOf(file, start, end)) {
        const { rest_bytes: _, ...record } = JSON.parse(line) as Omit<LogRecord, 'line'> & {
          rest_bytes: number;
        };
        yield { ...record, line };
      }
    }
  } finally {
    await file.close();
  }
}

async function open(path: string): Promise<FileHandle> {
  try {
    return (await openToReadAsync(path, 'log', OWN_TO_READ)).file;
  } catch (cause) {
    throw readError(`the log ${path}`, cause, 'name a log, such as openUnit(...).log');
  }
}

// Returns the unit that the first line of a log names; `undefined` for a log without one.
async function unitOf(file: FileHandle): Promise<string | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(UNIT_BYTES), 0, UNIT_BYTES, 0);
  const name = /"unit":("(?:[^"\\]|\\.)*")/.exec(buffer.toString('utf8', 0, bytesRead))?.[1];
  return name === undefined ? undefined : (JSON.parse(name) as string);
}

type Range = readonly [start: number, end: number];

// Where the last whole group of each query lies.
class LastGroups extends FinalStates {
  readonly #places = new Map<number, Range>();

  override group(head: Parameters<FinalStates['group']>[0], start = 0, end = 0): void {
    const number = this.numberOf(head);
    this.set(head, number);
    this.#places.set(number, [start, end]);
  }

  override partial(head: Parameters<FinalStates['partial']>[0]): void {
    super.partial(head);
    this.#places.delete(this.numberOf(head));
  }

  inOrder(): Range[] {
    return [...this.#places.values()].sort(([a], [b]) => a - b);
  }
}

// Groups that follow each other as one range, up to a size.
function* joined(groups: readonly Range[]): Generator<Range> {
  let range: Range | undefined;
  for (const [start, end] of groups) {
    if (range !== undefined && range[1] === start && end - range[0] <= PIECE_BYTES) range = [range[0], end];
    else {
      if (range !== undefined) yield range;
      range = [start, end];
    }
  }
  if (range !== undefined) yield range;
}

// No library splits at newlines alone: other characters that readline takes as line ends may occur in a row.
async function* linesOf(file: FileHandle, start: number, end: number): AsyncGenerator<string> {
  let rest: Buffer[] = [];
  for (let at = start; at < end; ) {
    const size = Math.min(PIECE_BYTES, end - at);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, at);
    if (bytesRead === 0) throw new QrunError('READ_FAILED', 'the log was cut while it was read');
    at += bytesRead;
    const piece = buffer.subarray(0, bytesRead);
    let from = 0;
    for (let to = piece.indexOf(NEWLINE); to !== -1; to = piece.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...rest, piece.subarray(from, to)]).toString('utf8');
      rest = [];
      from = to + 1;
    }
    if (from < piece.length) rest.push(piece.subarray(from));
  }
}
