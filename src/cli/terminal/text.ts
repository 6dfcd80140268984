import { eastAsianWidth } from 'get-east-asian-width';

/**
 * Text laid out by the columns that it takes on a terminal. It holds no control characters and no colours.
 *
 * `string-width` and `wrap-ansi` are not used. Each creates an Intl.Segmenter when it is loaded, which adds 10 ms to
 * a start that only shows ASCII, and passes it whole texts, for which Node 20 takes quadratic time.
 */

const PLAIN = /^[\x20-\x7e]*$/;
const INVISIBLE = /^[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]+$/u;
const EMOJI = /\p{Emoji_Presentation}|\ufe0f/u;

// What a reader sees as one character has a few code units; longer ones, which nobody can read, are cut.
const WINDOW = 64;

let segmenter: Intl.Segmenter | undefined;

// Letters that never join their neighbours: Latin, Cyrillic, kana, Chinese characters, Hangul syllables.
const SIMPLE =
  /^[\x20-\x7e\u00c0-\u024f\u0400-\u0481\u048a-\u052f\u3041-\u3096\u30a1-\u30fa\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]*$/;

function isPlain(unit: number): boolean {
  return unit >= 0x20 && unit <= 0x7e;
}

/** Yields what a reader sees as characters, one by one. */
function* graphemes(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const { window, isWhole } = windowAt(text, from);
    let end = 0;
    for (const grapheme of SIMPLE.test(window) ? window : segmentsOf(window)) {
      // The last character of a window may continue after it.
      if (!isWhole && end > 0 && end + grapheme.length === window.length) break;
      yield grapheme;
      end += grapheme.length;
    }
    from += end;
  }
}

// Two characters of ASCII never join, so that a window ends between them. Every other one is looked at closely, which
// takes ten times as long.
function windowAt(text: string, from: number): { window: string; isWhole: boolean } {
  const most = Math.min(text.length, from + WINDOW);
  for (let end = from + 1; end < most; end += 1) {
    if (isPlain(text.charCodeAt(end - 1)) && isPlain(text.charCodeAt(end)))
      return { window: text.slice(from, end), isWhole: true };
  }
  if (most === text.length) return { window: text.slice(from), isWhole: true };
  // Half of a pair would be taken for a character of its own, and what precedes it for a whole one.
  const isPairCut = (text.charCodeAt(most - 1) & 0xfc00) === 0xd800;
  return { window: text.slice(from, isPairCut ? most - 1 : most), isWhole: false };
}

// Of the short windows that were met, because text repeats itself; as many as fit in some 100 KB.
const known = new Map<string, readonly string[]>();
const KNOWN_UNITS = 8;
const MOST_KNOWN = 1024;

function segmentsOf(window: string): readonly string[] {
  const before = known.get(window);
  if (before !== undefined) return before;
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  const segments = Array.from(segmenter.segment(window), ({ segment }) => segment);
  if (window.length <= KNOWN_UNITS && known.size < MOST_KNOWN) known.set(window, segments);
  return segments;
}

function graphemeWidth(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0;
  return EMOJI.test(grapheme) ? 2 : eastAsianWidth(grapheme.codePointAt(0) ?? 0);
}

/** Returns how many columns a text takes. */
export function displayWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const grapheme of graphemes(text)) width += graphemeWidth(grapheme);
  return width;
}

/** Returns the longest prefix of a text that takes at most `width` columns; looks no further than that. */
function take(text: string, width: number): string {
  // One more: what follows may belong to the last character.
  const near = text.slice(0, Math.max(0, width) + 1);
  if (PLAIN.test(near)) return near.slice(0, Math.max(0, width));
  let length = 0;
  let used = 0;
  for (const grapheme of graphemes(text)) {
    used += graphemeWidth(grapheme);
    if (used > width) break;
    length += grapheme.length;
  }
  return text.slice(0, length);
}

const UNITS_PER_COLUMN = 32;

/** Returns the longest suffix of a text that takes at most `width` columns. */
function takeEnd(text: string, width: number): string {
  // More code units for each column than this are not readable characters.
  const all = [...graphemes(text.slice(-UNITS_PER_COLUMN * (width + 1)))];
  let start = all.length;
  for (let used = 0; start > 0; start -= 1) {
    used += graphemeWidth(all[start - 1] ?? '');
    if (used > width) break;
  }
  return all.slice(start).join('');
}

/** Returns the text in at most `width` columns: if it is longer, cut at the end and closed with `ellipsis`. */
export function clip(text: string, width: number, ellipsis: string): string {
  const whole = take(text, width);
  const room = width - ellipsis.length;
  if (whole.length === text.length || room < 1) return whole;
  return take(text, room).trimEnd() + ellipsis;
}

/**
 * Returns the text in at most `width` columns, cut in the middle: names of queries often begin alike and differ at
 * their ends.
 */
export function clipMiddle(text: string, width: number, ellipsis: string): string {
  const room = width - ellipsis.length;
  if (room < 4 || take(text, width).length === text.length) return clip(text, width, ellipsis);
  const tail = Math.floor(room / 2);
  return take(text, room - tail) + ellipsis + takeEnd(text, tail);
}

/** Returns the text padded with spaces on the right up to `width` columns; longer text is unchanged. */
export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

/** Returns the text padded with spaces on the left up to `width` columns; longer text is unchanged. */
export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}

/**
 * Returns the words of a text in lines of at most `width` columns, and at least one line. A word longer than a line
 * is broken; a character wider than a line has a line of its own. Takes time in proportion to the length of the text.
 */
export function wrap(text: string, width: number): string[] {
  const limit = Math.max(1, width);
  const lines: string[] = [];
  let line = '';
  let used = 0;
  for (const word of text.split(' ')) {
    for (let rest = word; rest !== ''; ) {
      const piece = take(rest, limit) || firstOf(rest);
      const needed = displayWidth(piece);
      // Only whole words share a line.
      if (line !== '' && piece === word && used + 1 + needed <= limit) {
        line += ` ${piece}`;
        used += 1 + needed;
      } else {
        if (line !== '') lines.push(line);
        line = piece;
        used = needed;
      }
      rest = rest.slice(piece.length);
    }
  }
  if (line !== '' || lines.length === 0) lines.push(line);
  return lines;
}

function firstOf(text: string): string {
  for (const grapheme of graphemes(text)) return grapheme;
  return '';
}
