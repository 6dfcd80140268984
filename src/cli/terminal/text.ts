import { eastAsianWidth } from 'get-east-asian-width';

/**
 * Text laid out by the columns that it takes on a terminal. It holds no control characters and no colours.
 *
 * `string-width` and `wrap-ansi` are not used. Each creates an Intl.Segmenter when it is loaded, which adds 10 ms to
 * a start that only shows ASCII, and passes it whole texts, for which Node 20 takes quadratic time. Even of short
 * pieces a Segmenter takes four to forty times as long as the table here.
 */

const PLAIN = /^[\x20-\x7e]*$/;
const INVISIBLE = /[\p{M}\p{Cf}\p{Default_Ignorable_Code_Point}\u1160-\u11ff\ud7b0-\ud7ff]/u;
const EMOJI = /\p{Emoji_Presentation}/u;
const MODIFIER = /\p{Emoji_Modifier}/u;
const PICTURE = /\p{Extended_Pictographic}/u;
const FLAG = /\p{Regional_Indicator}/u;

const JOINER = 0x200d;
const AS_EMOJI = 0xfe0f;

// What is known of a code point: the columns that it takes, and how it joins what stands before it.
const COLUMNS = 3;
const JOINS = 4;
const IS_PICTURE = 8;
const IS_FLAG = 16;
const IS_KNOWN = 32;

// By code point, filled as they are met: asking Unicode takes a hundred times as long.
let kinds: Uint8Array | undefined;

function kindOf(codePoint: number): number {
  kinds ??= new Uint8Array(0x110000);
  const known = kinds[codePoint] as number;
  if (known !== 0) return known;
  const one = String.fromCodePoint(codePoint);
  let kind = IS_KNOWN;
  if (MODIFIER.test(one)) kind |= JOINS | 2;
  else if (INVISIBLE.test(one)) kind |= JOINS;
  else kind |= EMOJI.test(one) ? 2 : eastAsianWidth(codePoint);
  if (PICTURE.test(one)) kind |= IS_PICTURE;
  if (FLAG.test(one)) kind |= IS_FLAG;
  kinds[codePoint] = kind;
  return kind;
}

interface Character {
  /** Index of the first code unit after it. */
  readonly end: number;
  readonly columns: number;
}

/**
 * Returns what a reader sees as one character: a code point with the marks on it, the two letters of a flag, or
 * pictures that are joined to one. `at` is less than the length of the text.
 */
function characterAt(text: string, at: number): Character {
  const first = text.codePointAt(at) as number;
  const kind = kindOf(first);
  let columns = kind & COLUMNS;
  let end = at + unitsOf(first);
  let mayPair = (kind & IS_FLAG) !== 0;
  // Only a single joiner behind a picture and its marks joins the next one.
  let mayJoin = (kind & IS_PICTURE) !== 0;
  let isJoiner = false;
  while (end < text.length) {
    const next = text.codePointAt(end) as number;
    const nextKind = kindOf(next);
    const isPaired = mayPair && (nextKind & IS_FLAG) !== 0;
    const isJoined = isJoiner && (nextKind & IS_PICTURE) !== 0;
    if ((nextKind & JOINS) === 0 && !isPaired && !isJoined) break;
    if (next === AS_EMOJI) columns = 2;
    mayPair = false;
    isJoiner = mayJoin && next === JOINER;
    mayJoin = isJoined || (mayJoin && next !== JOINER);
    end += unitsOf(next);
  }
  return { end, columns };
}

function unitsOf(codePoint: number): number {
  return codePoint > 0xffff ? 2 : 1;
}

/** Returns how many columns a text takes. */
export function displayWidth(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (let at = 0; at < text.length; ) {
    const { end, columns } = characterAt(text, at);
    width += columns;
    at = end;
  }
  return width;
}

/** Returns the longest prefix of a text that takes at most `width` columns; looks no further than that. */
function take(text: string, width: number): string {
  // One more: what follows may belong to the last character.
  const near = text.slice(0, Math.max(0, width) + 1);
  if (PLAIN.test(near)) return near.slice(0, Math.max(0, width));
  let length = 0;
  for (let used = 0; length < text.length; ) {
    const { end, columns } = characterAt(text, length);
    used += columns;
    if (used > width) break;
    length = end;
  }
  return text.slice(0, length);
}

// More code units for each column than this are not readable characters.
const UNITS_PER_COLUMN = 32;

/** Returns the longest suffix of a text that takes at most `width` columns. */
function takeEnd(text: string, width: number): string {
  const near = text.slice(-UNITS_PER_COLUMN * (width + 1));
  let left = displayWidth(near);
  let start = 0;
  while (left > width) {
    const { end, columns } = characterAt(near, start);
    left -= columns;
    start = end;
  }
  return near.slice(start);
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
      const piece = take(rest, limit) || rest.slice(0, characterAt(rest, 0).end);
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
