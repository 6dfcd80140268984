/** A token of SQL, or of a text that contains SQL, as {@link looseTokens} finds it. */
export interface LooseToken {
  /** `comment` is the inside of one. */
  readonly kind: 'word' | 'number' | 'string' | 'name' | 'comment' | 'mark';
  /** The word or mark as written, or what is between the quotes, with its escapes. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** Whether the quote that would close it is missing. */
  readonly isOpen: boolean;
}

const WORD = /[\p{L}\p{N}_$]+/uy;
const DIGITS = /^\d/;
const BLANKS = /\s+/y;
const LETTER = /[\p{L}\p{N}]/u;
/** The quotes that SQL knows, and what closes each. */
export const CLOSING: Readonly<Record<string, string>> = {
  "'": "'",
  '"': '"',
  '`': '`',
  '\u2018': '\u2019',
  '\u201c': '\u201d',
};

/**
 * Returns the tokens of any text, without errors: a quote that is not closed ends with the text. In `prose`, an
 * apostrophe within a word (`can't`) opens nothing. Linear in the length of the text.
 */
export function looseTokens(text: string, { prose }: { readonly prose: boolean }): LooseToken[] {
  const tokens: LooseToken[] = [];
  let tags: HeredocTags | undefined;
  const add = (
    kind: LooseToken['kind'],
    start: number,
    end: number,
    from: number,
    to: number,
    isOpen = false,
  ) => tokens.push({ kind, text: text.slice(from, to), start, end, isOpen });
  for (let at = 0; at < text.length; ) {
    BLANKS.lastIndex = at;
    if (BLANKS.test(text)) {
      at = BLANKS.lastIndex;
      continue;
    }
    const character = text.charAt(at);
    const closing = CLOSING[character];
    if (closing !== undefined && !(prose && isApostrophe(text, at))) {
      const end = quoteEnd(text, at + 1, closing);
      const isOpen = end === -1;
      const to = isOpen ? text.length : end;
      add(
        closing === "'" || closing === '\u2019' ? 'string' : 'name',
        at,
        isOpen ? to : to + 1,
        at + 1,
        to,
        isOpen,
      );
      at = isOpen ? to : to + 1;
      continue;
    }
    const comment = prose ? undefined : commentAt(text, at);
    if (comment !== undefined) {
      add('comment', at, comment.end, at + 2, comment.end);
      at = comment.end;
      continue;
    }
    if (character === '$') {
      tags ??= new HeredocTags(text);
      const heredoc = tags.heredocAt(at);
      if (heredoc !== undefined) {
        add('string', at, heredoc.end, heredoc.from, heredoc.to);
        at = heredoc.end;
        continue;
      }
    }
    WORD.lastIndex = at;
    if (WORD.test(text)) {
      const end = WORD.lastIndex;
      add(DIGITS.test(character) ? 'number' : 'word', at, end, at, end);
      at = end;
      continue;
    }
    add('mark', at, at + 1, at, at + 1);
    at += 1;
  }
  return tokens;
}

function isApostrophe(text: string, at: number): boolean {
  return text.charAt(at) === "'" && LETTER.test(text.charAt(at - 1)) && LETTER.test(text.charAt(at + 1));
}

function quoteEnd(text: string, from: number, closing: string): number {
  const isCurly = closing > '\u2000';
  if (isCurly) return text.indexOf(closing, from);
  for (let at = from; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '\\') at += 1;
    else if (character === closing) {
      if (text.charAt(at + 1) !== closing) return at;
      at += 1;
    }
  }
  return -1;
}

function commentAt(text: string, at: number): { end: number } | undefined {
  const two = text.slice(at, at + 2);
  if (two === '/*') {
    const end = text.indexOf('*/', at + 2);
    return { end: end === -1 ? text.length : end + 2 };
  }
  if (two !== '--' && two !== '//' && two !== '# ' && two !== '#!') return undefined;
  const end = text.indexOf('\n', at);
  return { end: end === -1 ? text.length : end };
}

const TAG = /\$\w{0,64}\$/y;

// Where each tag of a heredoc stands. Searching the text for each of them would take time by its square.
class HeredocTags {
  readonly #text: string;
  readonly #places = new Map<string, { readonly all: number[]; next: number }>();

  constructor(text: string) {
    this.#text = text;
    for (let at = text.indexOf('$'); at !== -1; at = text.indexOf('$', at + 1)) {
      const tag = this.#tagAt(at);
      if (tag === undefined) continue;
      const known = this.#places.get(tag);
      if (known === undefined) this.#places.set(tag, { all: [at], next: 0 });
      else known.all.push(at);
    }
  }

  /** Returns the heredoc that begins at a place, later than that of every call before. */
  heredocAt(at: number): { from: number; to: number; end: number } | undefined {
    const tag = this.#tagAt(at);
    const places = tag === undefined ? undefined : this.#places.get(tag);
    if (tag === undefined || places === undefined) return undefined;
    const from = at + tag.length;
    while ((places.all[places.next] ?? Number.POSITIVE_INFINITY) < from) places.next += 1;
    const to = places.all[places.next];
    return to === undefined ? undefined : { from, to, end: to + tag.length };
  }

  #tagAt(at: number): string | undefined {
    TAG.lastIndex = at;
    return TAG.exec(this.#text)?.[0];
  }
}
