import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { createLogUpdate } from 'log-update';
import { type Style, usableColumns } from '../terminal/style.js';
import { displayWidth } from '../terminal/text.js';
import type { SafeWriter } from '../terminal/writer.js';
import { liveFrame, noteLines } from './live.js';
import { createNotes, type Note } from './notes.js';
import type { Guard, ProgressStream, ProgressViewOptions, View } from './options.js';
import { RunProgress } from './state.js';

// Ten frames a second look steady, and cost little beside thousands of queries a second.
const FRAME_MS = 100;
// Without events the elapsed time still moves.
const IDLE_FRAME_MS = 1_000;

/**
 * The live view. Everything that one frame changes goes out in one write between the marks of a synchronised
 * update (terminal mode 2026), so that no half frame is seen. The cursor stays visible: hiding it would need
 * a handler for each way in which a process can end, and `kill -9` has none.
 */
export function createLiveView(
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
