import type { RunEvent } from '../../core/unit/events.js';
import type { TerminalStream } from '../terminal/live-area.js';
import type { Style } from '../terminal/style.js';

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
