import type { EventSink } from '../../core/unit/events.js';
import { withoutColor } from '../terminal/style.js';
import { createSafeWriter } from '../terminal/writer.js';
import { createNotes } from './notes.js';
import { plainNote, plainProgress } from './plain.js';
import type { Guard, ProgressViewOptions, View } from './screen.js';
import { RunProgress } from './state.js';

/** Shows a run in progress. */
export interface ProgressView {
  /** Takes the events of one run; never throws. */
  readonly sink: EventSink;
  /**
   * Writes what is still held back, removes the live lines from the screen and stops all timers; safe to call twice.
   */
  close(): void;
  /** Why nothing is shown any more, or `undefined`; the run itself is not affected. */
  readonly failed: Error | undefined;
}

const PLAIN_EVERY_MS = 10_000;
// While nothing changes, a job that waits for hours does not fill its log.
const PLAIN_IDLE_MS = 60_000;

/**
 * Returns a view of one run on one stream. Its timers never keep the process alive. A stream that fails silences it;
 * so does an error of its own, because the view must never end a run.
 */
export async function createProgressView(options: ProgressViewOptions): Promise<ProgressView> {
  const mode = options.mode === 'auto' ? (options.isTTY ? 'live' : 'plain') : options.mode;
  let fault: Error | undefined;
  let closed = false;
  const guarded = (action: () => void): void => {
    if (closed || fault !== undefined || view.failed !== undefined) return;
    try {
      action();
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
    }
  };
  // The code that redraws a terminal takes 20 ms to load; a run without a terminal need not wait for it.
  const view =
    mode === 'live'
      ? (await import('./screen.js')).createLiveView(options, guarded)
      : createPlainView(options, guarded, mode);
  return {
    sink: event => guarded(() => view.handle(event)),
    close() {
      guarded(() => view.finish());
      closed = true;
      view.release();
    },
    get failed() {
      return view.failed ?? fault;
    },
  };
}

function createPlainView(
  { stream, style, now }: ProgressViewOptions,
  guarded: Guard,
  mode: 'plain' | 'quiet',
): View {
  const writer = createSafeWriter(stream);
  const plain = withoutColor(style);
  const progress = new RunProgress();
  const notes = createNotes(plain);
  const line = (text: string): void => writer.write(`${text}\n`);
  let changed = false;
  let lastLineMs = now();
  const progressLine = (): void => {
    const nowMs = now();
    const snapshot = progress.snapshot(nowMs);
    if (!snapshot.started || snapshot.ended) return;
    if (!changed && nowMs - lastLineMs < PLAIN_IDLE_MS) return;
    changed = false;
    lastLineMs = nowMs;
    line(plainProgress(snapshot, plain, nowMs));
  };
  const timer =
    mode === 'quiet' ? undefined : setInterval(() => guarded(progressLine), PLAIN_EVERY_MS).unref();
  return {
    get failed() {
      return writer.failed;
    },
    handle(event) {
      const nowMs = now();
      // The state at the end comes before the line that says that it has ended.
      if (event.type === 'run_ended' && mode === 'plain') {
        changed = true;
        progressLine();
      }
      progress.apply(event, nowMs);
      changed = true;
      for (const note of notes(event)) {
        if (mode === 'plain' || note.shown === 'always') line(plainNote(note, nowMs));
      }
    },
    finish() {
      if (mode === 'plain') progressLine();
    },
    release() {
      clearInterval(timer);
    },
  };
}
