/** Makes text from elsewhere (query names, server messages) safe for a terminal. */

// Characters that a terminal may act on or that reorder the text around them: C0, DEL, C1, line and paragraph
// separators, directional marks and overrides, the byte order mark, and halves of surrogate pairs.
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
 * Returns the text on one line, with each character that could control or confuse a terminal replaced by a visible
 * escape (`\n`, `\x1b`, `\u202e`). With `asciiOnly` every other character beyond ASCII is escaped too: in a locale
 * that is not UTF-8 the bytes of such a character can be control codes (0x9b is CSI in Latin-1).
 */
export function escapeControls(text: string, asciiOnly = false): string {
  const safe = text.replace(UNSAFE, escapeCharacter);
  return asciiOnly ? safe.replace(NOT_ASCII, escapeCharacter) : safe;
}

// Colours as this program writes them, and everything unsafe besides.
const OUTPUT = new RegExp(`(\\x1b\\[[\\d;]{1,20}m)|(?![\\n\\t])${UNSAFE.source}`, 'gu');
// Build servers take `::` at the beginning of a line, and `##[` or `##vso[` anywhere, for a command.
const COMMAND_LINE = /^([^\S\n\r\u2028\u2029]*)::/gm;
const COMMAND = /##(?=\w{0,20}\[)/g;

/**
 * Returns a text as it may leave the process, whatever it was made of: no control character except line ends and
 * tabs, colours only where `color` allows them, and nothing that a build server would obey. This is the last
 * safeguard: text from elsewhere is made safe where it is laid out. Takes time in proportion to the length of the
 * text.
 */
export function quietOutput(text: string, { color }: { readonly color: boolean }): string {
  return text
    .replace(OUTPUT, (found: string, isColor: string | undefined) => {
      if (isColor === undefined) return escapeCharacter(found);
      return color ? found : `\\x1b${found.slice(1)}`;
    })
    .replace(COMMAND_LINE, '$1: :')
    .replace(COMMAND, '# #');
}
