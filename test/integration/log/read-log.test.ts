import { appendFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeRowless, type GroupHead, RecordEncoder } from '../../../src/core/log/record.js';
import { type LogRecord, readLog } from '../../../src/local/log/read-log.js';
import { scratch } from '../machine/processes.js';

const head = (query: string, more: Partial<GroupHead> = {}): GroupHead => ({
  unit: 'a "unit"/x',
  query,
  fingerprint: '0123456789abcdef',
  attempt: 1,
  run: 'r1',
  rerun: false,
  queryId: 'q',
  startedAtMs: 0,
  durationMs: 1,
  parameters: {},
  ...more,
});

function rows(query: string, lines: readonly string[], more: Partial<GroupHead> = {}): Buffer {
  const encoder = new RecordEncoder(head(query, more), lines.length, undefined);
  return Buffer.concat(encoder.encode(Buffer.from(lines.map(line => `${line}\n`).join(''))));
}

const skipped = (query: string): Buffer =>
  encodeRowless(head(query), { outcome: 'skipped', stats: undefined });

async function read(path: string): Promise<LogRecord[]> {
  const found: LogRecord[] = [];
  for await (const record of readLog(path)) found.push(record);
  return found;
}

const shown = (records: readonly LogRecord[]): unknown[] =>
  records.map(({ query, part, row }) => [query, part, row]);

describe('readLog', () => {
  it('yields the last whole group of each query, in the order of the log', async () => {
    const path = join(scratch(), 'u.ndjson');
    const torn = rows('d', ['{"x":1}', '{"x":2}']);
    const unfinished = rows('e', ['{"x":1}', '{"x":2}']);
    writeFileSync(
      path,
      Buffer.concat([
        rows('a', ['{"x":1}', '{"x":2}']),
        rows('b', ['{"x":3}']),
        rows('a', ['{"x":4}'], { run: 'r2', fingerprint: 'fedcba9876543210' }),
        rows('e', ['{"x":9}']),
        unfinished.subarray(0, unfinished.indexOf(10) + 1),
        skipped('c'),
        torn.subarray(0, -5),
      ]),
    );
    expect(shown(await read(path))).toEqual([
      ['b', 1, { x: 3 }],
      ['a', 1, { x: 4 }],
      ['c', 1, undefined],
    ]);
  });

  it('gives each line as it stands, whatever its row holds, from groups larger than a piece', async () => {
    const path = join(scratch(), 'u.ndjson');
    const strange = '{"n":18446744073709551615,"t":"a\u2028b\\n\u2029"}';
    const long = Array.from({ length: 3000 }, (_, n) => `{"n":${n},"t":"${'x'.repeat(1000)}"}`);
    writeFileSync(path, Buffer.concat([rows('s', [strange]), rows('long', long), rows('z', [strange])]));
    const records = await read(path);
    expect(records).toHaveLength(3002);
    expect(records[0]?.line.endsWith(`,"row":${strange}}`)).toBe(true);
    expect(records[0]).not.toHaveProperty('rest_bytes');
    expect(records[3000]).toMatchObject({ query: 'long', part: 3000, parts: 3000, row: { n: 2999 } });
    expect(records[3001]).toMatchObject({ query: 'z', row: { t: 'a\u2028b\n\u2029' } });
  });

  it('refuses what a run refuses, and a log that is not there', async () => {
    const path = join(scratch(), 'u.ndjson');
    await expect(read(path)).rejects.toMatchObject({ code: 'READ_FAILED' });
    writeFileSync(path, '');
    expect(await read(path)).toEqual([]);
    writeFileSync(path, rows('a', ['{"x":1}']));
    appendFileSync(path, 'no json\n');
    appendFileSync(path, rows('b', ['{"x":1}']));
    await expect(read(path)).rejects.toMatchObject({ code: 'LOG_DAMAGED' });
    writeFileSync(
      path,
      Buffer.concat([
        skipped('a'),
        encodeRowless(head('b', { unit: 'v' }), { outcome: 'skipped', stats: undefined }),
      ]),
    );
    await expect(read(path)).rejects.toMatchObject({ code: 'LOG_FOREIGN' });
  });

  it('reads the log as a run does, whatever it begins with', async () => {
    const path = join(scratch(), 'u.ndjson');
    const old = Buffer.from('{"query":"x","note":{"unit":"other"}}\n'.repeat(3000));
    writeFileSync(path, Buffer.concat([old, rows('a', ['{"x":1}'])]));
    expect(shown(await read(path))).toEqual([['a', 1, { x: 1 }]]);
    const written = JSON.parse(rows('a', ['{"x":2}']).toString()) as Record<string, unknown>;
    const { rest_bytes: _, unit, ...rest } = written;
    writeFileSync(path, `${JSON.stringify({ ...rest, unit }, undefined, 0)}\n`);
    expect(shown(await read(path))).toEqual([['a', 1, { x: 2 }]]);
    for (const [content, code] of [
      ['hello\nfoo\n', 'LOG_DAMAGED'],
      ['hello', 'LOG_UNUSABLE'],
      ['{"schema":9,"unit":"u","query":"q"}\n', 'LOG_SCHEMA'],
    ] as const) {
      writeFileSync(path, content);
      await expect(read(path)).rejects.toMatchObject({ code });
    }
    writeFileSync(path, rows('a', ['{"x":1}']).subarray(0, -5));
    expect(await read(path)).toEqual([]);
  });

  it('follows a link to a log, and says what cannot be read', async () => {
    const directory = scratch();
    const path = join(directory, 'u.ndjson');
    writeFileSync(path, rows('a', ['{"x":1}']));
    symlinkSync('u.ndjson', join(directory, 'link'));
    expect(shown(await read(join(directory, 'link')))).toEqual([['a', 1, { x: 1 }]]);
    await expect(read(directory)).rejects.toMatchObject({ code: 'READ_FAILED' });
    await expect(read(3 as unknown as string)).rejects.toMatchObject({ code: 'CONFIG' });
    const broken = Buffer.concat([rows('a', ['{"x":1}']), rows('a', ['{"x":2}']), rows('b', ['{"x":3}'])]);
    broken[broken.indexOf('"x":2') + 3] = 0x22;
    writeFileSync(path, broken);
    await expect(read(path)).rejects.toMatchObject({ code: 'LOG_DAMAGED' });
  });
});
