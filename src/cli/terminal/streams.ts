import { quietOutput } from './controls.js';
import { createStyle, type Style, wantsColor, wantsLive, wantsUnicode } from './style.js';
import { createSafeWriter, type SafeWriter } from './writer.js';

/** The process as the commands see it: the only way to its streams and environment. */
export interface Terminal {
  readonly proc: NodeJS.Process;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** For results. */
  readonly out: SafeWriter;
  readonly outStyle: Style;
  /** For diagnostics and progress. */
  readonly err: SafeWriter;
  readonly errStyle: Style;
  /** Removes rights from what the process writes from now on; never adds any. */
  readonly restrict?: (umask: number) => void;
}

/** Returns the terminal of a process; colours only where a stream asks for them. */
export function openTerminal(proc: NodeJS.Process): Terminal {
  const { env, stdout, stderr } = proc;
  const unicode = wantsUnicode(env, proc.platform);
  const styleOf = (stream: NodeJS.WriteStream): Style =>
    createStyle({ color: wantsColor(env, stream.isTTY === true), unicode, columns: stream.columns });
  const [outStyle, errStyle] = [styleOf(stdout), styleOf(stderr)];
  return {
    proc,
    cwd: proc.cwd(),
    env,
    out: createSafeWriter(stdout, text => quietOutput(text, outStyle)),
    outStyle,
    err: createSafeWriter(stderr, text => quietOutput(text, errStyle)),
    errStyle,
    restrict: umask => {
      proc.umask(proc.umask() | umask);
    },
  };
}

/** Lines that replace each other on a terminal; `undefined` where a stream cannot be redrawn. */
export async function openLines({ proc, env, ...terminal }: Terminal, to: 'out' | 'err') {
  const stream = to === 'out' ? proc.stdout : proc.stderr;
  if (!wantsLive(env, stream.isTTY === true)) return undefined;
  const { openLiveArea } = await import('./live-area.js');
  let lines: readonly string[] = [];
  const area = openLiveArea(stream, terminal[`${to}Style`], () => area.draw(lines));
  return {
    area,
    draw(shown: readonly string[]) {
      lines = shown;
      area.draw(lines);
    },
  };
}

// Wider than any line.
const WIDE = 10_000;

/** Returns the style of stdout; a pipe has no width, and what a program reads from it is not cut. */
export function uncutStyle({ proc, outStyle }: Terminal): Style {
  return proc.stdout.isTTY === true ? outStyle : { ...outStyle, columns: WIDE };
}

/** Writes to stderr what should be known besides a result, one line each. */
export function tell({ err, errStyle }: Terminal, notices: readonly string[]): void {
  for (const notice of notices) err.write(`${errStyle.paint.accent('note: ')}${errStyle.foreign(notice)}\n`);
}
