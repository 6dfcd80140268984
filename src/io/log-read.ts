import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { QrunError } from '../core/errors.js';
import { LogScanner, type LogTail, type LogVisitor } from '../core/log-scan.js';

const READ_BYTES = 1024 * 1024;

/**
 * Reads a log from front to back without its lock and without changing it; resolves with how it ends, or with
 * `undefined` when there is no such file. A torn end may be a writer at work.
 *
 * Errors: QrunError `LOG_UNUSABLE` when it cannot be read.
 */
export async function readLog(path: string, unit: string, visitor: LogVisitor): Promise<LogTail | undefined> {
  const scanner = new LogScanner(unit, visitor);
  try {
    // Without O_NONBLOCK a FIFO would be waited for.
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      if (!(await file.stat()).isFile()) throw new Error('it is not a regular file');
      const buffer = Buffer.allocUnsafe(READ_BYTES);
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, READ_BYTES, scanner.position);
        if (bytesRead === 0) return scanner.tail();
        scanner.push(buffer.subarray(0, bytesRead));
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (cause instanceof QrunError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new QrunError('LOG_UNUSABLE', `cannot read the log ${path}: ${(cause as Error).message}`, {
      hint: 'name the log with --log, or its directory with --log-dir',
      cause,
    });
  }
}
