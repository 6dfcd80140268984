/**
 * Text that comes from elsewhere (query names, server messages) made safe and measured for a terminal.
 */

// What a terminal may act on or what reorders the text around it: C0, DEL, C1, line and paragraph separators,
// directional marks and overrides, the byte order mark, and halves of surrogate pairs.
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;
const NOT_ASCII = /[^\x20-\x7e]/gu;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escapeCharacter(character: string): string {
  const short = SHORT_ESCAPES[character];
  if (short !== undefined) return short;
  const point = character.codePointAt(0) ?? 0;
  if (point <= 0xff) return `\\x${point.toString(16).padStart(2, '0')}`;
  return point <= 0xffff ? `\\u${point.toString(16).padStart(4, '0')}` : `\\u{${point.toString(16)}}`;
}

/**
 * The text on one line, with each character that could drive or confuse a terminal replaced by a visible
 * escape (`\n`, `\x1b`, `\u202e`). With `asciiOnly` every other character beyond ASCII is escaped too: in a
 * locale that is not UTF-8 the bytes of such a character can be control codes (0x9b is CSI in Latin-1).
 */
export function escapeControls(text: string, asciiOnly = false): string {
  const safe = text.replace(UNSAFE, escapeCharacter);
  return asciiOnly ? safe.replace(NOT_ASCII, escapeCharacter) : safe;
}

// Colours, and what moves the cursor, as this program writes them.
const COLOR = '\\x1b\\[[\\d;]{1,20}m';
const MOVE = '\\x1b\\[(?:[KJH]|\\?\\d{1,4}[hl])|\\r(?=\\x1b\\[K)';
const OUTPUT = new RegExp(`${COLOR}|${MOVE}|(?![\\n\\t])${UNSAFE.source}`, 'gu');
const IS_COLOR = new RegExp(`^${COLOR}$`);
const IS_MOVE = new RegExp(`^(?:\\r|${MOVE})$`);
// Where a line begins with `::`, and at `##[` or `##vso[` anywhere, build servers take it for a command.
const COMMAND_LINE = /^([^\S\n\r\u2028\u2029]*)::/gm;
const COMMAND = /##(?=\w{0,20}\[)/g;

/** What a stream may be given besides text. */
export interface OutputRights {
  readonly color: boolean;
  /** It is redrawn. */
  readonly live?: boolean;
}

/**
 * A text as it may leave the process, whatever it was made of: no control character but line ends and tabs, colours and
 * movements of the cursor only where the stream may have them, and nothing that a build server would obey. The last
 * net: texts from elsewhere are made safe where they are laid out. Linear in the length of the text.
 */
export function quietOutput(text: string, { color, live = false }: OutputRights): string {
  return text
    .replace(OUTPUT, found => {
      if ((color && IS_COLOR.test(found)) || (live && IS_MOVE.test(found))) return found;
      return (
        escapeCharacter(found.charAt(0) === '\x1b' || found === '\r' ? found.charAt(0) : found) +
        (found.charAt(0) === '\x1b' ? found.slice(1) : '')
      );
    })
    .replace(COMMAND_LINE, '$1: :')
    .replace(COMMAND, '# #');
}

const PLAIN = /^[\x20-\x7e]*$/;
const INVISIBLE = /^[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}]+$/u;
// Two columns each: the blocks that Unicode's EastAsianWidth.txt lists as W or F, in ranges, and emoji.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{1b000}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]|\ufe0f/u;

// Made when it is first needed: it takes 10 ms, and most texts are plain.
let graphemes: Intl.Segmenter | undefined;

// Intl.Segmenter of Node 20 takes time by the square of a text: it is given so much at a time. What a reader sees as one
// character has a few of these units; longer ones, which nobody can read, are cut.
const WINDOW = 64;

function* segmentsOf(text: string): Generator<{ readonly segment: string; readonly index: number }> {
  graphemes ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  for (let from = 0; from < text.length; ) {
    // Most characters stand for themselves, and are known by the one behind them.
    if (isAlone(text.charCodeAt(from)) && (from + 1 === text.length || isAlone(text.charCodeAt(from + 1)))) {
      yield { segment: text.charAt(from), index: from };
      from += 1;
      continue;
    }
    // Half of a pair would be taken for a character of its own, and what is before it for whole.
    const isPairCut = (text.charCodeAt(from + WINDOW - 1) & 0xfc00) === 0xd800;
    const window = text.slice(from, from + (isPairCut ? WINDOW - 1 : WINDOW));
    const isLast = from + window.length >= text.length;
    let end = 0;
    for (const { segment, index } of graphemes.segment(window)) {
      // The last one of a window may go on behind it.
      if (!isLast && index > 0 && index + segment.length === window.length) break;
      yield { segment, index: from + index };
      end = index + segment.length;
    }
    from += end;
  }
}

// Latin, Greek, Cyrillic, kana and Chinese characters that no other joins from behind.
function isAlone(code: number): boolean {
  return (
    (code >= 0x20 && code <= 0x7e) ||
    (code >= 0xae && code <= 0x2ff) ||
    (code >= 0x370 && code <= 0x482) ||
    (code >= 0x48a && code <= 0x52f) ||
    (code >= 0x3041 && code <= 0x3096) ||
    (code >= 0x30a1 && code <= 0x30fa) ||
    (code >= 0x3400 && code <= 0x4dbf) ||
    (code >= 0x4e00 && code <= 0x9fff)
  );
}

function graphemeWidth(grapheme: string): number {
  if (INVISIBLE.test(grapheme)) return 0;
  return WIDE.test(grapheme) ? 2 : 1;
}

/** How many terminal columns a text takes; the text holds no control characters and no colours. */
export function displayWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const { segment } of segmentsOf(text)) width += graphemeWidth(segment);
  return width;
}

function isWithin(text: string, width: number): boolean {
  if (PLAIN.test(text)) return text.length <= width;
  let used = 0;
  for (const { segment } of segmentsOf(text)) {
    used += graphemeWidth(segment);
    if (used > width) return false;
  }
  return true;
}

/** The longest beginning of a text that takes at most `width` columns. */
function take(text: string, width: number): string {
  if (PLAIN.test(text)) return text.slice(0, Math.max(0, width));
  let taken = '';
  let used = 0;
  for (const { segment } of segmentsOf(text)) {
    used += graphemeWidth(segment);
    if (used > width) break;
    taken += segment;
  }
  return taken;
}

const UNITS_PER_COLUMN = 32;

/** The longest end of a text that takes at most `width` columns. */
function takeEnd(text: string, width: number): string {
  // More characters than this for each column are none that anybody could read.
  const end = text.slice(-UNITS_PER_COLUMN * (width + 1));
  const segments = Array.from(segmentsOf(end), part => part.segment);
  let start = segments.length;
  let used = 0;
  while (start > 0) {
    used += graphemeWidth(segments[start - 1] ?? '');
    if (used > width) break;
    start--;
  }
  return segments.slice(start).join('');
}

/** The text in at most `width` columns: cut at the end and closed with `ellipsis` where it is longer. */
export function clip(text: string, width: number, ellipsis: string): string {
  if (isWithin(text, width)) return text;
  const room = width - ellipsis.length;
  return room < 1 ? take(text, width) : take(text, room).trimEnd() + ellipsis;
}

/**
 * The text in at most `width` columns, cut in the middle: names of queries often begin alike and differ at
 * their ends.
 */
export function clipMiddle(text: string, width: number, ellipsis: string): string {
  if (isWithin(text, width)) return text;
  const room = width - ellipsis.length;
  if (room < 4) return clip(text, width, ellipsis);
  const tail = Math.floor(room / 2);
  return take(text, room - tail) + ellipsis + takeEnd(text, tail);
}

/** The text filled with spaces on the right up to `width` columns; longer text stays as it is. */
export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

/** The text filled with spaces on the left up to `width` columns; longer text stays as it is. */
export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}

/**
 * The words of a text in lines of at most `width` columns; a word that is longer than a line is broken.
 * Always at least one line. Linear in the length of the text.
 */
export function wrap(text: string, width: number): string[] {
  const limit = Math.max(1, width);
  const lines: string[] = [];
  let line = '';
  let used = 0;
  for (const word of text.split(' ')) {
    if (word === '') continue;
    const pieces = brokenAt(word, limit);
    const [first = ''] = pieces;
    const firstWidth = displayWidth(first);
    if (line !== '' && pieces.length === 1 && used + 1 + firstWidth <= limit) {
      line += ` ${word}`;
      used += 1 + firstWidth;
      continue;
    }
    if (line !== '') lines.push(line);
    line = pieces.pop() ?? '';
    used = pieces.length === 0 ? firstWidth : displayWidth(line);
    for (const piece of pieces) lines.push(piece);
  }
  if (line !== '' || lines.length === 0) lines.push(line);
  return lines;
}

// The pieces of a word that fit into a line each; a character that is wider than the line is one of its own.
function brokenAt(word: string, limit: number): string[] {
  const pieces: string[] = [];
  if (PLAIN.test(word)) {
    for (let from = 0; from < word.length; from += limit) pieces.push(word.slice(from, from + limit));
    return pieces;
  }
  let from = 0;
  let used = 0;
  for (const { segment, index } of segmentsOf(word)) {
    const width = graphemeWidth(segment);
    if (used + width > limit && index > from) {
      pieces.push(word.slice(from, index));
      from = index;
      used = 0;
    }
    used += width;
  }
  pieces.push(word.slice(from));
  return pieces;
}
