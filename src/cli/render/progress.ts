import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { createLogUpdate } from 'log-update';
import type { EventSink, RunEvent } from '../../core/events.js';
import { liveFrame, noteLines } from './progress-live.js';
import { createNotes, type Note } from './progress-notes.js';
import { plainNote, plainProgress } from './progress-plain.js';
import { RunProgress } from './progress-state.js';
import { type Style, usableColumns, withoutColor } from './style.js';
import { displayWidth } from './text.js';
import { createSafeWriter, type SafeWriter } from './writer.js';

/** A stream that may be a terminal. */
export type ProgressStream = Writable & { readonly columns?: number; readonly rows?: number };

/** Shows a run while it goes on. */
export interface ProgressView {
  /** Takes the events of one run; never throws. */
  readonly sink: EventSink;
  /** Writes what is still held back, takes the live lines off the screen and stops all timers; safe to call twice. */
  close(): void;
  /** Why nothing is shown any more, or `undefined`; the run itself is not affected. */
  readonly failed: Error | undefined;
}

/** What {@link createProgressView} needs. */
export interface ProgressViewOptions {
  readonly stream: ProgressStream;
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
   * `quiet`: only warnings and what happens to the engine. `auto`: live on a terminal, else plain.
   */
  readonly mode: 'auto' | 'live' | 'plain' | 'quiet';
}

// Ten frames a second look steady, and cost little beside thousands of queries a second.
const FRAME_MS = 100;
// Without events the elapsed time still moves.
const IDLE_FRAME_MS = 1_000;
const PLAIN_EVERY_MS = 10_000;
// When nothing has changed, a job that waits for hours does not fill its log.
const PLAIN_IDLE_MS = 60_000;

interface View {
  handle(event: RunEvent): void;
  /** Writes the last of it. */
  finish(): void;
  /** Stops timers and takes listeners off; must work after any failure. */
  release(): void;
}

/**
 * A view of one run on one stream. Its timers never keep the process alive. A stream that fails makes it go
 * quiet; so does a fault of its own, because what is shown must never end a run.
 */
export function createProgressView(options: ProgressViewOptions): ProgressView {
  const writer = createSafeWriter(options.stream);
  const mode = options.mode === 'auto' ? (options.isTTY ? 'live' : 'plain') : options.mode;
  let fault: Error | undefined;
  let closed = false;
  const guarded = (action: () => void): void => {
    if (closed || fault !== undefined || writer.failed !== undefined) return;
    try {
      action();
    } catch (error) {
      fault = error instanceof Error ? error : new Error(String(error));
    }
  };
  const view =
    mode === 'live'
      ? createLiveView(options, writer, guarded)
      : createPlainView(options, writer, guarded, mode);
  return {
    sink: event => guarded(() => view.handle(event)),
    close() {
      guarded(() => view.finish());
      closed = true;
      view.release();
    },
    get failed() {
      return writer.failed ?? fault;
    },
  };
}

type Guard = (action: () => void) => void;

function createPlainView(
  { style, now }: ProgressViewOptions,
  writer: SafeWriter,
  guarded: Guard,
  mode: 'plain' | 'quiet',
): View {
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

/**
 * The live view. Everything that one frame changes goes out in one write between the marks of a synchronised
 * update (terminal mode 2026), so that no half frame is seen. The cursor stays visible: hiding it would need
 * a handler for each way in which a process can end, and `kill -9` has none.
 */
function createLiveView(
  { stream, style, now }: ProgressViewOptions,
  writer: SafeWriter,
  guarded: Guard,
): View {
  const progress = new RunProgress();
  const notes = createNotes(style);
  const frame = createFrameBuffer(stream, style);
  const log = createLogUpdate(frame.stream, { showCursor: true });
  let waiting: Note[] = [];
  let drawn: readonly string[] = [];
  let drawnMs = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;

  const flush = (): void => {
    const text = frame.take();
    if (text !== '') writer.write(`\x1b[?2026h${text}\x1b[?2026l`);
  };
  const persist = (): void => {
    const columns = frame.columns();
    for (const note of waiting) {
      for (const line of noteLines(note, style, columns)) log.persist(line);
    }
    if (waiting.length > 0) drawn = [];
    waiting = [];
  };
  const draw = (): void => {
    clearTimeout(timer);
    timer = undefined;
    // A terminal that does not take what it got is given no more frames; the notes wait as well.
    if (writer.busy) return;
    drawnMs = now();
    persist();
    const lines = liveFrame(progress.snapshot(drawnMs), style, frame.columns(), frame.rows());
    // Each line with its end: log-update takes an empty last line for the end of the one before it.
    if (lines.length > 0) log(lines.map(line => `${line}\n`).join(''));
    drawn = lines;
    flush();
  };
  const schedule = (): void => {
    const dueMs = drawnMs + FRAME_MS - now();
    if (dueMs <= 0) draw();
    else timer ??= setTimeout(() => guarded(draw), dueMs).unref();
  };
  const idle = setInterval(() => guarded(draw), IDLE_FRAME_MS).unref();

  // A narrower terminal has wrapped the lines of the last frame, and log-update counts them unwrapped.
  const onResize = (): void =>
    guarded(() => {
      const columns = frame.columns();
      const taken = drawn.map(line => displayWidth(stripVTControlCharacters(line)));
      const rows = taken.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns)), 0);
      if (rows > 0) frame.stream.write(`\x1b[2K${'\x1b[1A\x1b[2K'.repeat(rows)}\r`);
      log.done();
      drawn = [];
      draw();
    });
  // After Ctrl-Z and `fg` the shell has written below the frame: it stays, and a new one begins.
  const onContinue = (): void =>
    guarded(() => {
      log.done();
      drawn = [];
      draw();
    });
  stream.on('resize', onResize);
  process.on('SIGCONT', onContinue);

  return {
    handle(event) {
      progress.apply(event, now());
      for (const note of notes(event)) if (note.shown !== 'log') waiting.push(note);
      schedule();
    },
    finish() {
      const { ended } = progress.snapshot(now());
      // The summary takes the place of the frame; a run that did not end leaves its last one behind.
      if (!ended) draw();
      persist();
      if (ended && drawn.length > 0) log.clear();
      log.done();
      flush();
    },
    release() {
      clearTimeout(timer);
      clearInterval(idle);
      stream.off('resize', onResize);
      process.off('SIGCONT', onContinue);
    },
  };
}

/** Collects what log-update writes, so that a frame is one write, and tells it the size of the terminal. */
function createFrameBuffer(stream: ProgressStream, style: Style) {
  let text = '';
  const columns = (): number => usableColumns(stream.columns) ?? style.columns;
  const rows = (): number => usableColumns(stream.rows) ?? 24;
  const buffer = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  Object.defineProperties(buffer, { columns: { get: columns }, rows: { get: rows } });
  return {
    stream: buffer,
    columns,
    rows,
    take(): string {
      const taken = text;
      text = '';
      return taken;
    },
  };
}
