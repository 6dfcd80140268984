import fc from 'fast-check';
import picomatch from 'picomatch';
import { describe, expect, it } from 'vitest';
import { compileGlob, globProblem } from '../../../src/core/text/glob.js';

const matches = (glob: string, name: string): boolean => compileGlob(glob)(name);

it.each([
  ['*', 'a/b', true],
  ['a*', 'x/ab', true],
  ['a/*', 'a/b', true],
  ['a/*', 'a/b/c', false],
  ['a/**', 'a/b/c', true],
  ['a/**', 'a', true],
  ['**/c', 'c', true],
  ['**/c', 'a/b/c', true],
  ['a/**/c', 'a/c', true],
  ['a/**/**/c', 'a/x/y/c', true],
  ['a**c/x', 'abbc/x', true],
  ['q?', 'q1', true],
  ['q?', 'q', false],
  ['q?', 'q\u{1f600}', true],
  ['q[0-9]', 'q7', true],
  ['q[!0-9]', 'q7', false],
  ['q[]x]', 'q]', true],
  ['q[', 'q[', true],
  ['{a,b}/x', 'b/x', true],
  ['{a,b{c,d}}', 'bd', true],
  ['{a}', '{a}', true],
  ['q{1..12}', 'q12', true],
  ['q{01..12}', 'q03', true],
  ['q{01..12}', 'q3', false],
  ['\\*', '*', true],
  ['\\*', 'a', false],
  ['\\(1\\)', '(1)', true],
  ['!a*', 'b', true],
  ['!a*', 'ab', false],
  ['.*', '.a', true],
  ['*', '.a', true],
  ['2down/*@t=750,*', '2down/B@t=750,x=1', true],
])('%s on %s: %s', (glob, name, expected) => expect(matches(glob, name)).toBe(expected));

it('is what the usual library makes of it', () => {
  const glob = fc
    .array(fc.constantFrom('a', 'b', '*', '?', '/', '**/', '/**', '[ab]', '[^a]', '{a,bb}', '.', '_'), {
      minLength: 1,
      maxLength: 7,
    })
    .map(parts => parts.join(''))
    // Slashes at an end or beside another name nothing; stars beside stars mean different things to different tools.
    // For *.* alone, picomatch has a shortcut that wants something behind the dot; its own ?*.* does not, nor does bash.
    .filter(
      text =>
        !/^\/|\/$|\/\/|\*{2,}[^/]|[^/]\*{2,}/.test(text) &&
        !text.startsWith('./') &&
        text !== '.' &&
        !text.endsWith('*/**') &&
        !/^(?:\*\*\/)?\*\.\*$/.test(text),
    );
  const name = fc
    .array(fc.string({ unit: fc.constantFrom('a', 'b', '.', '_'), minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 4,
    })
    .map(parts => parts.join('/'))
    .filter(text => text.split('/').every(part => !/^\.+$/.test(part)));
  fc.assert(
    fc.property(glob, name, (pattern, text) => {
      const expected = picomatch(pattern, { basename: !pattern.includes('/'), dot: true })(text);
      expect([pattern, text, matches(pattern, text)]).toEqual([pattern, text, expected]);
    }),
    { numRuns: 3000 },
  );
});

describe('is refused with a reason, and before anything is matched', () => {
  it.each(['+(*)b', '(a+)+x', '@(a|b)', 'a|b', '!(a)', 'x/?(b)', 'q(1)'])('%s', glob =>
    expect(globProblem(glob)).toMatch(/^must not hold \( \) or \|/),
  );
  it.each(['{a,b}'.repeat(10), '{1..1000000000}', '{1..40}{1..40}'])('%s', glob =>
    expect(globProblem(glob)).toBe('must not stand for more than 1000 patterns'),
  );
  it('a glob of any length', () => expect(globProblem('*a'.repeat(1001))).toMatch(/longer than 2000/));
});

// Each of these takes an expression that backtracks longer than anybody waits.
it.each([
  ['*a*a*a*a*a*a*a*a*a*a*a*b', 'a'.repeat(4096)],
  [`${'*a'.repeat(900)}b`, 'a'.repeat(4096)],
  ['**/a/**/a/**/a/**/a/**/a/**/b', 'a/'.repeat(2000)],
  [`${'?*'.repeat(900)}b`, 'a'.repeat(4096)],
  [`${'[a-z]*'.repeat(300)}1`, 'a'.repeat(4096)],
  [`${'{a,aa}'.repeat(9)}*b`, 'a'.repeat(4096)],
  [`${'{1..1}'.repeat(300)}${'{a,b}'.repeat(9)}`, '1'.repeat(4096)],
  ['{'.repeat(2000), '{'.repeat(4096)],
  ['['.repeat(2000), '['.repeat(4096)],
] as const)('no glob takes long (%#)', (glob, name) => {
  const from = process.cpuUsage();
  if (globProblem(glob) === undefined) matches(glob, name);
  // In CPU time, which other work on the machine adds little to; one that backtracks takes years.
  expect(process.cpuUsage(from).user).toBeLessThan(1_000_000);
});
