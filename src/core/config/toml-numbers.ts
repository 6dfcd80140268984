import { QrunError } from '../errors.js';

/**
 * What the numbers of a table become: `number` for the checks of a configuration (a whole number that a double cannot
 * hold stays a bigint), `setting` and `parameter` for strings that are sent.
 */
export type NumberUse = 'number' | 'setting' | 'parameter';

/** A parameter's number that versions up to 0.1.0 sent with different digits. */
export interface Respelled {
  /** The parameter. */
  readonly name: string;
  readonly written: string;
  /** As it was sent then. */
  readonly before: string;
}

/** The content of a TOML file, and its parameters that are now sent with other digits than before. */
export interface TomlContent {
  readonly values: Record<string, unknown>;
  readonly respelled: readonly Respelled[];
}

/** No file that people write nests deeper; a key of thousands of parts (`a.a.a...`) would overflow the stack. */
const MAX_DEPTH = 100;

const WHOLE =
  /^[+-]?(?:0|[1-9](?:_?\d)*)$|^0x[\dA-Fa-f](?:_?[\dA-Fa-f])*$|^0o[0-7](?:_?[0-7])*$|^0b[01](?:_?[01])*$/;
const FLOAT =
  /^[+-]?(?:(?:0|[1-9](?:_?\d)*)(?:\.\d(?:_?\d)*(?:[eE][+-]?\d(?:_?\d)*)?|[eE][+-]?\d(?:_?\d)*)|inf|nan)$/;
// Strings, only as far as finding their end requires. The long ones first, because a short one begins like them.
const STRING = /"""(?:\\[\s\S]|[^\\])*?"{3,5}(?!")|'''[\s\S]*?'{3,5}(?!')|"(?:\\.|[^"\\\n])*"|'[^'\n]*'/y;
const WORD = /[^\s,=#"'[\]{}]+/y;

/**
 * Reads TOML with `parse` so that no number changes its digits. A parser returns doubles, in which 1.10 is 1.1 and
 * 18446744073709551615 is another number. `useOf` says what a place is for (`settings.max_threads` is given as its two
 * keys; positions in lists do not count). A setting keeps the shortest form of a number that a double holds exactly,
 * because it is part of fingerprints. A parameter is a string and is sent as it is written, without `_` and `+`. Whole
 * numbers are sent in decimal.
 *
 * Errors: those of `parse`; QrunError `CONFIG` for tables and lists nested deeper than {@link MAX_DEPTH}.
 */
export function readTomlNumbers(
  text: string,
  parse: (text: string) => Record<string, unknown>,
  useOf: (path: readonly string[]) => NumberUse,
): TomlContent {
  const { marked, written, mark } = markNumbers(text);
  const respelled: Respelled[] = [];
  const numberIn = (value: unknown): string | undefined => {
    if (typeof value === 'string' && value.startsWith(mark)) return written[Number(value.slice(mark.length))];
    return typeof value === 'bigint' || typeof value === 'number' ? tomlOf(value) : undefined;
  };
  const convert = (value: unknown, path: readonly string[], depth: number): unknown => {
    if (depth > MAX_DEPTH) throw new QrunError('CONFIG', `it is nested deeper than ${MAX_DEPTH} levels`);
    if (Array.isArray(value)) return value.map(one => convert(one, path, depth + 1));
    const number = numberIn(value);
    if (number !== undefined) {
      const use = useOf(path);
      const result = numberFor(use, number);
      const before = String(toNumber(number.replaceAll('_', '')));
      if (use === 'parameter' && !WHOLE.test(number) && before !== result) {
        respelled.push({ name: path.at(-1) ?? '', written: String(result), before });
      }
      return result;
    }
    if (typeof value !== 'object' || value === null || value instanceof Date) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, convert(one, [...path, key], depth + 1)]),
    );
  };
  let tree: Record<string, unknown>;
  try {
    tree = parse(marked);
  } catch {
    // Parse the original text, so that the error has the right position.
    tree = parse(text);
  }
  return { values: convert(tree, [], 0) as Record<string, unknown>, respelled };
}

function tomlOf(value: number | bigint): string {
  if (Number.isNaN(value)) return 'nan';
  return String(value).replace('Infinity', 'inf');
}

function numberFor(use: NumberUse, written: string): string | number | bigint {
  const plain = written.replaceAll('_', '').replace(/^\+/, '');
  if (WHOLE.test(written)) {
    const whole = plain.startsWith('-') ? -BigInt(plain.slice(1)) : BigInt(plain);
    if (use !== 'number') return String(whole);
    return Number.isSafeInteger(Number(whole)) ? Number(whole) : whole;
  }
  const value = toNumber(plain);
  if (use === 'number') return value;
  return use === 'setting' && Number.isFinite(value) && isSameDecimal(plain, String(value))
    ? String(value)
    : plain;
}

function toNumber(plain: string): number {
  const name = plain.replace('-', '');
  if (name === 'nan') return Number.NaN;
  if (name === 'inf') return plain.startsWith('-') ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return Number(plain);
}

/** Whether two decimal numbers are the same, digit for digit. */
function isSameDecimal(one: string, other: string): boolean {
  return normalized(one) === normalized(other);
}

function normalized(decimal: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]?\d+))?$/i.exec(decimal) ?? [];
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  const significant = digits.replace(/(?<!0)0+$/, '');
  if (significant === '') return '0';
  return `${sign}${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}

/** Returns the text with each number replaced by a string of `mark` and an index into `written`. */
function markNumbers(text: string): { marked: string; written: string[]; mark: string } {
  let name = 'number';
  while (text.includes(name)) name += '-';
  const written: string[] = [];
  const open: ('list' | 'table')[] = [];
  let marked = '';
  let copied = 0;
  // Keys may look like numbers: `1.0 = 2`, `[1.0]`.
  let isKey = true;
  for (let at = 0; at < text.length; ) {
    const character = text[at] as string;
    STRING.lastIndex = at;
    WORD.lastIndex = at;
    const string = character === '"' || character === "'" ? STRING.exec(text) : null;
    const word = string === null ? WORD.exec(text) : null;
    if (string !== null) at = STRING.lastIndex;
    // A string without an end makes the file invalid. Searching for an end at every later quote takes quadratic time.
    else if (character === '"' || character === "'") break;
    else if (word !== null) {
      if (!isKey && (WHOLE.test(word[0]) || FLOAT.test(word[0]))) {
        marked += `${text.slice(copied, at)}"\\u0000${name}${written.push(word[0]) - 1}"`;
        copied = WORD.lastIndex;
      }
      at = WORD.lastIndex;
    } else {
      if (character === '#') {
        const end = text.indexOf('\n', at);
        at = end < 0 ? text.length : end;
        continue;
      }
      if (character === '=') isKey = false;
      // At the beginning of a line it opens the name of a table, and no number of a value can come before its end.
      else if (character === '[' && !isKey) open.push('list');
      else if (character === '{') {
        open.push('table');
        isKey = true;
      } else if ((character === ']' || character === '}') && open.length > 0) {
        open.pop();
        isKey = false;
      } else if (character === ',') isKey = open.at(-1) === 'table';
      else if (character === '\n' && open.length === 0) isKey = true;
      at += 1;
    }
  }
  return { marked: marked + text.slice(copied), written, mark: `\0${name}` };
}
