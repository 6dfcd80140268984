import { isUtf8 } from 'node:buffer';
import { closeSync, readSync } from 'node:fs';
import {
  type FileChecks,
  type FileKind,
  FileRefused,
  openToRead,
  openToReadAsync,
  SIZE_LIMITS,
  tooLarge,
} from './open-file.js';
import { OWN_TO_READ } from './own-file.js';

// Bytes per read beyond the stated size, which is 0 for a file of the kernel (/proc).
const PIECE_BYTES = 64 * 1024;
// Whoever passes a secret through a pipe writes it at once, or first asks a person for another secret.
const PIPE_WAIT_MS = 5_000;
const PIPE_LOOK_MS = 10;

/** Returns the bytes of a file. Errors: those of {@link openToRead} and of read(2). */
export function readBytes(path: string, kind: FileKind, checks?: FileChecks): Buffer {
  const { fd, stat } = openToRead(path, kind, checks);
  try {
    return stat.isFIFO() ? readPipe(fd, kind) : readOpened(fd, stat.size, kind);
  } finally {
    closeSync(fd);
  }
}

/** Like {@link readBytes}, but on a thread, and only for a regular file. */
export async function readBytesAsync(path: string, kind: FileKind, checks?: FileChecks): Promise<Buffer> {
  const { file, stat } = await openToReadAsync(path, kind, checks);
  try {
    const pieces: Buffer[] = [];
    let length = 0;
    for (let wanted = stat.size + 1; ; wanted = PIECE_BYTES) {
      const buffer = Buffer.allocUnsafeSlow(wanted);
      const { bytesRead } = await file.read(buffer, 0, wanted, null);
      if (bytesRead === 0) return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
      length += bytesRead;
      if (length > SIZE_LIMITS[kind]) throw tooLarge(kind);
      pieces.push(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

/**
 * Returns the rest of an open regular file, up to its end, even if `sizeBytes` is wrong.
 *
 * Errors: {@link FileRefused} beyond the limit of its kind; those of read(2).
 */
export function readOpened(fd: number, sizeBytes: number, kind: FileKind): Buffer {
  const pieces: Buffer[] = [];
  let length = 0;
  // One byte more than stated: a read of 0 bytes would look like the end.
  for (let wanted = sizeBytes + 1; ; wanted = PIECE_BYTES) {
    const buffer = Buffer.allocUnsafeSlow(wanted);
    const got = readSync(fd, buffer, 0, wanted, null);
    if (got > 0) pieces.push(buffer.subarray(0, got));
    length += got;
    if (length > SIZE_LIMITS[kind]) throw tooLarge(kind);
    if (got === 0) return pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  }
}

/**
 * Returns the text of a file that people write: UTF-8, without a byte order mark.
 *
 * Errors: {@link FileRefused}, also for UTF-16 and NUL bytes, and for bytes that are not UTF-8 unless `lenient` is
 * set (then they become U+FFFD); those of open(2) and read(2).
 */
export function readText(
  path: string,
  kind: FileKind,
  { lenient = false, ...checks }: FileChecks & { readonly lenient?: boolean } = {},
): string {
  const bytes = readBytes(path, kind, checks);
  const problem = textProblem(bytes, lenient);
  if (problem !== undefined) throw new FileRefused(problem);
  return textOf(bytes);
}

/**
 * Returns the text of a file that qrun wrote, even if it was damaged since: the caller finds that out when parsing it.
 * A byte order mark that an editor added is left out. Errors: those of {@link readBytes}.
 */
export function readState(path: string, kind: FileKind, checks?: FileChecks): string {
  return textOf(readBytes(path, kind, checks));
}

/**
 * Returns the fields of an object that qrun wrote as JSON; none if the file cannot be read or holds something else. The
 * caller checks what they hold.
 */
export function readFields(
  path: string,
  kind: FileKind,
  checks: FileChecks = OWN_TO_READ,
): Readonly<Record<string, unknown>> {
  try {
    return Object(JSON.parse(readState(path, kind, checks)));
  } catch {
    return {};
  }
}

/** Like {@link readState}, but on a thread, and only for a regular file. */
export async function readStateAsync(path: string, kind: FileKind, checks?: FileChecks): Promise<string> {
  return textOf(await readBytesAsync(path, kind, checks));
}

// Leaves out the byte order mark of UTF-8, which editors on Windows put before a text and which is not part of it.
function textOf(bytes: Buffer): string {
  const hasMark = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  return (hasMark ? bytes.subarray(3) : bytes).toString('utf8');
}

// Returns why bytes cannot be read as UTF-8 text, in words that can follow "cannot read x: ".
function textProblem(bytes: Buffer, lenient: boolean): string | undefined {
  const [first, second] = bytes;
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
    return 'it is UTF-16: save it as UTF-8';
  }
  const nul = bytes.indexOf(0);
  if (nul !== -1) return `it holds a NUL byte at offset ${nul}: if it is UTF-16, save it as UTF-8`;
  return lenient || isUtf8(bytes) ? undefined : 'it is not UTF-8: save it as UTF-8';
}

// Does not block in read(2), which no signal would end.
function readPipe(fd: number, kind: FileKind): Buffer {
  const pieces: Buffer[] = [];
  const buffer = Buffer.allocUnsafeSlow(SIZE_LIMITS[kind] + 1);
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const deadlineMs = performance.now() + PIPE_WAIT_MS;
  let length = 0;
  for (;;) {
    let got: number;
    try {
      got = readSync(fd, buffer, 0, buffer.length, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      if (performance.now() > deadlineMs) {
        throw new FileRefused(`it is a pipe, and its content did not arrive within ${PIPE_WAIT_MS / 1000} s`);
      }
      Atomics.wait(pause, 0, 0, PIPE_LOOK_MS);
      continue;
    }
    length += got;
    if (length > SIZE_LIMITS[kind]) throw tooLarge(kind);
    if (got > 0) pieces.push(Buffer.from(buffer.subarray(0, got)));
    else if (length > 0) return Buffer.concat(pieces);
    else throw new FileRefused('it is a pipe that nobody writes to');
  }
}
