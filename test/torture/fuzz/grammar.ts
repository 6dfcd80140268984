import fc from 'fast-check';

// Large enough that what takes time by the square takes longer than the limit, and small enough that a test of it ends.
const LENGTHS = [200, 2_000, 12_000, 40_000] as const;
const SMALL = 2_000;
let longest: number = LENGTHS[3];

/**
 * Which lengths the cases of a seed have: of an even one no more than 2,000, so that what takes time by the third power
 * is found, and made smaller, before a long case of it has no end.
 */
export function chooseLengths(seed: number): void {
  longest = seed % 2 === 0 ? SMALL : LENGTHS[3];
}

/** Short texts of pieces that mean something to a parser, with noise between them. */
export function piecesOf(pieces: readonly string[], maxLength = 40): fc.Arbitrary<string> {
  const piece = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...pieces) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    { weight: 1, arbitrary: fc.string({ maxLength: 8 }) },
  );
  return fc.array(piece, { maxLength }).map(parts => parts.join(''));
}

/** Long texts: one piece, or a few, again and again between a beginning and an end that mean something. */
export function longOf(pieces: readonly string[]): fc.Arbitrary<string> {
  const few = piecesOf(pieces, 4);
  const piece = fc.array(fc.constantFrom(...pieces, 'a', ' ', '\n', 'é', '\u{1f600}'), {
    minLength: 1,
    maxLength: 3,
  });
  return fc.tuple(few, piece, fc.constantFrom(...LENGTHS), few).map(([before, parts, length, after]) => {
    const one = parts.join('');
    return `${before}${one.repeat(Math.ceil(Math.min(length, longest) / Math.max(1, one.length)))}${after}`;
  });
}

/** Mostly short texts, now and then a long one. */
export function textOf(pieces: readonly string[], maxLength = 40): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 30, arbitrary: piecesOf(pieces, maxLength) },
    { weight: 1, arbitrary: longOf(pieces) },
  );
}

interface Run {
  readonly at: number;
  readonly piece: string;
  readonly length: number;
}

// At the end as often as anywhere else: there nothing behind it ends what it made long.
function runOf(pieces: readonly string[]): fc.Arbitrary<Run> {
  return fc.record({
    at: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constant(1)),
    piece: fc.constantFrom(...pieces, 'a', 'A', '0'),
    length: fc.constantFrom(...LENGTHS),
  });
}

function withRun(text: string, { at, piece, length }: Run): string {
  const from = Math.floor(at * text.length);
  return (
    text.slice(0, from) + piece.repeat(Math.ceil(Math.min(length, longest) / piece.length)) + text.slice(from)
  );
}

/** A valid text with something very long in it, or at its end. */
export function grown(valid: fc.Arbitrary<string>, pieces: readonly string[]): fc.Arbitrary<string> {
  return fc.tuple(valid, runOf(pieces)).map(([text, run]) => withRun(text, run));
}

/**
 * A valid text with a few changes: bytes cut out, put in twice, replaced by pieces, swapped with the next ones. Such
 * texts get further into a parser than those that are made of pieces.
 */
export function mutated(valid: fc.Arbitrary<string>, pieces: readonly string[]): fc.Arbitrary<string> {
  const change = fc.record({
    kind: fc.constantFrom('cut', 'twice', 'put', 'replace', 'swap'),
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    length: fc.nat(12),
    piece: fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary', maxLength: 2 })),
  });
  const long = fc.oneof(
    { weight: 12, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: runOf(pieces) },
  );
  return fc.tuple(valid, fc.array(change, { maxLength: 4 }), long).map(([text, changes, run]) => {
    let result = text;
    if (run !== undefined) result = withRun(text, run);
    for (const { kind, at, length, piece } of changes) {
      const from = Math.floor(at * (result.length + 1));
      const [before, middle, after] = [
        result.slice(0, from),
        result.slice(from, from + length),
        result.slice(from + length),
      ];
      if (kind === 'cut') result = before + after;
      else if (kind === 'twice') result = before + middle + middle + after;
      else if (kind === 'put') result = before + piece + middle + after;
      else if (kind === 'replace') result = before + piece + after;
      else result = before + after.slice(0, length) + middle + after.slice(length);
    }
    return result;
  });
}

const OTHER: readonly unknown[] = [null, [], {}, [null], 1, -1, 1e308, 0.5, '', 'x', true, { toString: 1 }];

/** Lines of JSON in which one value, or a whole line, is another one: of another type above all. */
export function reshaped(valid: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...valid), fc.nat(10_000), fc.constantFrom(...OTHER))
    .map(([text, n, other]) => {
      const lines = text.split('\n').filter(line => line !== '');
      const counted = lines.map(line => placesIn(JSON.parse(line) as unknown));
      let place = n % counted.reduce((total, places) => total + places, 0);
      return lines
        .map((line, index) => {
          const places = counted[index] ?? 0;
          const at = place;
          place -= places;
          if (at < 0 || at >= places) return `${line}\n`;
          return `${JSON.stringify(withOther(JSON.parse(line) as unknown, at, other))}\n`;
        })
        .join('');
    });
}

function placesIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((total, one) => total + placesIn(one), 1);
}

// The value with another one at this place, counted as `placesIn` does.
function withOther(value: unknown, at: number, other: unknown): unknown {
  if (at === 0) return other;
  if (typeof value !== 'object' || value === null) return value;
  let left = at - 1;
  for (const [key, one] of Object.entries(value)) {
    const places = placesIn(one);
    if (left < places) {
      const changed = withOther(one, left, other);
      if (!Array.isArray(value)) return { ...value, [key]: changed };
      return value.map((kept: unknown, index) => (String(index) === key ? changed : kept));
    }
    left -= places;
  }
  return value;
}

/** Any value that a file of JSON or TOML may hold, with these words as keys and texts now and then. */
export function anyValueOf(words: readonly string[]): fc.Arbitrary<unknown> {
  const word = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom(...words, '__proto__', 'constructor', 'toString', '') },
    { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 6 }) },
  );
  return fc.letrec<{ value: unknown }>(tie => ({
    value: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      word,
      fc.oneof(fc.integer(), fc.double(), fc.boolean(), fc.constantFrom(null, 0, -0, 1e308, 2 ** 53)),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(word, tie('value'), { maxKeys: 5 }),
    ),
  })).value;
}

/** An object with these keys, each with a fitting value or any other one, or missing. */
export function tableOf(fields: Readonly<Record<string, fc.Arbitrary<unknown>>>): fc.Arbitrary<unknown> {
  const any = anyValueOf(Object.keys(fields));
  const record = Object.fromEntries(
    Object.entries(fields).map(([key, fitting]) => [
      key,
      fc.oneof({ weight: 8, arbitrary: fitting }, { weight: 1, arbitrary: any }),
    ]),
  );
  return fc.oneof(
    { weight: 12, arbitrary: fc.record(record, { requiredKeys: [] }) },
    { weight: 1, arbitrary: any },
  );
}

/** Bytes in pieces, cut at these shares of their length; pieces may be empty. */
export function cut(bytes: Buffer, shares: readonly number[]): Buffer[] {
  const ends = shares.map(share => Math.floor(share * bytes.length)).sort((a, b) => a - b);
  return [...ends, bytes.length].map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

/** Where bytes are cut. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 6 });

/** Fails with a finding of the fuzzing. */
export function must(condition: boolean, text: string): asserts condition {
  if (!condition) throw new Error(text);
}
