import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DataInputs } from '../../../src/core/engines/data-note.js';
import { findData, findOldData } from '../../../src/io/engines/embedded/data/leftovers.js';
import { DataStore, type HeldData, readNote } from '../../../src/io/engines/embedded/data/store.js';
import {
  copyDataTree,
  diskUsage,
  removeRemainsOf,
  removeTreeAtOnce,
  syncTree,
} from '../../../src/io/files/file-tree.js';
import { FileLock } from '../../../src/io/files/flock.js';
import { failureOf, scratch } from '../machine/processes.js';

const ID = '0123456789abcdef';
const OWNER = { pid: process.pid, unit: 'u', log: '/nowhere/u.ndjson' };
const INPUTS: DataInputs = {
  chain: [{ file: '_setup.sql', fingerprint: 'aaaaaaaaaaaaaaaa' }],
  parameters: {},
  settings: {},
  engine: '3.4.0',
};
const AT = '2026-01-31T12:00:00.000Z';
const NEVER = new AbortController().signal;
const nobody = (): never => {
  throw new Error('nobody was to be waited for');
};

async function built(held: HeldData, content = 'rows'): Promise<void> {
  await held.locked(NEVER, nobody, async () => {
    const path = await held.newBuild();
    writeFileSync(join(path, 'data.txt'), content);
    await held.seal(path, INPUTS, ID, AT);
    await held.copy(path);
    await held.publish(path);
  });
}

describe('data by content', () => {
  it('is missing, then ready for the one who built it, and built for the next', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const first = await store.hold(ID, 'a', OWNER);
    expect(first.state()).toBe('missing');
    await built(first);
    expect(first.state()).toBe('ready');
    const second = await store.hold(ID, 'b', OWNER);
    expect(second.state()).toBe('built');
    await second.locked(NEVER, nobody, () => second.copy());
    expect(second.state()).toBe('ready');
    for (const held of [first, second]) {
      expect(readFileSync(join(held.directory, 'data.txt'), 'utf8')).toBe('rows');
      held.release();
    }
    expect(readdirSync(store.directory).sort()).toEqual([ID, `${ID}.lock`, `${ID}.units`]);
    expect(readNote(join(store.directory, ID))).toMatchObject({
      identity: ID,
      lasting: true,
      made_at: AT,
      ...INPUTS,
    });
  });

  it('what one writes into its copy nobody else gets', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const first = await store.hold(ID, 'a', OWNER);
    await built(first);
    writeFileSync(join(first.directory, 'data.txt'), 'changed');
    const second = await store.hold(ID, 'b', OWNER);
    await second.locked(NEVER, nobody, () => second.copy());
    expect(readFileSync(join(second.directory, 'data.txt'), 'utf8')).toBe('rows');
    // And it finds its own again.
    first.release();
    const again = await store.hold(ID, 'a', OWNER);
    expect([again.state(), readFileSync(join(again.directory, 'data.txt'), 'utf8')]).toEqual([
      'ready',
      'changed',
    ]);
  });

  it('a build that ended before its rename is none, and is removed by the next', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const dead = await store.hold(ID, 'a', OWNER);
    const path = await dead.newBuild();
    writeFileSync(join(path, 'data.txt'), 'half');
    await dead.seal(path, INPUTS, ID, AT);
    // Also its copy was there.
    await dead.copy(path);
    dead.release();
    const held = await store.hold(ID, 'a', OWNER);
    expect(held.state()).toBe('missing');
    await built(held, 'whole');
    expect(held.state()).toBe('ready');
    expect(readFileSync(join(held.directory, 'data.txt'), 'utf8')).toBe('whole');
    expect(readdirSync(store.directory).sort()).toEqual([ID, `${ID}.lock`, `${ID}.units`]);
  });

  it('a copy of data that was built once more does not count', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const first = await store.hold(ID, 'a', OWNER);
    await built(first, 'one');
    rmSync(join(store.directory, ID), { recursive: true });
    const second = await store.hold(ID, 'b', OWNER);
    await built(second, 'two');
    expect(first.state()).toBe('built');
  });

  it.each(['', '{"version":1}', 'null'])('a directory whose note is %j is none', async text => {
    const store = new DataStore(join(scratch(), 'data'));
    mkdirSync(join(store.directory, ID), { recursive: true });
    writeFileSync(join(store.directory, ID, 'qrun-data.json'), text);
    const held = await store.hold(ID, 'a', OWNER);
    expect(held.state()).toBe('missing');
    await built(held);
    expect(held.state()).toBe('ready');
  });

  it('data that ends with the process is noted, and gets a new place each time', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const held = await store.hold(ID, 'a', OWNER);
    await held.locked(NEVER, nobody, async () => {
      const path = await held.newBuild();
      await held.seal(path, INPUTS, ID, AT, false);
      await held.publish(path);
    });
    expect(held.state()).toBe('fleeting');
    const one = await held.newWork();
    const two = await held.newWork();
    expect([existsSync(one), existsSync(two)]).toEqual([false, true]);
    await held.discard(two);
    expect(readdirSync(join(store.directory, `${ID}.units`))).toEqual(['a.lock']);
  });

  it('a copy has one holder at a time, who is named', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const held = await store.hold(ID, 'a', OWNER);
    const { code, message } = await failureOf(store.hold(ID, 'a', OWNER));
    expect(code).toBe('DATA_LOCKED');
    expect(message).toContain(`pid ${process.pid} `);
    held.release();
    (await store.hold(ID, 'a', OWNER)).release();
  });

  it('a second builder waits, is told for whom, and finds what the first one made', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const first = await store.hold(ID, 'a', OWNER);
    const second = await store.hold(ID, 'b', OWNER);
    const told: string[] = [];
    let waiting: Promise<unknown> = Promise.resolve();
    await first.locked(NEVER, nobody, async () => {
      await new Promise<void>(resolve => {
        waiting = second.locked(
          NEVER,
          holder => {
            told.push(holder);
            resolve();
          },
          async () => second.state(),
        );
      });
      const path = await first.newBuild();
      await first.seal(path, INPUTS, ID, AT);
      await first.publish(path);
    });
    expect(await waiting).toBe('built');
    expect(told).toEqual([expect.stringContaining(`pid ${process.pid} `)]);
  });

  it('a signal ends the wait for another builder', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const first = await store.hold(ID, 'a', OWNER);
    const second = await store.hold(ID, 'b', OWNER);
    const stop = new AbortController();
    await first.locked(NEVER, nobody, () =>
      expect(
        second.locked(
          stop.signal,
          () => stop.abort('Ctrl-C'),
          async () => 'worked',
        ),
      ).rejects.toBe('Ctrl-C'),
    );
  });

  it('what cannot be written is said, and leaves no half of a copy', async () => {
    const root = scratch();
    writeFileSync(join(root, 'data'), '');
    expect(await failureOf(new DataStore(join(root, 'data')).hold(ID, 'a', OWNER))).toMatchObject({
      code: 'CONFIG',
      hint: expect.stringContaining('--data-dir'),
    });
    const store = new DataStore(join(root, 'other'));
    const held = await store.hold(ID, 'a', OWNER);
    expect(await failureOf(held.copy(join(root, 'none')))).toMatchObject({ code: 'SETUP_FAILED' });
    expect(readdirSync(join(store.directory, `${ID}.units`))).toEqual(['a.lock']);
    expect(await failureOf(held.publish(join(root, 'none')))).toMatchObject({ code: 'SETUP_FAILED' });
    expect(held.state()).toBe('missing');
  });
});

describe('a copy of a data directory', () => {
  function dataTree(): string {
    const root = join(scratch(), 'from');
    mkdirSync(join(root, 'store/part'), { recursive: true });
    mkdirSync(join(root, 'store/log'), { recursive: true });
    for (const name of ['checksums.txt', 'data.bin', 'data.cmrk4', 'primary.cidx', 'txn_version.txt'])
      writeFileSync(join(root, 'store/part', name), name);
    // An engine that appends to files with the same ending.
    for (const name of ['sizes.json', 'a.bin', '__marks.mrk'])
      writeFileSync(join(root, 'store/log', name), name);
    mkdirSync(join(root, 'metadata'));
    symlinkSync('../store/part', join(root, 'metadata/db'));
    return root;
  }

  const inode = (path: string): number => statSync(path).ino;

  it('shares what is never written to again, and nothing else', async () => {
    const from = dataTree();
    const to = `${from}-copy`;
    await copyDataTree(from, to);
    await syncTree(to);
    const shared = ['data.bin', 'data.cmrk4', 'primary.cidx'].map(name => `store/part/${name}`);
    const own = [
      'store/part/checksums.txt',
      'store/part/txn_version.txt',
      'store/log/a.bin',
      'store/log/__marks.mrk',
    ];
    for (const name of [...shared, ...own]) {
      expect(readFileSync(join(to, name))).toEqual(readFileSync(join(from, name)));
      expect(inode(join(to, name)) === inode(join(from, name)), name).toBe(shared.includes(name));
    }
    expect(readlinkSync(join(to, 'metadata/db'))).toBe('../store/part');
    expect(lstatSync(join(to, 'metadata/db')).isSymbolicLink()).toBe(true);
  });

  it('is never made over something that is there', async () => {
    const from = dataTree();
    mkdirSync(`${from}-copy`);
    await expect(copyDataTree(from, `${from}-copy`)).rejects.toMatchObject({ code: 'EEXIST' });
  });

  it('what is shared counts once', async () => {
    const root = scratch();
    writeFileSync(join(root, 'a'), Buffer.alloc(100_000));
    linkSync(join(root, 'a'), join(root, 'b'));
    const size = await diskUsage(root, new Set());
    expect(size).toBeGreaterThanOrEqual(100_000);
    expect(size).toBeLessThan(200_000);
    expect(await diskUsage(join(root, 'none'), new Set())).toBe(0);
  });

  it('is removed under another name, and what a dead one left is found', async () => {
    const root = scratch();
    const path = join(root, 'x');
    mkdirSync(path);
    mkdirSync(`${path}.new-1/deep`, { recursive: true });
    mkdirSync(`${path}.old-2`);
    mkdirSync(`${path}y.new-3`);
    await removeTreeAtOnce(path);
    await removeTreeAtOnce(path);
    expect(readdirSync(root).sort()).toEqual(['x.new-1', 'x.old-2', 'xy.new-3']);
    await removeRemainsOf(path);
    expect(readdirSync(root)).toEqual(['xy.new-3']);
  });
});

describe('leftovers of data', () => {
  async function storeWith(): Promise<DataStore> {
    const store = new DataStore(join(scratch(), 'data'));
    const held = await store.hold(ID, 'a', OWNER);
    await built(held);
    held.release();
    return store;
  }

  it('are old when nothing needs them, and go with all that belongs to them', async () => {
    const store = await storeWith();
    mkdirSync(join(store.directory, `${ID}.new-1`));
    const asked: unknown[] = [];
    const [leftover, ...others] = await findData(store.directory, (note, logs) => {
      asked.push([note?.identity, logs]);
      return false;
    });
    expect(others).toEqual([]);
    expect(asked).toEqual([[ID, [OWNER.log]]]);
    expect(leftover).toMatchObject({
      state: 'old',
      about: '_setup.sql for u',
      path: join(store.directory, ID),
    });
    expect(leftover?.sizeBytes).toBeGreaterThan(0);
    expect(await leftover?.remove()).toBeUndefined();
    expect(readdirSync(store.directory)).toEqual([]);
  });

  it('are current when a unit needs them', async () => {
    const store = await storeWith();
    expect(await findData(store.directory, () => true)).toMatchObject([{ state: 'current' }]);
  });

  it.each(['a copy', 'the data'])('are in use while somebody has %s, and stay', async what => {
    const store = await storeWith();
    const [before] = await findData(store.directory, () => false);
    const path =
      what === 'a copy'
        ? join(store.directory, `${ID}.units`, 'a.lock')
        : join(store.directory, `${ID}.lock`);
    const lock = await FileLock.open(path);
    await lock.tryAcquire();
    const [leftover] = await findData(store.directory, () => false);
    expect(leftover).toMatchObject({
      state: 'in use',
      holder: expect.stringContaining(`pid ${process.pid} `),
    });
    // Also when it was free as they were looked for.
    expect(await before?.remove()).toContain(`pid ${process.pid} `);
    const held = await store.hold(ID, 'b', OWNER);
    expect(held.state()).toBe('built');
    held.release();
    lock.close();
  });

  it('a lock that was removed with its data is no lock for who waited for it', async () => {
    const store = await storeWith();
    const [leftover] = await findData(store.directory, () => false);
    await leftover?.remove();
    const held = await store.hold(ID, 'a', OWNER);
    expect(held.state()).toBe('missing');
    await built(held);
    held.release();
  });

  it('a build that died is old, whatever it was for', async () => {
    const store = new DataStore(join(scratch(), 'data'));
    const held = await store.hold(ID, 'a', OWNER);
    await held.newBuild();
    held.release();
    expect(await findData(store.directory, () => true)).toMatchObject([
      { state: 'old', about: 'a setup that has not ended for u' },
    ]);
  });

  it('those of earlier versions are listed beside the new ones, and removed alone', async () => {
    const store = await storeWith();
    for (const name of ['store', 'metadata', 'data', 'tmp']) mkdirSync(join(store.directory, name));
    writeFileSync(join(store.directory, 'qrun-setup.json'), '{}');
    writeFileSync(join(store.directory, 'mine.txt'), '');
    const ofUnits = join(store.directory, '..', 'data-of');
    mkdirSync(join(ofUnits, 'a', 'store'), { recursive: true });
    const old = await findOldData(store.directory, ofUnits);
    expect(old.map(({ path, state }) => [path, state])).toEqual([
      [store.directory, 'old'],
      [join(ofUnits, 'a'), 'old'],
    ]);
    for (const leftover of old) expect(await leftover.remove()).toBeUndefined();
    expect(readdirSync(store.directory).sort()).toEqual([ID, `${ID}.lock`, `${ID}.units`, 'mine.txt']);
    expect(readdirSync(ofUnits)).toEqual([]);
    expect(await findOldData(store.directory, ofUnits)).toEqual([]);
  });

  it('one of an earlier version that is open stays', async () => {
    const directory = scratch();
    mkdirSync(join(directory, 'store'));
    const lock = await FileLock.open(join(directory, 'status'));
    await lock.tryAcquire();
    const [leftover] = await findOldData(directory, join(directory, 'none'));
    expect(leftover?.state).toBe('in use');
    expect(await leftover?.remove()).toContain(`pid ${process.pid} `);
    expect(existsSync(join(directory, 'store'))).toBe(true);
    lock.close();
  });

  it('there are none where there is nothing', async () => {
    expect(await findData('/nowhere', () => false)).toEqual([]);
    expect(await findOldData('/nowhere', '/nowhere')).toEqual([]);
  });
});
