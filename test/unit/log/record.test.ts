import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeRowless,
  envelope,
  FINGERPRINT_DIGITS,
  RECORD_SCHEMA_VERSION,
  RecordEncoder,
} from '../../../src/core/log/record.js';
import { HeadReader, type LineHead } from '../../../src/core/log/scan/head-reader.js';
import { type RecordHead, readForeignLine } from '../../../src/core/log/scan/record-head.js';
import {
  anyContent,
  anyHead,
  anyRow,
  cutAt,
  encodeGroup,
  errorGroup,
  linesOf,
  normalGroup,
  outcomeOf,
  sampleHead,
  skippedGroup,
  UNIT,
} from './log-samples.js';

const text = (bytes: Buffer): string => bytes.toString('utf8');

describe('a record', () => {
  it('of a normal query has these bytes', () => {
    const head = sampleHead({ parameters: { threshold: '750', side: 'up' } });
    const encoder = new RecordEncoder(head, 2, { read_rows: 7, elapsed_ms: 1.5 });
    const group = Buffer.concat(encoder.encode(Buffer.from('{"n":1}\n{"n":18446744073709551615}\n')));
    const start = '{"unit":"2down/BTCUSDT_750","query":"q","part":';
    const middle =
      ',"parts":2,"outcome":"normal","fingerprint":"9f86d081884c7d65","attempt":1,"run":"run1","rest_bytes":';
    const rest =
      ',"query_id":"qrun-run1-1-1","started_at":"2026-01-31T12:00:00.123Z","duration_ms":12.4' +
      ',"params":{"side":"up","threshold":"750"}';
    expect(text(group)).toBe(
      `${start}1${middle}183${rest},"stats":{"read_rows":7,"elapsed_ms":1.5},"row":{"n":1}}\n` +
        `${start}2${middle}161${rest},"row":{"n":18446744073709551615}}\n`,
    );
  });

  it('of a skipped query has no row', () => {
    expect(text(skippedGroup())).toMatch(/"part":1,"parts":1,"outcome":"skipped",.*"duration_ms":12.4}\n$/);
  });

  it('of a failed query holds the whole message, escaped', () => {
    const message = 'Code: 62. DB::Exception:\n\t"quoted" \\ \u0000 \ud800 end';
    const error = { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent', message } as const;
    const line = encodeRowless(sampleHead(), { outcome: 'error', error });
    expect(linesOf(line)).toHaveLength(1);
    expect(JSON.parse(text(line)).error).toEqual(error);
    expect(line.includes(0)).toBe(false);
  });

  it('holds of a failure only what the format names', () => {
    const failure = {
      code: 0,
      name: 'TIMEOUT',
      kind: 'permanent',
      message: 'm',
      neverStarted: true,
    } as const;
    const line = encodeRowless(sampleHead(), { outcome: 'error', error: failure });
    expect(Object.keys(JSON.parse(text(line)).error)).toEqual(['code', 'name', 'kind', 'message']);
  });

  it('says that it was run again on purpose', () => {
    expect(text(skippedGroup({ rerun: true }))).toContain(',"run":"run1","rerun":true,"rest_bytes":');
    expect(text(skippedGroup())).not.toContain('rerun');
  });

  it.each([
    [0, '0'],
    [0.04, '0'],
    [12.35, '12.4'],
    [1e21, '1e+21'],
  ])('gives a duration of %d ms as %s', (durationMs, printed) => {
    expect(text(skippedGroup({ durationMs }))).toContain(`"duration_ms":${printed}}`);
  });

  it('leaves out stats that are empty', () => {
    const line = encodeRowless(sampleHead(), { outcome: 'skipped', stats: {} });
    expect(text(line)).not.toContain('stats');
  });
});

describe('the envelope of a record', () => {
  it('tells the time as Date does, whatever came before', () => {
    const times = fc.array(
      fc.oneof(fc.integer({ min: -1e12, max: 4e12 }), fc.double({ min: 0, max: 4e12, noNaN: true })),
    );
    fc.assert(
      fc.property(times, all => {
        for (const startedAtMs of all) {
          const { rest } = envelope(sampleHead({ startedAtMs }), 1, 'normal');
          expect(rest).toContain(`"started_at":"${new Date(startedAtMs).toISOString()}"`);
        }
      }),
    );
  });

  it('has the unit, run and parameters of its own head', () => {
    for (const value of ['a', 'b', 'b', 'a']) {
      const { before, middle, rest } = envelope(
        sampleHead({ unit: value, run: value, parameters: { p: value } }),
        1,
        'normal',
      );
      expect(before).toContain(`"unit":"${value}"`);
      expect(middle).toContain(`"run":"${value}"`);
      expect(rest).toContain(`"params":{"p":"${value}"}`);
    }
  });
});

describe('RecordEncoder', () => {
  it('gives the same bytes however the result is cut', () => {
    fc.assert(
      fc.property(
        anyHead,
        fc.array(anyRow, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat(400), { maxLength: 8 }),
        (head, rows, cuts) => {
          const result = Buffer.from(rows.map(row => `${row}\n`).join(''));
          const encoder = new RecordEncoder(head, rows.length, { read_rows: 7 });
          const pieces = cutAt(result, cuts).flatMap(chunk => encoder.encode(chunk));
          encoder.finish();
          expect(text(Buffer.concat(pieces))).toBe(text(normalGroup(head, rows)));
        },
      ),
    );
  });

  it('splices the bytes of each row into its record, and counts the rest of the line', () => {
    fc.assert(
      fc.property(anyHead, fc.array(anyRow, { minLength: 1, maxLength: 5 }), (head, rows) => {
        const lines = linesOf(normalGroup(head, rows));
        expect(lines).toHaveLength(rows.length);
        for (const [i, line] of lines.entries()) {
          expect(text(line).endsWith(`,"row":${rows[i]}}\n`)).toBe(true);
          const record = JSON.parse(text(line));
          expect(record).toMatchObject({ query: head.query, part: i + 1, parts: rows.length, run: head.run });
          expect(record.params ?? {}).toEqual(head.parameters);
          expect('stats' in record).toBe(i === 0);
          expectRestBytes(line);
        }
      }),
    );
  });

  it.each([
    ['fewer rows than announced', 2, '{"a":1}\n'],
    ['more rows than announced', 1, '{"a":1}\n{"a":2}\n'],
    ['a last row without an end', 1, '{"a":1}\n{"a"'],
    ['no row', 0, ''],
  ])('refuses a result with %s', (_, rows, bytes) => {
    const encoder = new RecordEncoder(sampleHead(), rows, undefined);
    encoder.encode(Buffer.from(bytes));
    expect(() => encoder.finish()).toThrow(/rows/);
  });
});

describe('HeadReader', () => {
  const headFields = fc.tuple(anyHead, anyContent);

  it('reads back what was written, whatever it read before', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(headFields, fc.nat(400)), { minLength: 1, maxLength: 6 }),
        fc.nat(5),
        (groups, padding) => {
          const reader = new HeadReader(UNIT);
          for (const [[head, content], tornAt] of groups) {
            for (const [i, line] of linesOf(encodeGroup(head, content)).entries()) {
              const buffer = Buffer.concat([Buffer.alloc(padding, '"'), line, Buffer.from('"')]);
              const end = padding + line.length - 1;
              // A head that is cut off must not spoil the next.
              const torn = reader.read(buffer, padding, Math.min(end, padding + tornAt));
              if (torn !== undefined && tornAt < line.length - 1) expect(torn.lineBytes).not.toBe(tornAt);
              expect(fieldsOf(reader.read(buffer, padding, end))).toEqual({
                query: wellFormed(head.query),
                part: i + 1,
                parts: 'rows' in content ? content.rows.length : 1,
                outcome: outcomeOf(content),
                fingerprint: head.fingerprint,
                attempt: head.attempt,
                run: wellFormed(head.run),
                rerun: head.rerun,
                lineBytes: line.length - 1,
              });
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('sees every changed byte up to the number of bytes', () => {
    const line = skippedGroup({ rerun: true });
    const formBytes = line.indexOf(',"query_id"');
    const reader = new HeadReader(UNIT);
    const written = fieldsOf(reader.read(line, 0, line.length - 1));
    for (let i = 0; i < formBytes; i += 1) {
      for (const byte of [0, 0x20, 0x22, 0x31, 0x5c, 0x7e, 0xff]) {
        if (line[i] === byte) continue;
        const broken = Buffer.from(line);
        broken[i] = byte;
        expect(fieldsOf(reader.read(broken, 0, broken.length - 1)), `byte ${i} as ${byte}`).not.toEqual(
          written,
        );
      }
    }
    expect(fieldsOf(reader.read(line, 0, line.length - 1))).toEqual(written);
  });

  it.each([
    ['an unknown outcome', '"skipped"', '"skippyd"'],
    ['part 0', '"part":1', '"part":0'],
    ['a part above parts', '"part":1', '"part":2'],
    ['attempt 0', '"attempt":1', '"attempt":0'],
    ['no number of bytes', /"rest_bytes":\d+/, '"rest_bytes":'],
    ['escapes that are none', '"query":"q"', '"query":"\\q"'],
  ])('gives nothing for %s', (_, from, to) => {
    const line = Buffer.from(text(skippedGroup()).replace(from, to));
    expect(new HeadReader(UNIT).read(line, 0, line.length - 1)).toBeUndefined();
  });

  it('gives nothing for another unit', () => {
    const line = skippedGroup();
    expect(new HeadReader('2down/BTCUSDT_75').read(line, 0, line.length - 1)).toBeUndefined();
  });
});

describe('readForeignLine', () => {
  const record = () => JSON.parse(text(skippedGroup())) as Record<string, unknown>;
  const read = (value: unknown) => readForeignLine(JSON.stringify(value), UNIT);

  it('reads a record that was printed again', () => {
    const reversed = Object.fromEntries(Object.entries(record()).reverse());
    expect(read({ ...reversed, rerun: true })).toEqual({
      kind: 'record',
      head: {
        query: 'q',
        part: 1,
        parts: 1,
        outcome: 'skipped',
        fingerprint: '9f86d081884c7d65',
        attempt: 1,
        run: 'run1',
        rerun: true,
      },
    });
  });

  it('tells records of another unit and of a later version from other JSON', () => {
    expect(read({ ...record(), unit: 'other' })).toEqual({ kind: 'other_unit', unit: 'other' });
    const schema = RECORD_SCHEMA_VERSION + 1;
    expect(read({ unit: 1, query: 2, schema })).toEqual({ kind: 'newer', schema });
    expect(read({ schema })).toEqual({ kind: 'foreign' });
    expect(read({ ...record(), schema: RECORD_SCHEMA_VERSION }).kind).toBe('record');
    expect(read([]).kind).toBe('foreign');
  });

  it.each(['', '{', '1', 'null', '"text"', '{"a":1}{"a":1}', 'nan'])('does not take %j for a line', line => {
    expect(readForeignLine(line, UNIT)).toEqual({ kind: 'unreadable' });
  });

  it.each([
    ['unit', 1],
    ['query', null],
    ['fingerprint', 1],
    ['run', undefined],
    ['part', 0],
    ['part', 2],
    ['part', 1.5],
    ['parts', '1'],
    ['parts', 2 ** 53],
    ['attempt', 0],
    ['outcome', 'ok'],
  ])('does not take a line whose %s is %j for a record', (key, value) => {
    expect(read({ ...record(), [key]: value })).toEqual({ kind: 'foreign' });
  });
});

describe('schema/record.schema.json', () => {
  const schema = JSON.parse(
    readFileSync(new URL('../../../schema/record.schema.json', import.meta.url), 'utf8'),
  );
  const validate = new Ajv2020({ strict: true, strictRequired: false, allErrors: true }).compile(schema);

  it('accepts every record that is written', () => {
    fc.assert(
      fc.property(anyHead, anyContent, (head, content) => {
        for (const line of linesOf(encodeGroup(head, content))) {
          validate(JSON.parse(text(line)));
          expect(validate.errors ?? []).toEqual([]);
        }
      }),
    );
  });

  it('describes every field, and names the same first ones as the encoder', () => {
    const rerun = JSON.parse(
      text(normalGroup({ rerun: true, server: 'http://a', parameters: { a: 'b' } }, ['{}'])),
    );
    const written = [...Object.keys(rerun), 'error'];
    expect(Object.keys(schema.properties)).toEqual(written);
    for (const [key, property] of Object.entries<{ description?: string }>(schema.properties)) {
      expect(property.description, key).toMatch(/\.$/);
    }
    expect(schema.properties.fingerprint.pattern).toBe(`^[0-9a-f]{${FINGERPRINT_DIGITS}}$`);
  });

  const normal = () => JSON.parse(text(normalGroup({}, ['{"a":1}'])));
  const skipped = () => JSON.parse(text(skippedGroup()));
  const failed = () => JSON.parse(text(errorGroup()));

  it.each<[string, () => object, Record<string, unknown>]>([
    ['a normal record without a row', normal, { row: undefined }],
    ['a normal record with an error', normal, { error: failed().error }],
    ['a row that is no object', normal, { row: [1] }],
    ['a skipped record with a row', skipped, { row: {} }],
    ['a skipped record with an error', skipped, { error: failed().error }],
    ['a skipped record in two parts', skipped, { parts: 2 }],
    ['a failed record without an error', failed, { error: undefined }],
    ['a failed record with a row', failed, { row: {} }],
    ['a failed record with stats', failed, { stats: { read_rows: 1 } }],
    ['a failed record in two parts', failed, { parts: 2 }],
    ['an error without a message', failed, { error: { code: 1, name: 'A', kind: 'unknown' } }],
    ['an error of another kind', failed, { error: { ...failed().error, kind: 'fatal' } }],
    ['an error with more fields', failed, { error: { ...failed().error, stack: '' } }],
    ['stats in a later part', normal, { part: 2, parts: 2 }],
    ['stats that nobody knows', normal, { stats: { rows: 1 } }],
    ['empty stats', normal, { stats: {} }],
    ['rerun that is false', normal, { rerun: false }],
    ['a parameter that is no text', normal, { params: { a: 1 } }],
    ['empty parameters', normal, { params: {} }],
    ['a time without a zone', normal, { started_at: '2026-01-31T12:00:00.123' }],
    ['a fingerprint in capitals', normal, { fingerprint: '9F86D081884C7D65' }],
    ['an unknown field', normal, { note: 'x' }],
    ['a negative duration', normal, { duration_ms: -1 }],
    ...[
      'unit',
      'query',
      'part',
      'parts',
      'outcome',
      'fingerprint',
      'attempt',
      'run',
      'rest_bytes',
      'query_id',
    ]
      .concat('started_at', 'duration_ms')
      .map((key): [string, () => object, Record<string, unknown>] => [
        `a record without ${key}`,
        normal,
        { [key]: undefined },
      ]),
    ...['part', 'parts', 'attempt', 'rest_bytes'].flatMap(key =>
      [0, 1.5, '1'].map((value): [string, () => object, Record<string, unknown>] => [
        `${key} ${value}`,
        normal,
        { [key]: value },
      ]),
    ),
  ])('refuses %s', (_, base, change) => {
    expect(validate(base())).toBe(true);
    expect(validate(JSON.parse(JSON.stringify({ ...base(), ...change })))).toBe(false);
  });
});

// JSON escapes half a surrogate pair, so that it survives; UTF-8 alone would not carry it.
function wellFormed(name: string): string {
  return JSON.parse(JSON.stringify(name)) as string;
}

function expectRestBytes(line: Buffer): void {
  const key = Buffer.from(',"rest_bytes":');
  const digits = line.indexOf(key, line.indexOf('"attempt":')) + key.length;
  const after = line.indexOf(',', digits);
  const announced = Number(line.toString('latin1', digits, after));
  expect(announced).toBe(line.length - 1 - after);
}

function fieldsOf(head: LineHead | undefined): (RecordHead & { readonly lineBytes: number }) | undefined {
  if (head === undefined) return undefined;
  const { query, part, parts, outcome, fingerprint, attempt, run, rerun, lineBytes } = head;
  return { query, part, parts, outcome, fingerprint, attempt, run, rerun, lineBytes };
}
