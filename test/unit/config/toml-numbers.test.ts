import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { type NumberUse, readTomlNumbers } from '../../../src/core/config/toml-numbers.js';

const parseToml = (text: string): Record<string, unknown> => parse(text, { integersAsBigInt: true });

function read(text: string, use: NumberUse): Record<string, unknown> {
  return readTomlNumbers(text, parseToml, () => use).values;
}

describe('a number in TOML', () => {
  it.each<[string, string, string, number | bigint]>([
    // Written, as a setting, as a parameter, as a number of the configuration.
    ['8', '8', '8', 8],
    ['+8', '8', '8', 8],
    ['-0', '0', '0', 0],
    ['1_000', '1000', '1000', 1000],
    ['0x10', '16', '16', 16],
    ['0xDEAD_beef', '3735928559', '3735928559', 3735928559],
    ['0o17', '15', '15', 15],
    ['0b1_01', '5', '5', 5],
    ['9007199254740993', '9007199254740993', '9007199254740993', 9007199254740993n],
    ['18446744073709551615', '18446744073709551615', '18446744073709551615', 18446744073709551615n],
    ['-9223372036854775808', '-9223372036854775808', '-9223372036854775808', -9223372036854775808n],
    ['0xFFFF_FFFF_FFFF_FFFF', '18446744073709551615', '18446744073709551615', 18446744073709551615n],
    [
      '340282366920938463463374607431768211455',
      '340282366920938463463374607431768211455',
      '340282366920938463463374607431768211455',
      340282366920938463463374607431768211455n,
    ],
    ['1.5', '1.5', '1.5', 1.5],
    ['1.0', '1', '1.0', 1],
    ['1.10', '1.1', '1.10', 1.1],
    ['+0.10', '0.1', '0.10', 0.1],
    ['-0.0', '0', '-0.0', -0],
    ['1e3', '1000', '1e3', 1000],
    ['1_0.2_5E+1', '102.5', '10.25E+1', 102.5],
    ['1e22', '1e+22', '1e22', 1e22],
    ['1e-7', '1e-7', '1e-7', 1e-7],
    // Digits that a double does not hold.
    ['0.1234567890123456789', '0.1234567890123456789', '0.1234567890123456789', 0.12345678901234568],
    ['9007199254740993.0', '9007199254740993.0', '9007199254740993.0', 9007199254740992],
    ['1e400', '1e400', '1e400', Number.POSITIVE_INFINITY],
    ['inf', 'inf', 'inf', Number.POSITIVE_INFINITY],
    ['-inf', '-inf', '-inf', Number.NEGATIVE_INFINITY],
    ['+inf', 'inf', 'inf', Number.POSITIVE_INFINITY],
    ['nan', 'nan', 'nan', Number.NaN],
  ])('%s keeps its value', (written, setting, parameter, number) => {
    const text = `x = ${written} # ${written}\r\n[t]\r\nl = [ ${written},${written} ]\r\n`;
    const all = (value: unknown) => ({ x: value, t: { l: [value, value] } });
    expect(read(text, 'setting')).toEqual(all(setting));
    expect(read(text, 'parameter')).toEqual(all(parameter));
    expect(read(text, 'number')).toEqual(all(number));
  });

  it.each(['007', '1_', '_1', '1__0', '1.', '.5', '1e', '0x', '0xg', '0X10', '+0x10', '1,5', 'Inf', '1 000'])(
    '%s is none',
    written => {
      for (const text of [`x = ${written}`, `x = [${written}]`, `x = {a = ${written}}`]) {
        if (written === '1,5' && text.includes('[')) continue;
        expect(() => read(text, 'parameter')).toThrow('Invalid TOML document');
      }
    },
  );

  it('is told from keys, strings, comments and dates that look like one', () => {
    const text = `
1.0 = 2.0
"3.0" = "3.0" # 4.0 = "5.0
'6.0' = '6.0'
a.1 = 7.0
day = 2024-01-01
at = 2024-01-01 07:30:00.10
time = 07:30:00.10
long = """
8.0 = 8.0
""" # 8.0
four = """9.0""""
lit = '''
10.0 = [10.0]'''
empty = ""
none = ''
[11.0]
x = {1.0 = 12.0, b = [13.0, {2.0 = 14.0}, "15.0"], 'c' = "16.0", d = {}} # }
y = [ # 17.0
  18.0, [19.0], # ]
  20.0,
]
21.0 = 22.0
[[23.0]]
24 = 25.0
escaped = "a\\"26.0\\\\"
z = 27.0`;
    const wanted = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(wanted);
      if (typeof value === 'number') return value.toFixed(1);
      if (typeof value !== 'object' || value === null || value instanceof Date) return value;
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, wanted(one)]));
    };
    const { values, respelled } = readTomlNumbers(text, parseToml, () => 'parameter');
    expect(values).toEqual(wanted(parseToml(text)));
    expect(respelled.find(({ name }) => name === 'z')).toEqual({ name: 'z', written: '27.0', before: '27' });
  });

  it('is the only thing that is read differently from the parser', () => {
    const scalar = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.boolean(),
      fc.integer(),
      fc.double({ noNaN: true }),
      fc.constantFrom('1.0', '"""', "'", '#', '\n1 = 2', '1979-05-27'),
    );
    const { value } = fc.letrec(tie => ({
      value: fc.oneof({ depthSize: 'small' }, scalar, fc.array(scalar), tie('table')),
      table: fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('1.0', '1', '-5', 'inf')), tie('value')),
    }));
    const document = fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('1.0', '7')), value);
    fc.assert(
      fc.property(document, tree => {
        const text = stringify(tree);
        expect(read(text, 'number')).toEqual(parse(text));
      }),
      { numRuns: 200 },
    );
  });

  it('cannot be made by a text that looks like what marks one', () => {
    expect(read('a = "\\u0000number0"\nb = 1.50', 'parameter')).toEqual({ a: '\0number0', b: '1.50' });
    expect(read('a = "\\u0000number-0"\nb = 1.50', 'parameter')).toEqual({ a: '\0number-0', b: '1.50' });
  });

  it('is named with its place where the text around it is wrong', () => {
    try {
      read('a = 1.0\nbb = [1.50, 2.50, x]', 'parameter');
    } catch (error) {
      expect(error).toMatchObject({ line: 2, column: 19 });
    }
    expect.assertions(1);
  });
});

it('refuses what is nested deeper than anybody writes, before it takes the stack', () => {
  const deep = (levels: number) => `${'a.'.repeat(levels - 1)}a = 1\n`;
  expect(() => readTomlNumbers(deep(99), parseToml, () => 'number')).not.toThrow();
  for (const levels of [101, 3000]) {
    expect(() => readTomlNumbers(deep(levels), parseToml, () => 'number')).toThrow(
      /nested deeper than 100 levels/,
    );
  }
});

// A quote that opens no string is looked at once. Looking for its end again at each further quote took 33 s for this.
it.each([
  ['"', '\\"'],
  ["'", "\n'"],
  ["'''", "'\n"],
  ['"""', '\\"'],
  ['a = "', '\\"'],
])('a string without an end (%j, then many %j) costs no more than its length', (open, more) => {
  const text = open + more.repeat(200_000);
  const before = process.cpuUsage();
  try {
    read(text, 'number');
  } catch {
    // It is not TOML.
  }
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(1000);
});
