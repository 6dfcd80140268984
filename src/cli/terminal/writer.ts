import type { Writable } from 'node:stream';
import { quietOutput } from './controls.js';

/** Writes text to a stream that may fail at any time. */
export interface SafeWriter {
  /** Writes text to the stream; does nothing once the stream has failed. Never throws. */
  write(text: string): void;
  /** Whether the stream still holds back earlier output, so that more would only pile up. */
  readonly busy: boolean;
  /** Why nothing is written any more (`EPIPE`: the reader has gone; `ENOSPC`: the disk is full). */
  readonly failed: Error | undefined;
}

/**
 * Returns a writer that goes silent when its stream fails, and remembers the first failure. Everything written passes
 * through `clean`.
 *
 * Output must never end a run that still records. The listener for `error` stays on the stream permanently: a write
 * can fail after the last call, and an `error` event without a listener ends the process.
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
