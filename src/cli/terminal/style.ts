import picocolors from 'picocolors';
import { escapeControls } from './controls.js';

/** Environment variables, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Colours by meaning; each returns its text unchanged when colours are off. */
export type Paint = Readonly<
  Record<'strong' | 'faint' | 'good' | 'caution' | 'bad' | 'accent', (text: string) => string>
>;

// Characters with a meaning, each one column wide; only the ellipsis may take more.
const UNICODE_MARKS = {
  good: '✓',
  caution: '!',
  bad: '✗',
  ellipsis: '…',
  /** A full cell of a bar. */
  full: '█',
  /** An empty cell of a bar. */
  empty: '░',
  /** Parts of a cell, from the smallest to the largest; none in ASCII. */
  parts: ['▏', '▎', '▍', '▌', '▋', '▊', '▉'],
};

const ASCII_MARKS: typeof UNICODE_MARKS = {
  good: '+',
  caution: '!',
  bad: 'x',
  ellipsis: '..',
  full: '#',
  empty: '.',
  parts: [],
};

/** How text is shown to people: colours, characters and width. */
export interface Style {
  readonly color: boolean;
  readonly unicode: boolean;
  /** Width to lay out for, in columns. */
  readonly columns: number;
  readonly paint: Paint;
  readonly marks: Readonly<typeof UNICODE_MARKS>;
  /** One safe line of text that came from elsewhere; see {@link escapeControls}. */
  readonly foreign: (text: string) => string;
}

// The width of terminals, pagers and the logs of tasks unless they say otherwise.
const DEFAULT_COLUMNS = 80;
// Narrower than this no text can be laid out; the terminal then wraps it.
const MIN_COLUMNS = 20;

/**
 * Returns the style for one stream. `columns` is the stream's width; `undefined`, 0 (a pseudo-terminal whose size was
 * never set) and nonsense count as 80.
 */
export function createStyle(options: {
  readonly color: boolean;
  readonly unicode: boolean;
  readonly columns?: number | undefined;
}): Style {
  const colors = picocolors.createColors(options.color);
  return {
    color: options.color,
    unicode: options.unicode,
    columns: Math.max(MIN_COLUMNS, usableColumns(options.columns) ?? DEFAULT_COLUMNS),
    paint: {
      strong: colors.bold,
      faint: colors.dim,
      good: colors.green,
      caution: colors.yellow,
      bad: colors.red,
      accent: colors.cyan,
    },
    marks: options.unicode ? UNICODE_MARKS : ASCII_MARKS,
    foreign: text => escapeControls(text, !options.unicode),
  };
}

/** Returns the width of a stream in columns, or `undefined` if it has no usable one. */
export function usableColumns(columns: number | undefined): number | undefined {
  if (columns === undefined || !Number.isFinite(columns) || columns < 1) return undefined;
  return Math.floor(columns);
}

/** Returns the same style without colours, for text that must hold no escape codes. */
export function withoutColor(style: Style): Style {
  return style.color ? createStyle({ color: false, unicode: style.unicode, columns: style.columns }) : style;
}

function isOn(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0' && value.toLowerCase() !== 'false';
}

/**
 * Returns whether to colour what goes to a stream. In order: non-empty `NO_COLOR` (https://no-color.org);
 * `FORCE_COLOR` (https://force-color.org; 0 and false switch it off, as in Node itself); `TERM=dumb`; a terminal;
 * `CI`, whose logs show colours although they are not terminals.
 */
export function wantsColor(env: Environment, isTTY: boolean): boolean {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '') return isOn(env.FORCE_COLOR);
  if (env.TERM === 'dumb') return false;
  return isTTY || isOn(env.CI);
}

/**
 * Returns whether the locale can show more than ASCII: the first non-empty one of `LC_ALL`, `LC_CTYPE`, `LANG` names
 * UTF-8 (POSIX, 8.2). Without any of them macOS still has UTF-8, but no other system.
 */
export function wantsUnicode(env: Environment, platform: string): boolean {
  const locale = [env.LC_ALL, env.LC_CTYPE, env.LANG].find(value => value !== undefined && value !== '');
  if (env.TERM === 'dumb' || env.TERM === 'linux') return false;
  return locale === undefined ? platform === 'darwin' : /utf-?8/i.test(locale);
}

/** Returns whether a stream can be redrawn: a terminal that is neither dumb nor the log of a CI job. */
export function wantsLive(env: Environment, isTTY: boolean): boolean {
  return isTTY && env.TERM !== 'dumb' && !isOn(env.CI);
}
