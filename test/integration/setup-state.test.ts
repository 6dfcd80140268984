import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAppliedSetup, withSetupLock, writeAppliedSetup } from '../../src/io/setup-state.js';
import { failureOf, scratch } from './processes.js';

const APPLIED = { '_setup.sql': '9f86d081884c7d65', '2down/_setup.sql': '0000000000000000' };

describe('the note of what was applied', () => {
  it('is read as it was written, and is nothing for a fresh directory', async () => {
    const directory = scratch();
    expect(readAppliedSetup(directory)).toEqual({});
    await writeAppliedSetup(directory, APPLIED);
    expect(readAppliedSetup(directory)).toEqual(APPLIED);
    await writeAppliedSetup(directory, {});
    expect(readAppliedSetup(directory)).toEqual({});
    expect(readdirSync(directory)).toEqual(['qrun-setup.json']);
  });

  it.each(['', 'null', '123', '[]', '"text"', '{"_setup.sql":1}', '{"_setup.sql":"9f86'])(
    'counts as nothing when it is %j: the setup runs again',
    content => {
      const directory = scratch();
      writeFileSync(join(directory, 'qrun-setup.json'), content);
      expect(readAppliedSetup(directory)).toEqual({});
    },
  );
});

describe('withSetupLock', () => {
  it('lets one work at a time, gives its result, and is free afterwards', async () => {
    const root = scratch();
    let inside = 0;
    let most = 0;
    const work = async (value: number): Promise<number> => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise(setImmediate);
      inside -= 1;
      return value;
    };
    const results = await Promise.all([1, 2, 3].map(value => withSetupLock(root, () => work(value))));
    expect([results, most]).toEqual([[1, 2, 3], 1]);
    expect(readdirSync(join(root, '.qrun'))).toEqual([]);
  });

  it('gives up when another holds it for too long', async () => {
    const root = scratch();
    const { code, message } = await withSetupLock(root, () =>
      failureOf(withSetupLock(root, async () => 'done', 100)),
    );
    expect([code, message]).toEqual([
      'SETUP_FAILED',
      `another qrun prepares this sweep's server: ${join(root, '.qrun', 'setup.lock')}`,
    ]);
  });

  it('passes the error of the work on, and is free afterwards', async () => {
    const root = scratch();
    await expect(withSetupLock(root, () => Promise.reject(new Error('no table')))).rejects.toThrow(
      'no table',
    );
    expect(await withSetupLock(root, async () => 'free')).toBe('free');
  });

  it('is taken over from a process that died', async () => {
    const root = scratch();
    const lock = join(root, '.qrun', 'setup.lock');
    mkdirSync(lock, { recursive: true });
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    expect(await withSetupLock(root, async () => 'done')).toBe('done');
  });

  it.each<[string, RegExp, (root: string) => void]>([
    [
      'when its directory cannot be made',
      /\.qrun.*: (ENOTDIR|EEXIST)/,
      root => writeFileSync(join(root, '.qrun'), ''),
    ],
    [
      'when it cannot be made',
      /setup\.lock.*: ENOTDIR/,
      root => {
        mkdirSync(join(root, '.qrun'));
        writeFileSync(join(root, '.qrun', 'setup.lock'), '');
        utimesSync(join(root, '.qrun', 'setup.lock'), 0, 0);
      },
    ],
  ])('says what is wrong %s, and blames no other qrun', async (_, reason, spoil) => {
    const root = scratch();
    spoil(root);
    const { code, message } = await failureOf(withSetupLock(root, async () => 'done'));
    expect(code).toBe('SETUP_FAILED');
    expect(message).toMatch(reason);
    expect(message).not.toContain('another qrun');
  });
});
