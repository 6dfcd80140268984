import type { RunEvent } from '../../core/unit/events.js';
import { openLiveArea, type TerminalStream } from '../terminal/live-area.js';
import type { Style } from '../terminal/style.js';
import { liveFrame, noteLines } from './live.js';
import { createNotes, type Note } from './notes.js';
import { RunProgress } from './state.js';

/** What a view of a run needs. */
export interface ProgressViewOptions {
  readonly stream: TerminalStream;
  /** Whether the stream can be redrawn; decides what `auto` means. */
  readonly isTTY: boolean;
  readonly style: Style;
  /**
   * Milliseconds since 1970. Should not jump when the system's clock is set, so
   * `() => performance.timeOrigin + performance.now()` rather than `Date.now`.
   */
  readonly now: () => number;
  /**
   * `live`: lines that are redrawn. `plain`: one line for each event and one every 10 s, without escape codes.
   * `quiet`: only warnings and what happens to the engine. `auto`: live on a terminal, otherwise plain.
   */
  readonly mode: 'auto' | 'live' | 'plain' | 'quiet';
}

/** One way to show a run; everything but `release` runs guarded. */
export interface View {
  /** Why nothing is shown any more, or `undefined`. */
  readonly failed: Error | undefined;
  handle(event: RunEvent): void;
  /** Writes the final state. */
  finish(): void;
  /** Stops timers and removes listeners; must work after any failure. */
  release(): void;
}

/** Runs drawing code, until it fails or the view is closed. */
export type Guard = (action: () => void) => void;

// Ten frames a second look steady, and cost little beside thousands of queries a second.
const FRAME_MS = 100;
// Without events the elapsed time still advances.
const IDLE_FRAME_MS = 1_000;

/**
 * Returns the view of a run on a terminal: a frame that is redrawn, and above it a line for each thing worth knowing.
 */
export function createLiveView({ stream, style, now }: ProgressViewOptions, guarded: Guard): View {
  const progress = new RunProgress();
  const notes = createNotes(style);
  let waiting: Note[] = [];
  let drawnMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  const area = openLiveArea(stream, style, () => guarded(draw));
  const draw = (isLast = false): void => {
    clearTimeout(timer);
    timer = undefined;
    // A terminal that has not accepted the last output gets no more frames; the notes wait as well.
    if (area.busy && !isLast) return;
    drawnMs = now();
    const { columns, rows } = area;
    const kept = waiting.flatMap(note => noteLines(note, style, columns));
    waiting = [];
    const snapshot = progress.snapshot(drawnMs);
    // The summary replaces the frame; a run that did not end leaves its last frame.
    area.draw(isLast && snapshot.ended ? [] : liveFrame(snapshot, style, columns, rows), kept);
  };
  const schedule = (): void => {
    const dueMs = drawnMs + FRAME_MS - now();
    if (dueMs <= 0) draw();
    else timer ??= setTimeout(() => guarded(draw), dueMs).unref();
  };
  const idle = setInterval(() => guarded(draw), IDLE_FRAME_MS).unref();

  return {
    get failed() {
      return area.failed;
    },
    handle(event) {
      progress.apply(event, now());
      for (const note of notes(event)) if (note.shown !== 'log') waiting.push(note);
      schedule();
    },
    finish: () => draw(true),
    release() {
      clearTimeout(timer);
      clearInterval(idle);
      area.close();
    },
  };
}
