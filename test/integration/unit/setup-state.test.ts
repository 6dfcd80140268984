import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  readSetupNote,
  removeSetupNote,
  syncData,
  withSetupLock,
  writeSetupNote,
} from '../../../src/io/engines/setup-state.js';
import { failureOf, scratch } from '../machine/processes.js';

describe('the note in a directory that the user manages', () => {
  it('is read as it was written, and is nothing for a fresh directory', async () => {
    const directory = scratch();
    expect(readSetupNote(directory)).toBeUndefined();
    await writeSetupNote(directory, '9f86d081884c7d65');
    expect(readSetupNote(directory)).toBe('9f86d081884c7d65');
    await removeSetupNote(directory);
    expect(readSetupNote(directory)).toBeUndefined();
    expect(readdirSync(directory)).toEqual([]);
    await removeSetupNote(join(directory, 'new'));
    expect(readdirSync(directory)).toEqual(['new']);
  });

  it.each([
    '',
    'null',
    '123',
    '[]',
    '"text"',
    '{"version":2}',
    '{"version":2,"identity":1}',
    '{"version":2,"identity":"9f86',
    // Of earlier versions, which could outlive a setup that failed.
    '{"_setup.sql":"9f86d081884c7d65"}',
  ])('counts as nothing when it is %j: the setup runs again', content => {
    const directory = scratch();
    writeFileSync(join(directory, 'qrun-setup.json'), content);
    expect(readSetupNote(directory)).toBeUndefined();
  });

  it('that cannot be removed or written ends the setup', async () => {
    const directory = scratch();
    mkdirSync(join(directory, 'qrun-setup.json', 'inside'), { recursive: true });
    expect(await failureOf(removeSetupNote(directory))).toMatchObject({ code: 'SETUP_FAILED' });
    expect(await failureOf(writeSetupNote(directory, 'x'))).toMatchObject({ code: 'SETUP_FAILED' });
    expect(await failureOf(syncData(join(directory, 'none')))).toMatchObject({ code: 'SETUP_FAILED' });
  });
});

const WAIT = { signal: new AbortController().signal };

describe('withSetupLock', () => {
  it('a wait ends with the signal, at once, and takes nothing', async () => {
    const root = scratch();
    const stop = new AbortController();
    const told: string[] = [];
    const waiting = () =>
      withSetupLock(root, async () => told.push('worked'), {
        signal: stop.signal,
        onWait: () => {
          told.push('waits');
          stop.abort('Ctrl-C');
        },
      });
    await withSetupLock(root, () => expect(waiting()).rejects.toBe('Ctrl-C'), WAIT);
    expect(told).toEqual(['waits']);
    expect(await withSetupLock(root, async () => 'free', WAIT)).toBe('free');
  });

  it('a signal that came before takes no lock', async () => {
    const root = scratch();
    const gone = AbortSignal.abort('Ctrl-C');
    await expect(withSetupLock(root, async () => 'done', { signal: gone })).rejects.toBe('Ctrl-C');
    expect(readdirSync(root)).toEqual([]);
  });

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
    const results = await Promise.all([1, 2, 3].map(value => withSetupLock(root, () => work(value), WAIT)));
    expect([results, most]).toEqual([[1, 2, 3], 1]);
    expect(readdirSync(join(root, '.qrun'))).toEqual([]);
  });

  it('gives up when another holds it for too long', async () => {
    const root = scratch();
    const { code, message } = await withSetupLock(
      root,
      () => failureOf(withSetupLock(root, async () => 'done', { ...WAIT, limitMs: 100 })),
      WAIT,
    );
    expect([code, message]).toEqual([
      'SETUP_FAILED',
      `another qrun is preparing this sweep's server: ${join(root, '.qrun', 'setup.lock')}`,
    ]);
  });

  it('passes the error of the work on, and is free afterwards', async () => {
    const root = scratch();
    await expect(withSetupLock(root, () => Promise.reject(new Error('no table')), WAIT)).rejects.toThrow(
      'no table',
    );
    expect(await withSetupLock(root, async () => 'free', WAIT)).toBe('free');
  });

  it('is taken over from a process that died', async () => {
    const root = scratch();
    const lock = join(root, '.qrun', 'setup.lock');
    mkdirSync(lock, { recursive: true });
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(lock, longAgo, longAgo);
    expect(await withSetupLock(root, async () => 'done', WAIT)).toBe('done');
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
    const { code, message } = await failureOf(withSetupLock(root, async () => 'done', WAIT));
    expect(code).toBe('SETUP_FAILED');
    expect(message).toMatch(reason);
    expect(message).not.toContain('another qrun');
  });
});
