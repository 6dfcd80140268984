import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_ROW_BYTES, MAX_ROW_DEPTH, RowProof } from '../../../src/core/log/row-proof.js';

// Why the pieces are not rows; what is open at the end is a reason too.
function whyNot(pieces: readonly Buffer[]): string | undefined {
  const proof = new RowProof();
  for (const piece of pieces) {
    const fault = proof.take(piece);
    if (fault !== undefined) return fault.reason;
  }
  return proof.isOpen ? 'open' : undefined;
}

const faultOf = (text: string) => whyNot([Buffer.from(text)]);

// Cuts at these places, however often they come.
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map(place => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, index) => bytes.subarray(from, at[index] ?? bytes.length));
}

// What a line is by the parser of V8, and by the rules that are stricter than JSON.
function isRow(line: string): boolean {
  if (!/^\{.*\}$/s.test(line) || Buffer.from(line).some(byte => byte < 0x20)) return false;
  try {
    JSON.parse(line);
  } catch {
    return false;
  }
  // Escapes one after the other; what is left of pairs is half of one.
  const escapes = line.replaceAll(/\\[^u]/g, '').replaceAll(/\\u[dD][89abAB]..\\u[dD][c-fC-F]../g, '');
  return !/\\u[dD][89a-fA-F]/.test(escapes);
}

function areRows(text: string): boolean {
  const lines = text.split('\n');
  return lines.pop() === '' && lines.every(isRow);
}

const value = fc.letrec(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.constantFrom('0', '-0', '1', '-12', '0.5', '-1.25', '1e3', '1E+3', '12e-7', '18446744073709551615'),
    fc.constantFrom('true', 'false', 'null', '[]', '{}', '[ ]', '{ }', '[1 , 2]', '{"a" : [ 1 ]}'),
    fc.string({ unit: 'grapheme' }).map(text => JSON.stringify(text)),
    fc
      .string({ unit: 'binary', maxLength: 300 })
      .map(text => JSON.stringify(text.replace(/[\ud800-\udfff]/g, ''))),
    fc.constantFrom(
      '"\\u00e9\\ud83d\\uDE00\\/\\b\\f"',
      '"\\ud83d\\ude00"',
      `"${'x'.repeat(200)}"`,
      `"${'é'.repeat(90)}"`,
    ),
    fc.array(tie('value'), { maxLength: 4 }).map(items => `[${items.join(',')}]`),
    tie('object'),
  ),
  object: fc
    .array(fc.tuple(fc.string({ unit: 'grapheme', maxLength: 40 }), tie('value')), { maxLength: 4 })
    .map(entries => `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${item}`).join(',')}}`),
}));
const row = value.object as fc.Arbitrary<string>;
const places = fc.array(fc.nat(100_000), { maxLength: 12 });
// What a change puts in: bytes that mean something, and those that never do.
const piece = fc.oneof(
  fc.constantFrom(...'{}[],:"\\ \n\r\t\0\x1f\x7f0123456789-+.eEtfnulrNIa/b\ufeff'),
  fc.constantFrom(
    'nan',
    '-inf',
    '\\ud800',
    '\\udc00',
    '\\u12',
    '\\x',
    '},{',
    '"}',
    '{"a":1}',
    ',"unit":"x"',
    '01',
    '1.',
    '\n{',
  ),
);

describe('RowProof', () => {
  it('takes all rows that JSON.parse takes, in any pieces', () => {
    fc.assert(
      fc.property(fc.array(row, { maxLength: 4 }), places, (rows, where) => {
        const text = rows.map(line => `${line}\n`).join('');
        expect(areRows(text)).toBe(true);
        expect(faultOf(text)).toBeUndefined();
        expect(whyNot(cut(Buffer.from(text), where))).toBeUndefined();
      }),
      { numRuns: 2000 },
    );
  });

  it('tells rows from everything else as JSON.parse does, whatever is changed in them, in any pieces', () => {
    let taken = 0;
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 1, maxLength: 3 }),
        fc.array(fc.tuple(fc.nat(10_000), fc.nat(3), fc.oneof(fc.constant(''), piece)), {
          minLength: 1,
          maxLength: 3,
        }),
        places,
        (rows, changes, where) => {
          let text = rows.map(line => `${line}\n`).join('');
          for (const [at, removed, added] of changes) {
            const from = at % (text.length + 1);
            text = (text.slice(0, from) + added + text.slice(from + removed)).toWellFormed();
          }
          const expected = areRows(text);
          if (expected) taken += 1;
          const bytes = Buffer.from(text);
          expect(whyNot([bytes]) === undefined).toBe(expected);
          // The same words at the same place, however it is cut.
          expect(whyNot(cut(bytes, where))).toBe(whyNot([bytes]));
        },
      ),
      { numRuns: 20_000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  it('does the same with texts of any bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: piece, maxLength: 30 }), text => {
        const line = `{"a":${text.toWellFormed()}}\n`;
        expect(faultOf(line) === undefined).toBe(areRows(line));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each<[string, string, string]>([
    ['words', '{not json}\n', 'byte 2 of row 1 is "n" instead of a key or "}"'],
    ['another record', '{"a":1},"unit":"o","row":{"b":2}\n', 'byte 8 of row 1, after its end, is ","'],
    ['two objects', '{"a":1}{"a":2}\n', 'byte 8 of row 1, after its end, is "{"'],
    ['a blank behind', '{"a":1} \n', 'byte 8 of row 1, after its end, is 0x20'],
    ['a row in a CR', '{"a":1}\r{"x":2}\n', 'line 1 does not end with "}"'],
    ['a CR between', '{"a":1,\r"x":2}\n', 'byte 8 of row 1 is the control byte 0x0d'],
    ['a tab between', '{"a":\t1}\n', 'byte 6 of row 1 is the control byte 0x09'],
    ['NUL', '{"a":"\0"}\n', 'byte 7 of row 1 is the control byte 0x00'],
    ['a line end in a text', '{"a":"\n"}\n', 'byte 7 of row 1 is the control byte 0x0a'],
    [
      'a control byte late in a long text',
      `{"a":"${'x'.repeat(5000)}\x1f${'x'.repeat(500)}"}\n`,
      'byte 5007 of row 1 is the control byte 0x1f',
    ],
    ['an open array', '{"a":[1}\n', 'byte 8 of row 1 is "}" instead of "," or the end'],
    ['a crossed end', '{"a":[{"b":1]}}\n', 'byte 13 of row 1 is "]" instead of'],
    ['a trailing comma', '{"a":1,}\n', 'byte 8 of row 1 is "}" instead of a key'],
    ['a comma in an array', '{"a":[1,]}\n', 'byte 9 of row 1 is "]" instead of a value'],
    ['a leading zero', '{"a":01}\n', 'byte 7 of row 1 is "1" instead of what belongs to a number'],
    ['nan', '{"a":nan}\n', 'output_format_json_quote_denormals'],
    ['-inf', '{"a":-inf}\n', 'output_format_json_quote_denormals'],
    ['NaN', '{"a":[1,NaN]}\n', 'output_format_json_quote_denormals'],
    ['a half word', '{"a":nul}\n', 'byte 9 of row 1 is "}" instead of true, false or null'],
    ['an escape', '{"a":"\\x41"}\n', 'byte 8 of row 1 is "x" instead of one of'],
    [
      'digits of an escape',
      '{"a":"\\u12g4"}\n',
      'byte 11 of row 1 is "g" instead of what belongs to an escape',
    ],
    ['half a surrogate pair', '{"a":"\\ud800"}\n', 'surrogates in pairs'],
    ['its other half', '{"a":"\\udc00"}\n', 'surrogates in pairs'],
    ['a byte order mark', '\ufeff{"a":1}\n', 'line 1 does not begin with "{"'],
    ['an array', '[1]\n', 'line 1 does not begin with "{"'],
    ['a text that is not ASCII outside of one', '{"a":é}\n', 'byte 6 of row 1 is 0xc3 instead of a value'],
    ['the second row', '{"a":1}\n{"a":}\n', 'byte 6 of row 2 is "}" instead of a value'],
  ])('says what is wrong and where: %s', (_, text, reason) => {
    expect(faultOf(text)).toContain(reason);
    expect(whyNot([...Buffer.from(text)].map(byte => Buffer.of(byte)))).toBe(faultOf(text));
  });

  it('sees four bytes at once as it sees them one after the other: all pairs, at all places of the four', () => {
    for (const [begin, filler, end] of [
      ['{"a":"', 'x', '"}\n'],
      ['{"a":"', 'é', '"}\n'],
      ['{"a":', '7', '}\n'],
    ] as const) {
      for (let shift = 0; shift < 4; shift += 1) {
        const before = Buffer.from(begin + '7'.repeat(shift) + filler.repeat(24));
        const bytes = Buffer.from(`${before.toString()}00${filler.repeat(120)}${end}`);
        // Shorter pieces than those that are looked at in fours.
        const short = [bytes.subarray(0, 80), bytes.subarray(80, 160), bytes.subarray(160)];
        for (let pair = 0; pair < 65_536; pair += 1) {
          bytes.writeUInt16BE(pair, before.length);
          const expected = whyNot(short);
          const found = whyNot([bytes]);
          if (found !== expected) expect(`${pair}: ${found}`).toBe(`${pair}: ${expected}`);
        }
      }
    }
  });

  it('goes on where a slice of a long piece ends, wherever that is in a row', () => {
    const line = '{"a":[-1.25e+10,"\\u00e9\\ud83d\\ude00é",{"b" : [true,false , null,{}]}],"":0}\n';
    const wrong = '{"a":[1}\n';
    for (let shift = 0; shift <= Buffer.byteLength(line); shift += 1) {
      const first = `{"x":"${'y'.repeat(8192 - 9 - shift)}"}\n`;
      expect(faultOf(first + line)).toBeUndefined();
      expect(faultOf(first + line + wrong)).toContain('byte 8 of row 3 is "}"');
    }
  });

  it('takes a key twice, a key named __proto__, and no key at all', () => {
    expect(faultOf('{"a":1,"a":2}\n{"__proto__":{}}\n{"":null}\n{}\n')).toBeUndefined();
  });

  it.each(['[', '{"a":'])('has a limit of depth, with %s', open => {
    const nested = (levels: number) => {
      const close = open === '[' ? ']' : '}';
      return `{"a":${open.repeat(levels - 1)}1${close.repeat(levels - 1)}}\n`;
    };
    expect(faultOf(nested(MAX_ROW_DEPTH))).toBeUndefined();
    expect(faultOf(nested(MAX_ROW_DEPTH + 1))).toContain(
      `more than ${MAX_ROW_DEPTH} nested arrays and objects`,
    );
    expect(faultOf(`{"a":${'['.repeat(1_000_000)}`)).toContain(`more than ${MAX_ROW_DEPTH}`);
    // And comes back to where it was.
    const wide = `{"a":[${Array(3000).fill('[[{"b":[]}]]').join(',')}]}\n`;
    expect(faultOf(wide)).toBeUndefined();
  });

  it('has a limit of length, with the end of the row and without', () => {
    const proof = new RowProof();
    const chunk = Buffer.alloc(16 * 1024 * 1024, 'x');
    expect(proof.take(Buffer.from('{"a":"'))).toBeUndefined();
    let fault = proof.take(chunk);
    for (let sent = chunk.length; sent < MAX_ROW_BYTES - 1; sent += chunk.length) {
      expect(fault).toBeUndefined();
      fault = proof.take(chunk);
    }
    expect(fault).toEqual({ reason: `row 1 is longer than ${MAX_ROW_BYTES} bytes`, isTooLong: true });
  });

  it('says of each piece whether it holds more than ASCII', () => {
    const long = 'x'.repeat(300);
    for (const [text, expected] of [
      ['{"a":"x"}\n', false],
      [`{"a":"${long}"}\n`, false],
      ['{"ä":1}\n', true],
      [`{"a":"${long}ä${long}"}\n`, true],
      [`{"a":"${long}${long}ä"}\n`, true],
    ] as const) {
      const proof = new RowProof();
      expect(proof.take(Buffer.from(text))).toBeUndefined();
      expect(proof.sawNonAscii).toBe(expected);
    }
  });

  it.each<[string, string, string]>([
    ['quotes', '"', '1'],
    ['a text', '{"a":"', 'x'],
    ['a text that is not ASCII', '{"a":"', 'é'],
    ['a text with a control byte at its end', '{"a":"', `${'x'.repeat(99)}é`],
    ['escapes', '{"a":"', '\\"'],
    ['escaped surrogates', '{"a":"', '\\ud83d\\ude00'],
    ['short texts', '{"a":[', '"é",'],
    ['texts of a hundred bytes', '{"a":[', `"${'é'.repeat(50)}",`],
    ['numbers', '{"a":[', '1.5e9,'],
    ['a number', '{"a":', '1'],
    ['blanks', '{"a":', ' '],
    ['objects', '{"a":[', '{"b":{}},'],
    ['rows', '', '{}\n'],
  ])('takes 8 MB of %s in linear time', (_, begin, unit) => {
    const bytes = Buffer.concat([Buffer.from(begin), Buffer.alloc(8_000_000, unit), Buffer.from('\x01')]);
    const started = process.cpuUsage();
    whyNot([bytes]);
    whyNot(
      cut(
        bytes,
        Array.from({ length: 1000 }, (_, index) => index * 8_000),
      ),
    );
    const { user, system } = process.cpuUsage(started);
    // 5 ns for a byte; by the square it would be hours.
    expect((user + system) / 1000).toBeLessThan(2_000);
  });
});
