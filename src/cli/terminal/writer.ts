import type { Writable } from 'node:stream';
import { quietOutput } from './controls.js';

/** Writes text to a stream that may fail at any time. */
export interface SafeWriter {
  /** Hands text to the stream; does nothing once the stream has failed. Never throws. */
  write(text: string): void;
  /** Whether the stream still holds back what it was given before, so that more would only pile up. */
  readonly busy: boolean;
  /** Why nothing is written any more (`EPIPE`: the reader has gone; `ENOSPC`: the disk is full). */
  readonly failed: Error | undefined;
}

/**
 * A writer that goes quiet when its stream fails, and remembers the first failure. What is written passes `clean`.
 *
 * What is shown must never end a run that still records. The listener for `error` stays on the stream for
 * good: a write can fail after the last call, and an `error` event that nobody hears ends the process.
 */
export function createSafeWriter(
  stream: Writable,
  clean: (text: string) => string = text => quietOutput(text, { color: false }),
): SafeWriter {
  let failed: Error | undefined;
  const fail = (error: unknown): void => {
    failed ??= error instanceof Error ? error : new Error(String(error));
  };
  stream.on('error', fail);
  return {
    write(text) {
      if (failed !== undefined || text === '') return;
      try {
        // A stream on a file throws from write; others pass their error to the callback, to `error` or to both.
        stream.write(clean(text), error => {
          if (error) fail(error);
        });
      } catch (error) {
        fail(error);
      }
    },
    get busy() {
      return stream.writableNeedDrain;
    },
    get failed() {
      return failed;
    },
  };
}
