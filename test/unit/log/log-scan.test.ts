import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LogScanner } from '../../../src/core/log/scan/log-scan.js';
import type { RecordHead } from '../../../src/core/log/scan/record-head.js';
import {
  anyContent,
  anyHead,
  cutAt,
  encodeGroup,
  errorGroup,
  linesOf,
  naiveScan,
  normalGroup,
  scanChunks,
  skippedGroup,
  UNIT,
} from './log-samples.js';

const ROWS = ['{"a":1}', '{"a":2}', '{"a":3}'];
const anyGroup = fc.tuple(anyHead, anyContent).map(([head, content]) => encodeGroup(head, content));

// A record as another program prints it: parsed, keys in another order or with spaces.
function printedAgain(line: Buffer, style: 'compact' | 'spaced' | 'reversed'): Buffer {
  const value = JSON.parse(line.toString('utf8')) as Record<string, unknown>;
  const keys = style === 'reversed' ? Object.entries(value).reverse() : Object.entries(value);
  const text = JSON.stringify(Object.fromEntries(keys));
  return Buffer.from(`${style === 'spaced' ? text.replaceAll('":', '" : ') : text}\n`);
}

// The head of one group, cut, with a line of another writer glued to it.
function glued(group: Buffer, at: number, line: Buffer): Buffer {
  const first = linesOf(group)[0] as Buffer;
  const cut = 1 + (at % (first.length - 2));
  // A line that is exactly as long as what was cut off cannot be told from it by its length; that has a test of its
  // own. `line` may be several.
  const behind = linesOf(line)[0] as Buffer;
  const shift = cut + behind.length === first.length ? 1 : 0;
  return Buffer.concat([first.subarray(0, cut - shift), line]);
}

const pieceOfLog: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 6, arbitrary: anyGroup },
  // Some lines of a group, from any line on.
  {
    weight: 3,
    arbitrary: fc.tuple(anyGroup, fc.nat(4), fc.nat(4)).map(([group, from, count]) => {
      const lines = linesOf(group);
      return Buffer.concat(lines.slice(from % lines.length).slice(0, count));
    }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(anyGroup, fc.constantFrom('compact' as const, 'spaced' as const, 'reversed' as const))
      .map(([group, style]) => Buffer.concat(linesOf(group).map(line => printedAgain(line, style)))),
  },
  {
    weight: 1,
    arbitrary: anyGroup.map(group => Buffer.from(group.toString('utf8').replaceAll('\n', '\r\n'))),
  },
  { weight: 1, arbitrary: fc.tuple(anyGroup, fc.nat(), anyGroup).map(([a, at, b]) => glued(a, at, b)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anyHead, anyContent)
      .map(([head, content]) => encodeGroup({ ...head, unit: '2down/OTHER' }, content)),
  },
  {
    weight: 2,
    arbitrary: fc
      .constantFrom(
        '{}',
        '[]',
        '{"unit":"2down/BTCUSDT_750","query":"q"}',
        '1',
        '"x"',
        '',
        'garbage',
        '{"unit":"2d',
      )
      .map(line => Buffer.from(`${line}\n`)),
  },
  { weight: 1, arbitrary: fc.constant(Buffer.from('{"schema":2,"unit":"u","query":"q","part":1}\n')) },
  { weight: 2, arbitrary: fc.nat(5).map(nuls => Buffer.concat([Buffer.alloc(nuls + 1), Buffer.from('\n')])) },
);

const tornEnd: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
  {
    weight: 2,
    arbitrary: fc.tuple(anyGroup, fc.nat(2000)).map(([group, at]) => group.subarray(0, at % group.length)),
  },
  { weight: 1, arbitrary: fc.nat(300).map(bytes => Buffer.alloc(bytes)) },
);

const anyLog = fc
  .tuple(fc.array(pieceOfLog, { maxLength: 8 }), tornEnd)
  .map(([pieces, torn]) => Buffer.concat([...pieces, torn]));

describe('LogScanner', () => {
  it('finds what parsing every line finds, in any chunks', () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(anyLog, fc.array(fc.nat(6000), { maxLength: 12 }), (log, cuts) => {
        const { tail, ...found } = scanChunks(cutAt(log, cuts));
        for (const { kind } of found.findings) kinds.add(kind);
        kinds.add(tail.reason === undefined ? 'clean' : 'torn');
        expect(found).toEqual(naiveScan(log));
      }),
      { numRuns: 1500 },
    );
    // The logs must not all be of one sort.
    expect([...kinds].sort()).toEqual(
      ['clean', 'foreign', 'group', 'newer', 'partial', 'torn', 'unreadable'].sort(),
    );
  });

  it('finds the same however the log is cut, at each offset and byte by byte', () => {
    const log = Buffer.concat([
      normalGroup({ query: 'é"\\' }, ROWS),
      ...linesOf(normalGroup({ query: 'b' }, ROWS)).slice(0, 2),
      printedAgain(skippedGroup({ query: 'c' }), 'spaced'),
      Buffer.from('{"no":"record"}\r\nno json\n\0\0\n'),
      errorGroup({ query: 'd' }),
      normalGroup({ query: 'e', rerun: true }, ROWS).subarray(0, -7),
    ]);
    const expected = naiveScan(log);
    expect(expected.findings.map(({ kind }) => kind)).toEqual([
      'group',
      'partial',
      'group',
      'foreign',
      'unreadable',
      'unreadable',
      'group',
    ]);
    for (let at = 0; at <= log.length; at += 1) {
      const { tail: _, ...found } = scanChunks(cutAt(log, [at]));
      expect(found, `cut at ${at}`).toEqual(expected);
    }
    const { tail: _, ...found } = scanChunks([...log].map(byte => Buffer.of(byte)));
    expect(found).toEqual(expected);
  });

  it('leaves exactly the last group out when it is cut, at each byte', () => {
    const before = Buffer.concat([skippedGroup({ query: 'a' }), normalGroup({ query: 'b' }, ROWS)]);
    const last = normalGroup({ query: 'c' }, ROWS);
    for (let at = 0; at < last.length; at += 1) {
      const { findings, tail } = scanChunks([before, last.subarray(0, at)]);
      expect(findings.map(({ kind }) => kind)).toEqual(['group', 'group']);
      expect(tail).toMatchObject({ goodEnd: before.length, tornBytes: at });
      expect(tail.reason === undefined).toBe(at === 0);
    }
    expect(scanChunks([before, last]).tail).toEqual({
      goodEnd: before.length + last.length,
      tornBytes: 0,
      reason: undefined,
    });
  });

  it.each<[string, (group: Buffer) => Buffer, string]>([
    ['has no newline', group => group.subarray(0, -1), 'the last line has no end (255 bytes)'],
    ['lacks records', group => linesOf(group)[0] as Buffer, 'only 1 of 3 records of "q\\n"'],
    ['is NULs', () => Buffer.from('\0\0\n'), 'the last line holds NUL bytes'],
    ['is NULs without a newline', () => Buffer.from('\0\0'), 'the last line has no end (2 bytes)'],
  ])('says why an end that %s is torn', (_, torn, reason) => {
    const group = normalGroup({ query: 'q\n' }, ROWS);
    const { tail } = scanChunks([torn(group)]);
    expect(tail).toMatchObject({ goodEnd: 0, reason });
  });

  it('takes a record that is NULs inside for damage once something follows', () => {
    const nuls = Buffer.from(skippedGroup().toString('latin1').replace('run1', '\0\0\0\0'), 'latin1');
    expect(scanChunks([nuls]).tail).toMatchObject({ goodEnd: 0, tornBytes: nuls.length });
    const { findings, tail } = scanChunks([nuls, skippedGroup()]);
    expect(findings[0]).toEqual({ kind: 'unreadable', start: 0, bytes: nuls.length });
    expect(tail.tornBytes).toBe(0);
  });

  it('sees NULs at the end however the log is cut', () => {
    const good = skippedGroup();
    const torn = Buffer.concat([good.subarray(0, 20), Buffer.alloc(1), good.subarray(21)]);
    const log = Buffer.concat([good, torn, Buffer.from('\0\n'), torn]);
    for (let at = 0; at <= log.length; at += 1) {
      const { findings, tail } = scanChunks(cutAt(log, [at]));
      expect(findings, `cut at ${at}`).toHaveLength(1);
      expect(tail, `cut at ${at}`).toMatchObject({
        goodEnd: good.length,
        reason: 'the last line holds NUL bytes',
      });
    }
  });

  it('keeps what stands before a torn end where it is, though it is not whole', () => {
    // The half group has lines behind it, so it is no longer the tail: cutting it off later would take back what
    // the visitor was told.
    const half = linesOf(normalGroup({ query: 'a' }, ROWS))[0] as Buffer;
    const torn = linesOf(normalGroup({ query: 'b' }, ROWS))[0] as Buffer;
    const { findings, tail } = scanChunks([half, torn]);
    expect(findings).toMatchObject([{ kind: 'partial', start: 0, seen: 1 }]);
    expect(tail).toMatchObject({ goodEnd: half.length, tornBytes: torn.length });
  });

  it('does not join records of two attempts that look alike', () => {
    const [first] = linesOf(normalGroup({ query: 'a' }, ROWS.slice(0, 2)));
    const other = { attempt: 2, run: 'run2', fingerprint: '0000000000000000', rerun: true, query: 'b' };
    for (const [key, value] of Object.entries(other)) {
      const [, second] = linesOf(normalGroup({ query: 'a', [key]: value }, ROWS.slice(0, 2)));
      const { findings } = scanChunks([first as Buffer, second as Buffer]);
      expect(
        findings.map(({ kind }) => kind),
        key,
      ).toEqual(['partial', 'partial']);
    }
  });

  // By the length alone it could not be told from the record.
  it.each(['another run follows', 'a foreign line follows', 'nothing follows'])(
    'finds a torn record with a line glued to it that is exactly as long as what is missing: %s',
    what => {
      const line = Buffer.from('{"shell":"a","number":1}\n');
      const [torn, before] = [
        normalGroup({ query: 'torn', run: 'dead' }, ['{"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}']),
        skippedGroup(),
      ];
      const bad = Buffer.concat([torn.subarray(0, torn.length - line.length), line]);
      expect(bad).toHaveLength(torn.length);
      const behind = {
        'another run follows': skippedGroup({ query: 'next', run: 'another' }),
        'a foreign line follows': line,
        'nothing follows': Buffer.alloc(0),
      }[what] as Buffer;
      const log = Buffer.concat([before, bad, behind]);
      for (const chunkBytes of [1, 7, 100, log.length]) {
        const unreadable: [number, number][] = [];
        const scanner = new LogScanner(UNIT, {
          ...{ group: () => {}, partial: () => {}, foreign: () => {}, newer: () => {} },
          unreadable: (start, bytes) => unreadable.push([start, bytes]),
        });
        // In one buffer, as a reader of files does.
        const chunk = Buffer.alloc(chunkBytes);
        for (let at = 0; at < log.length; at += chunkBytes) {
          scanner.push(chunk.subarray(0, log.copy(chunk, 0, at, at + chunkBytes)));
        }
        scanner.tail();
        expect(unreadable).toEqual([[before.length, bad.length]]);
      }
    },
  );

  // The fast way compares such a record with the first of its group, and must see what the slow way sees.
  it.each<[string, (line: Buffer) => Buffer, string]>([
    [
      'is torn, with a line glued to it',
      line => Buffer.concat([line.subarray(0, -9), skippedGroup()]),
      'unreadable',
    ],
    [
      'has a newline in its middle',
      line => Buffer.from(line.toString().replace('{"a":2}', '{"a"\n2}')),
      'unreadable',
    ],
    ['lacks its last byte', line => Buffer.concat([line.subarray(0, -2), Buffer.from('\n')]), 'unreadable'],
    ['comes twice', line => Buffer.concat([line, line]), 'partial'],
    ['stands behind a line of NULs', line => Buffer.concat([Buffer.from('\0\n'), line]), 'unreadable'],
    ['stands behind a foreign line', line => Buffer.concat([Buffer.from('{}\n'), line]), 'foreign'],
    ['has a NUL', line => Buffer.from(line.toString().replace('"a":2', '"a":\0')), 'unreadable'],
    [
      'is of another attempt',
      line => Buffer.from(line.toString().replace('"attempt":1', '"attempt":2')),
      'partial',
    ],
    [
      'is of another run',
      line => Buffer.from(line.toString().replace('"run":"run1"', '"run":"run2"')),
      'partial',
    ],
    ['has other parts', line => Buffer.from(line.toString().replace('"parts":3', '"parts":4')), 'partial'],
  ])('does not take a record for one that continues a group when it %s', (_, spoil, kind) => {
    const [first, second, third] = linesOf(normalGroup({ query: 'a' }, ROWS)) as [Buffer, Buffer, Buffer];
    const log = Buffer.concat([first, spoil(second), third, skippedGroup({ query: 'z' })]);
    for (const chunkBytes of [log.length, 100, 1]) {
      const cuts = Array.from(
        { length: Math.floor(log.length / chunkBytes) },
        (_, i) => (i + 1) * chunkBytes,
      );
      const { findings, tail } = scanChunks(cutAt(log, cuts));
      expect(findings.map(found => found.kind)).toContain(kind);
      expect(findings).not.toContainEqual(expect.objectContaining({ kind: 'group', start: 0 }));
      expect({ findings, goodEnd: tail.goodEnd, tornBytes: tail.tornBytes }).toEqual({ ...naiveScan(log) });
    }
  });

  it('joins the records of a group of 200 lines, in any chunks', () => {
    const rows = Array.from({ length: 200 }, (_, i) => `{"a":${i}}`);
    const log = Buffer.concat([
      normalGroup({ query: 'é', rerun: true }, rows),
      normalGroup({ query: 'b' }, rows),
    ]);
    for (const chunkBytes of [log.length, 997, 251, 13]) {
      const cuts = Array.from(
        { length: Math.floor(log.length / chunkBytes) },
        (_, i) => (i + 1) * chunkBytes,
      );
      const { tail: _, ...found } = scanChunks(cutAt(log, cuts));
      expect(found).toEqual(naiveScan(log));
      expect(found.findings.map(({ kind }) => kind)).toEqual(['group', 'group']);
    }
  });

  it('gives the texts of a head during the visit only, never those of other bytes', () => {
    const kept: RecordHead[] = [];
    const ignore = (): void => {};
    const visitor = { partial: ignore, foreign: ignore, newer: ignore, unreadable: ignore };
    const scanner = new LogScanner(UNIT, { ...visitor, group: head => kept.push(head) });
    scanner.push(skippedGroup({ query: 'a' }));
    expect(kept[0]).toMatchObject({ part: 1, parts: 1, outcome: 'skipped', run: 'run1' });
    expect(() => kept[0]?.query).toThrow('after its visit');
  });

  it('goes on from where another scan ended', () => {
    const group = normalGroup({}, ROWS);
    const starts: number[] = [];
    const ignore = (): void => {};
    const visitor = { partial: ignore, foreign: ignore, newer: ignore, unreadable: ignore };
    const scanner = new LogScanner(UNIT, { ...visitor, group: (_, start) => starts.push(start) }, 1000);
    expect([scanner.position, scanner.tail().tornBytes]).toEqual([1000, 0]);
    scanner.push(group.subarray(0, 10));
    expect(scanner.tail()).toMatchObject({ goodEnd: 1000, tornBytes: 10 });
    scanner.push(group.subarray(10));
    expect([scanner.position, scanner.tail().goodEnd]).toEqual([1000 + group.length, 1000 + group.length]);
    expect(starts).toEqual([1000]);
  });
});

describe('LogScanner on long lines', () => {
  const MIB = 1024 * 1024;
  const chunksOf = (bytes: Buffer, size: number): Buffer[] =>
    cutAt(
      bytes,
      Array.from({ length: Math.floor(bytes.length / size) }, (_, i) => (i + 1) * size),
    );

  it('reads records of 9 MB over many chunks, whole and torn', () => {
    const row = `{"a":"${'x'.repeat(9e6)}"}`;
    const log = Buffer.concat([
      normalGroup({ query: 'a' }, [row, '{"b":1}']),
      normalGroup({ query: 'b' }, [row]),
    ]);
    const { findings, tail } = scanChunks(chunksOf(log, MIB));
    expect(findings).toMatchObject([
      { kind: 'group', head: { query: 'a', parts: 2 } },
      { kind: 'group', head: { query: 'b', parts: 1 } },
    ]);
    expect(tail.tornBytes).toBe(0);
    const torn = scanChunks(chunksOf(log.subarray(0, -1), MIB));
    expect(torn.findings).toHaveLength(1);
    expect(torn.tail.tornBytes).toBeGreaterThan(9e6);
    // Glued: what follows the torn line is longer than what it lacks.
    const damaged = scanChunks(chunksOf(Buffer.concat([log.subarray(0, -100), skippedGroup()]), MIB));
    expect(damaged.findings.map(({ kind }) => kind)).toEqual(['group', 'unreadable']);
  });

  it('parses a line of 20 MB in time proportional to its length, in chunks of 4 KiB', () => {
    const foreign = Buffer.from(`{"a":"${'é'.repeat(10e6)}"}\n`);
    const startedAt = performance.now();
    const { findings } = scanChunks(chunksOf(foreign, 4096));
    expect(findings).toEqual([{ kind: 'foreign', start: 0, unit: undefined }]);
    // Joining the line anew for each chunk would copy 50 GB.
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });

  it('reads a record of over 8 MiB only in the form in which it was written', () => {
    const [line] = linesOf(normalGroup({}, [`{"a":"${'x'.repeat(9e6)}"}`]));
    const again = Buffer.concat([(line as Buffer).subarray(0, -1), Buffer.from(' \n')]);
    const { findings } = scanChunks(chunksOf(again, MIB));
    expect(findings).toEqual([{ kind: 'unreadable', start: 0, bytes: again.length }]);
  });

  it('gives up on a line of over 256 MiB that is no record of the unit', () => {
    const chunk = Buffer.alloc(MIB, 'x');
    const unreadable: number[] = [];
    const ignore = (): void => {};
    const visitor = { group: ignore, partial: ignore, foreign: ignore, newer: ignore };
    const scanner = new LogScanner(UNIT, { ...visitor, unreadable: (_, bytes) => unreadable.push(bytes) });
    for (let i = 0; i < 257; i += 1) scanner.push(chunk);
    expect(scanner.tail().reason).toBe(`the last line has no end (${257 * MIB} bytes)`);
    scanner.push(Buffer.from('\n'));
    expect(unreadable).toEqual([257 * MIB + 1]);
  });
});
