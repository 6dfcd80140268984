import { appendFileSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { LogTail, LogVisitor } from '../../../src/core/log/scan/log-scan.js';
import { LogFollower, readLog } from '../../../src/io/log/follow.js';
import {
  errorGroup,
  normalGroup,
  scanChunks,
  skippedGroup,
  UNIT,
  watching,
} from '../../unit/log/log-samples.js';
import { scratch } from '../machine/processes.js';

function following(path: string): { follower: LogFollower; found: () => readonly string[] } {
  let found: string[] = [];
  const follower = new LogFollower(path, UNIT, () => {
    const mine: string[] = [];
    found = mine;
    return watching({
      group: ({ query }) => mine.push(query),
      partial: () => {},
      foreign: () => {},
      newer: () => {},
      unreadable: () => mine.push('unreadable'),
    });
  });
  return { follower, found: () => found };
}

describe('LogFollower', () => {
  it('reads what was appended since, also a record that was half there', async () => {
    const path = join(scratch(), 'log');
    const { follower, found } = following(path);
    expect(await follower.catchUp()).toBeUndefined();
    const [a, b] = [skippedGroup({ query: 'a' }), skippedGroup({ query: 'b' })];
    writeFileSync(path, Buffer.concat([a, b.subarray(0, 50)]));
    expect(await follower.catchUp()).toMatchObject({ goodEnd: a.length, tornBytes: 50 });
    expect(found()).toEqual(['a']);
    appendFileSync(path, b.subarray(50));
    expect(await follower.catchUp()).toMatchObject({ goodEnd: a.length + b.length, tornBytes: 0 });
    expect(found()).toEqual(['a', 'b']);
    await follower.catchUp();
    expect(found()).toEqual(['a', 'b']);
  });

  it('begins anew, with a visitor of its own, when the log was cut or replaced', async () => {
    const directory = scratch();
    const path = join(directory, 'log');
    const { follower, found } = following(path);
    writeFileSync(path, Buffer.concat([skippedGroup({ query: 'a' }), skippedGroup({ query: 'b' })]));
    await follower.catchUp();
    truncateSync(path, skippedGroup({ query: 'a' }).length);
    await follower.catchUp();
    expect(found()).toEqual(['a']);
    writeFileSync(
      join(directory, 'new'),
      Buffer.concat(['x', 'y', 'z'].map(query => skippedGroup({ query }))),
    );
    renameSync(join(directory, 'new'), path);
    await follower.catchUp();
    expect(found()).toEqual(['x', 'y', 'z']);
  });

  it('counts what a new run appended where the torn end of a dead one was cut off', async () => {
    const path = join(scratch(), 'log');
    const { follower, found } = following(path);
    const a = skippedGroup({ query: 'a' });
    writeFileSync(path, Buffer.concat([a, skippedGroup({ query: 'lost' }).subarray(0, 40)]));
    expect(await follower.catchUp()).toMatchObject({ tornBytes: 40 });
    truncateSync(path, a.length);
    appendFileSync(path, Buffer.concat(['b', 'c'].map(query => skippedGroup({ query, run: 'run2' }))));
    expect(await follower.catchUp()).toMatchObject({ tornBytes: 0 });
    expect(found()).toEqual(['a', 'b', 'c']);
  });

  it('forgets what a failed append took back', async () => {
    const path = join(scratch(), 'log');
    const { follower, found } = following(path);
    const [a, b, c] = ['a', 'b', 'c'].map(query => skippedGroup({ query })) as [Buffer, Buffer, Buffer];
    writeFileSync(path, Buffer.concat([a, b, c.subarray(0, 40)]));
    await follower.catchUp();
    expect(found()).toEqual(['a', 'b']);
    truncateSync(path, a.length);
    appendFileSync(path, Buffer.concat(['x', 'y', 'z'].map(query => skippedGroup({ query, run: 'run2' }))));
    await follower.catchUp();
    expect(found()).toEqual(['a', 'x', 'y', 'z']);
  });

  it('knows at every look what a fresh reader knows, whatever was appended, torn, cut and replaced', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('append' as const), n: fc.nat(3), kind: fc.nat(3) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant('tear' as const), keep: fc.nat(400), kind: fc.nat(3) }),
      },
      { weight: 3, arbitrary: fc.constant({ do: 'repair' as const }) },
      {
        weight: 2,
        arbitrary: fc.record({
          do: fc.constant('cut' as const),
          share: fc.double({ min: 0, max: 1, noNaN: true }),
        }),
      },
      { weight: 1, arbitrary: fc.constant({ do: 'nuls' as const }) },
      { weight: 1, arbitrary: fc.constant({ do: 'replace' as const }) },
      { weight: 6, arbitrary: fc.constant({ do: 'look' as const }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24 }), async steps => {
        const directory = scratch();
        const path = join(directory, 'log');
        writeFileSync(path, '');
        let mine: Noted = noted();
        const follower = new LogFollower(path, UNIT, () => {
          mine = noted();
          return watching(mine.visitor);
        });
        let run = 0;
        let query = 0;
        // Each process is a run of its own, and appends nothing more once something was cut.
        const group = (kind: number): Buffer => {
          query += 1;
          const head = { query: `q${query % 5}`, run: `run${run}` };
          if (kind === 0) return skippedGroup(head);
          if (kind === 1) return errorGroup(head);
          if (kind === 2) return normalGroup(head, ['{"a":1}', '{"a":"two"}', '{"a":3}']);
          return Buffer.from('{"somebody":"else"}\n');
        };
        for (const one of [...steps, { do: 'look' as const }]) {
          const log = readFileSync(path);
          if (one.do === 'append') {
            for (let n = 0; n <= one.n; n += 1) appendFileSync(path, group(one.kind));
          } else if (one.do === 'tear') appendFileSync(path, group(one.kind).subarray(0, one.keep));
          else if (one.do === 'nuls') appendFileSync(path, Buffer.alloc(17));
          else if (one.do === 'look') {
            const tail = await follower.catchUp();
            const fresh = noted();
            const freshTail: LogTail | undefined = await readLog(path, UNIT, watching(fresh.visitor));
            expect(tail).toEqual(freshTail);
            expect(mine.told).toEqual(fresh.told);
          } else {
            run += 1;
            if (one.do === 'repair') truncateSync(path, scanChunks([log]).goodEnd);
            if (one.do === 'cut') truncateSync(path, Math.floor(log.length * one.share));
            if (one.do === 'replace') {
              writeFileSync(join(directory, 'new'), group(0));
              renameSync(join(directory, 'new'), path);
            }
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

interface Noted {
  readonly told: unknown[];
  readonly visitor: LogVisitor;
}

function noted(): Noted {
  const told: unknown[] = [];
  const visitor: LogVisitor = {
    group: ({ query, run, outcome }, start, end) => told.push(['group', query, run, outcome, start, end]),
    partial: ({ query, run }, seen, start) => told.push(['partial', query, run, seen, start]),
    foreign: (start, unit) => told.push(['foreign', start, unit]),
    newer: (start, schema) => told.push(['newer', start, schema]),
    unreadable: (start, bytes) => told.push(['unreadable', start, bytes]),
  };
  return { told, visitor };
}
