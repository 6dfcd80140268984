/** Tests a name: `true` if it matches. */
export type GlobTest = (name: string) => boolean;

// A person writes a pattern; each part of a name has at most 255 bytes.
const MAX_LENGTH = 2000;
// `{a,b}{a,b}...` doubles with each pair. All of the patterns are tested one after the other, for each name.
const MAX_ALTERNATIVES = 1000;

/** Returns what is wrong with a glob, for a message; `undefined` if {@link compileGlob} accepts it. */
export function globProblem(glob: string): string | undefined {
  const result = parseGlob(glob);
  return typeof result === 'string' ? result : undefined;
}

/**
 * Returns the test of one glob over names with `/`: `*` and `?` within a part, `**` as a whole part for any number of
 * parts, `[a-z]` and `[!a-z]`, `{a,b}` and `{1..9}`, `\` before a literal character, a leading `!` for all names that
 * do not match. A glob without a slash is compared with the last part of a name. Every name is taken as it is,
 * including one that begins with a dot.
 *
 * Time is at most the length of the glob times that of the name: no regular expression is involved that could
 * backtrack. Throws a RangeError with {@link globProblem} for a glob that it does not accept.
 */
export function compileGlob(glob: string): GlobTest {
  const parsed = parseGlob(glob);
  if (typeof parsed === 'string') throw new RangeError(parsed);
  const { isNegated, alternatives, byLastPart } = parsed;
  return name => {
    const parts = byLastPart ? [name.slice(name.lastIndexOf('/') + 1)] : name.split('/');
    return alternatives.some(alternative => matches(alternative, parts, matchesPart)) !== isNegated;
  };
}

// `*` in a part, and `**` among the parts.
const ANY = 1;
// One place of a part: a character, a class, `?`, or `*`.
type Element = string | ((character: string) => boolean) | typeof ANY_ONE | typeof ANY;
const ANY_ONE = 2;
type Part = readonly Element[] | typeof ANY;

interface Parsed {
  readonly isNegated: boolean;
  readonly byLastPart: boolean;
  readonly alternatives: readonly (readonly Part[])[];
}

function parseGlob(glob: string): Parsed | string {
  if (glob.length > MAX_LENGTH) return `must not be longer than ${MAX_LENGTH} characters`;
  const negations = /^!*/.exec(glob)?.[0].length ?? 0;
  const pattern = glob.slice(negations).replace(/^(?:\.\/)+/, '');
  if (/^(?:\\[\s\S]|[^\\])*?[()|]/.test(pattern)) {
    return 'must not hold ( ) or |, which belong to regular expressions: write {a,b} for one of several, or \\( for the character itself';
  }
  const texts = expandBraces(pattern, { left: MAX_ALTERNATIVES, steps: 4 * MAX_ALTERNATIVES });
  if (texts === undefined) return `must not stand for more than ${MAX_ALTERNATIVES} patterns`;
  const byLastPart = !pattern.includes('/');
  return {
    isNegated: negations % 2 === 1,
    byLastPart,
    alternatives: texts.map(text => splitParts(text).map(part => elementsOf(part, byLastPart))),
  };
}

// Returns all strings that the braces of a pattern stand for; `undefined` if there are more than the budget allows.
function expandBraces(pattern: string, budget: { left: number; steps: number }): string[] | undefined {
  budget.steps -= 1;
  if (budget.steps < 0) return undefined;
  const brace = firstBrace(pattern);
  if (brace === undefined) {
    budget.left -= 1;
    return budget.left < 0 ? undefined : [pattern];
  }
  const { start, end, choices } = brace;
  if (choices.length > MAX_ALTERNATIVES) return undefined;
  const before = pattern.slice(0, start);
  const all: string[] = [];
  for (const choice of choices) {
    const some = expandBraces(before + choice + pattern.slice(end), budget);
    if (some === undefined) return undefined;
    all.push(...some);
  }
  return all;
}

// Returns the first pair of braces that is a choice, inner ones before outer ones. `{a}` and a brace without its
// counterpart are plain characters.
function firstBrace(pattern: string): { start: number; end: number; choices: string[] } | undefined {
  const open: { start: number; commas: number[] }[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern.charAt(at);
    if (character === '\\') at += 1;
    else if (character === '[') at = Math.max(at, classEnd(pattern, at));
    else if (character === '{') open.push({ start: at, commas: [] });
    else if (character === ',') open.at(-1)?.commas.push(at);
    else if (character === '}') {
      const brace = open.pop();
      if (brace === undefined) continue;
      const choices = choicesOf(pattern, brace, at);
      if (choices !== undefined) return { start: brace.start, end: at + 1, choices };
    }
  }
  return undefined;
}

function choicesOf(
  pattern: string,
  { start, commas }: { readonly start: number; readonly commas: readonly number[] },
  end: number,
): string[] | undefined {
  if (commas.length > 0) {
    const cuts = [start, ...commas, end];
    return cuts.slice(1).map((cut, index) => pattern.slice((cuts[index] ?? 0) + 1, cut));
  }
  const range = /^(-?\d{1,15})\.\.(-?\d{1,15})$/.exec(pattern.slice(start + 1, end));
  if (range === null) return undefined;
  const [, one = '', other = ''] = range;
  const [from, to] = [Math.min(Number(one), Number(other)), Math.max(Number(one), Number(other))];
  // One more than the limit is enough to show that there are too many.
  const length = Math.min(to - from + 1, MAX_ALTERNATIVES + 1);
  const width = /^-?0\d/.test(one) || /^-?0\d/.test(other) ? Math.max(one.length, other.length) : 0;
  return Array.from({ length }, (_, index) => String(from + index).padStart(width, '0'));
}

function splitParts(text: string): string[] {
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (character === '\\') at += 1;
    else if (character === '/') {
      parts.push(text.slice(from, at));
      from = at + 1;
    }
  }
  parts.push(text.slice(from));
  return parts;
}

function elementsOf(part: string, byLastPart: boolean): Part {
  if (part === '**' && !byLastPart) return ANY;
  const elements: Element[] = [];
  for (let at = 0; at < part.length; ) {
    const character = String.fromCodePoint(part.codePointAt(at) ?? 0);
    const end = character === '[' ? classEnd(part, at) : -1;
    if (end !== -1) {
      elements.push(classOf(part.slice(at + 1, end)));
      at = end + 1;
      continue;
    }
    if (character === '\\' && at + 1 < part.length) {
      const escaped = String.fromCodePoint(part.codePointAt(at + 1) ?? 0);
      elements.push(escaped);
      at += 1 + escaped.length;
      continue;
    }
    if (character === '*') {
      if (elements.at(-1) !== ANY) elements.push(ANY);
    } else elements.push(character === '?' ? ANY_ONE : character);
    at += character.length;
  }
  return elements;
}

// Returns where the class that `[` opens ends; -1 if it does not end: the bracket is then a plain character.
function classEnd(text: string, at: number): number {
  if (!text.includes(']', at)) return -1;
  let from = at + 1;
  if (text.charAt(from) === '!' || text.charAt(from) === '^') from += 1;
  // A bracket in first place is one of the characters.
  if (text.charAt(from) === ']') from += 1;
  for (let end = from; end < text.length; end += 1) {
    const character = text.charAt(end);
    if (character === '\\') end += 1;
    else if (character === '/') return -1;
    else if (character === ']') return end;
  }
  return -1;
}

function classOf(written: string): (character: string) => boolean {
  const isNegated = /^[!^]/.test(written);
  const characters = Array.from((isNegated ? written.slice(1) : written).replace(/\\([\s\S])/g, '$1'));
  const single = new Set<string>();
  const ranges: (readonly [string, string])[] = [];
  for (let at = 0; at < characters.length; at += 1) {
    const [first = '', dash, last] = characters.slice(at, at + 3);
    if (dash === '-' && last !== undefined) {
      ranges.push([first, last]);
      at += 2;
    } else single.add(first);
  }
  const isIn = (character: string): boolean =>
    single.has(character) || ranges.some(([first, last]) => first <= character && character <= last);
  return character => isIn(character) !== isNegated;
}

// On a mismatch after a star, that star takes one more. An earlier star never has to, because whatever it could reach
// that way the later one reaches too. The same holds for `**` over parts.
function matches<E, I>(
  pattern: readonly (E | typeof ANY)[],
  items: ArrayLike<I>,
  fits: (element: E, item: I) => boolean,
): boolean {
  let at = 0;
  let next = 0;
  let lastAny = -1;
  let anyFrom = 0;
  while (next < items.length) {
    const element = pattern[at];
    if (element === ANY) {
      lastAny = at;
      anyFrom = next;
      at += 1;
    } else if (element !== undefined && fits(element, items[next] as I)) {
      at += 1;
      next += 1;
    } else if (lastAny === -1) return false;
    else {
      at = lastAny + 1;
      anyFrom += 1;
      next = anyFrom;
    }
  }
  while (pattern[at] === ANY) at += 1;
  return at === pattern.length;
}

const SURROGATE = /[\ud800-\udfff]/;

function matchesPart(pattern: readonly Element[], text: string): boolean {
  return matches(pattern, SURROGATE.test(text) ? Array.from(text) : text, matchesCharacter);
}

function matchesCharacter(element: Exclude<Element, typeof ANY>, character: string): boolean {
  if (element === ANY_ONE) return true;
  return typeof element === 'string' ? element === character : element(character);
}
