import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { createLogUpdate } from 'log-update';
import { quietOutput } from './controls.js';
import { type Style, usableColumns } from './style.js';
import { displayWidth } from './text.js';
import { createSafeWriter } from './writer.js';

/** A stream that may be a terminal. */
export type TerminalStream = Writable & { readonly columns?: number; readonly rows?: number };

/** The last lines of a terminal, which are redrawn repeatedly. */
export interface LiveArea {
  readonly columns: number;
  readonly rows: number;
  /** Whether the terminal still holds back earlier output, so that more would only pile up. */
  readonly busy: boolean;
  /** Why nothing is drawn any more, or `undefined`. */
  readonly failed: Error | undefined;
  /**
   * Draws `lines` instead of the previous ones, below the lines of `kept`, which stay permanently. Each may hold
   * colours.
   */
  draw(lines: readonly string[], kept?: readonly string[]): void;
  /** Leaves what was drawn where it is, and stops listening; may be called again. */
  close(): void;
}

/**
 * Opens the area below what a terminal shows. `redraw` is called when the width of the terminal has changed, and when
 * the process continues after Ctrl-Z. A stream that fails silences it.
 *
 * Everything that one call of `draw` changes is written at once, between the marks of a synchronised update (terminal
 * mode 2026), so that no half frame is seen. The cursor stays visible: hiding it would need a handler for each way in
 * which a process can end, and `kill -9` has none.
 *
 * Loading this module takes 20 ms, so commands import it only when they know that there is a terminal.
 */
export function openLiveArea(stream: TerminalStream, style: Style, redraw: () => void): LiveArea {
  // What moves the cursor comes from here; what is drawn is made safe before.
  const writer = createSafeWriter(stream, text => text);
  const columns = (): number => usableColumns(stream.columns) ?? style.columns;
  const rows = (): number => usableColumns(stream.rows) ?? 24;
  let text = '';
  const frame = new Writable({
    decodeStrings: false,
    write(chunk: string, _encoding, done) {
      text += chunk;
      done();
    },
  });
  Object.defineProperties(frame, { columns: { get: columns }, rows: { get: rows } });
  const log = createLogUpdate(frame, { showCursor: true });
  let drawn: readonly string[] = [];

  const flush = (): void => {
    if (text !== '') writer.write(`\x1b[?2026h${text}\x1b[?2026l`);
    text = '';
  };
  // A narrower terminal has wrapped the lines of the last frame, but log-update counts them unwrapped.
  const onResize = (): void => {
    const taken = drawn.map(line => displayWidth(stripVTControlCharacters(line)));
    const height = taken.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / columns())), 0);
    if (height > 0) frame.write(`\x1b[2K${'\x1b[1A\x1b[2K'.repeat(height)}\r`);
    beginAnew();
  };
  // After Ctrl-Z and `fg` the shell has written below the frame: it stays, and a new one begins.
  const beginAnew = (): void => {
    log.done();
    drawn = [];
    redraw();
  };
  stream.on('resize', onResize);
  process.on('SIGCONT', beginAnew);
  return {
    get columns() {
      return columns();
    },
    get rows() {
      return rows();
    },
    get busy() {
      return writer.busy;
    },
    get failed() {
      return writer.failed;
    },
    draw(lines, kept = []) {
      for (const line of kept) log.persist(quietOutput(line, style));
      // Each line with its end: log-update takes an empty last line for the end of the one before it.
      if (lines.length > 0) log(lines.map(line => `${quietOutput(line, style)}\n`).join(''));
      else if (drawn.length > 0 && kept.length === 0) log.clear();
      drawn = lines;
      flush();
    },
    close() {
      stream.off('resize', onResize);
      process.off('SIGCONT', beginAnew);
      log.done();
      flush();
    },
  };
}
