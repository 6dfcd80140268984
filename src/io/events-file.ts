import { createWriteStream } from 'node:fs';
import type { EventSink } from '../core/events.js';
import { jsonLine } from '../core/json.js';

/** Events of a run as NDJSON in a file. */
export interface EventsFile {
  readonly sink: EventSink;
  /** Waits until everything is handed to the operating system. */
  close(): Promise<void>;
}

/**
 * Appends events to a file, one JSON line each, with the time in `at` first. For machines that watch a run: it
 * is not durable and never fails a run; the first failure is told once, and the rest is dropped.
 */
export function openEventsFile(
  path: string,
  nowMs: () => number,
  onFailure: (error: Error) => void,
): EventsFile {
  const stream = createWriteStream(path, { flags: 'a' });
  let failed = false;
  stream.on('error', error => {
    if (!failed) onFailure(error);
    failed = true;
  });
  return {
    sink: event => {
      if (!failed) stream.write(jsonLine({ at: new Date(nowMs()).toISOString(), ...event }));
    },
    close: () =>
      new Promise(resolve => {
        if (failed) resolve();
        else {
          stream.once('close', resolve);
          stream.end();
        }
      }),
  };
}
