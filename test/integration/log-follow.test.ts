import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LogFollower } from '../../src/io/log-read.js';
import { skippedGroup, UNIT } from '../unit/log-samples.js';
import { scratch } from './processes.js';

function following(path: string): { follower: LogFollower; found: () => readonly string[] } {
  let found: string[] = [];
  const follower = new LogFollower(path, UNIT, () => {
    const mine: string[] = [];
    found = mine;
    return {
      group: ({ query }) => mine.push(query),
      partial: () => {},
      foreign: () => {},
      newer: () => {},
      unreadable: () => mine.push('unreadable'),
    };
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
});
