import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FileLock, type FlockMechanism, lockHolder } from '../../../src/io/files/flock.js';
import { failureOf, scratch, startWorker, Worker } from '../machine/processes.js';

const MECHANISMS: readonly FlockMechanism[] = ['koffi', 'child'];
const FAR = { limitMs: 20_000 };

// A shell that holds the lock from its first line until it is told to go on.
const shell = (path: string, ...flags: string[]): Worker =>
  new Worker('flock', [...flags, path, 'sh', '-c', 'echo locked; read _; echo released']);

describe.each(MECHANISMS)('FileLock through %s', mechanism => {
  const open = (path: string): Promise<FileLock> => FileLock.open(path, mechanism);

  it('excludes others until it is released or closed, and may be taken again', async () => {
    const path = join(scratch(), 'a.lock');
    const [one, other] = [await open(path), await open(path)];
    expect(one.mechanism).toBe(mechanism);
    expect(await one.tryAcquire()).toBe(true);
    expect(await other.tryAcquire()).toBe(false);
    one.release();
    one.release();
    expect(await other.tryAcquire()).toBe(true);
    expect(await one.tryAcquire()).toBe(false);
    other.close();
    other.close();
    await one.acquire(FAR);
    one.close();
    expect(existsSync(path)).toBe(true);
  });

  it.each(MECHANISMS)('excludes another process that uses %s, and waits for it', async theirs => {
    const path = join(scratch(), 'a.lock');
    const lock = await open(path);
    const worker = startWorker('lock', path, theirs);
    expect(await worker.line()).toBe('locked');
    expect(await lock.tryAcquire()).toBe(false);
    const acquired = lock.acquire(FAR);
    worker.tell('go on');
    await acquired;
    expect(await worker.line()).toBe('released');
    lock.close();
  });

  it('is the lock that flock(1) takes in a shell, in both directions', async () => {
    const path = join(scratch(), 'a.lock');
    const lock = await open(path);
    const holder = shell(path);
    expect(await holder.line()).toBe('locked');
    expect(await lock.tryAcquire()).toBe(false);
    holder.tell('go on');
    await lock.acquire(FAR);
    expect(await new Worker('flock', ['-n', path, 'true']).ended).toBe(1);
    lock.release();
    expect(await new Worker('flock', ['-n', path, 'true']).ended).toBe(0);
    lock.close();
  });

  it('is free at once when its holder is killed', async () => {
    const path = join(scratch(), 'a.lock');
    const lock = await open(path);
    const worker = startWorker('lock', path, mechanism);
    expect(await worker.line()).toBe('locked');
    const acquired = lock.acquire(FAR);
    const killedAt = performance.now();
    worker.kill('SIGKILL');
    await acquired;
    expect(performance.now() - killedAt).toBeLessThan(2000);
    lock.close();
  });

  it('gives up on a stopped holder when the limit has passed', async () => {
    const path = join(scratch(), 'a.lock');
    const worker = startWorker('lock', path, mechanism);
    expect(await worker.line()).toBe('locked');
    worker.kill('SIGSTOP');
    const lock = await open(path);
    const startedAt = performance.now();
    const { code, message, hint } = await failureOf(lock.acquire({ limitMs: 300 }));
    const waitedMs = performance.now() - startedAt;
    expect(waitedMs).toBeGreaterThanOrEqual(300);
    expect(waitedMs).toBeLessThan(3000);
    // /proc/locks names the process that locked: with the child mechanism one that has ended, and in a container
    // nobody then.
    const holder =
      mechanism === 'koffi'
        ? `pid ${worker.pid} \\(.*node.*\\)`
        : '(?:pid \\d+ \\(ended; the file is still open in another process\\)|an unknown process)';
    expect(message).toMatch(new RegExp(`^${path} was not free within 0\\.3 s: held by ${holder}$`, 'i'));
    expect([code, hint]).toEqual(['LOCK_BUSY', expect.stringContaining('a stopped one keeps its lock')]);
    worker.kill('SIGCONT');
    worker.tell('go on');
    await lock.acquire(FAR);
    lock.close();
  });

  it('stops waiting when the signal aborts', async () => {
    const path = join(scratch(), 'a.lock');
    const [one, other] = [await open(path), await open(path)];
    await one.acquire(FAR);
    const stop = new AbortController();
    const waiting = other.acquire({ ...FAR, signal: stop.signal });
    stop.abort('stopped');
    await expect(waiting).rejects.toBe('stopped');
    await expect(other.acquire({ ...FAR, signal: stop.signal })).rejects.toBe('stopped');
    one.release();
    expect(await one.tryAcquire()).toBe(true);
    one.close();
    other.close();
  });

  it('is not given to a waiter on a lock file that was replaced', async () => {
    const directory = scratch();
    const path = join(directory, 'a.lock');
    const [first, waiter] = [await open(path), await open(path)];
    await first.acquire(FAR);
    let entered = false;
    const waiting = waiter.acquire(FAR).then(() => {
      entered = true;
    });
    renameSync(path, join(directory, 'old'));
    const second = await open(path);
    await second.acquire(FAR);
    // Now the waiter gets the old file, which is no longer the lock.
    first.close();
    while (fstatSync(waiter.fd).ino !== statSync(path).ino) await new Promise(setImmediate);
    expect(entered).toBe(false);
    second.release();
    await waiting;
    expect(await second.tryAcquire()).toBe(false);
    second.close();
    waiter.close();
  });

  it('is taken on the new file when the old one was removed', async () => {
    const path = join(scratch(), 'a.lock');
    const lock = await open(path);
    rmSync(path);
    await lock.acquire(FAR);
    expect(fstatSync(lock.fd).ino).toBe(statSync(path).ino);
    lock.close();
  });

  it('does not close a file of somebody else after its directory was removed', async () => {
    const directory = scratch();
    mkdirSync(join(directory, 'gone'));
    const lock = await open(join(directory, 'gone', 'a.lock'));
    rmSync(join(directory, 'gone'), { recursive: true });
    expect((await failureOf(lock.acquire(FAR))).code).toBe('LOCK_FAILED');
    const others = [0, 1, 2].map(i => openSync(join(directory, `other${i}`), 'w'));
    lock.close();
    for (const fd of others) {
      expect(fstatSync(fd).isFile()).toBe(true);
      closeSync(fd);
    }
  });

  it.each([
    ['a directory', 'it is a directory, not a regular file', '.'],
    ['in a directory that is missing', 'ENOENT', 'missing/a.lock'],
    ['below a file', 'ENOTDIR', 'file/a.lock'],
  ])('says why a lock file %s cannot be opened', async (_, reason, name) => {
    const directory = scratch();
    writeFileSync(join(directory, 'file'), '');
    const path = join(directory, name);
    const { code, message, hint } = await failureOf(open(path));
    expect([code, hint]).toEqual(['LOCK_FAILED', expect.stringContaining('--log-dir')]);
    expect(message).toMatch(new RegExp(`^cannot open the lock file ${path}: ${reason}`));
  });
});

describe('FileLock', () => {
  it('never has two holders, whatever mechanism they use', async () => {
    const directory = scratch();
    const [path, counter] = [join(directory, 'a.lock'), join(directory, 'counter')];
    writeFileSync(counter, '0');
    const times = { koffi: 300, child: 10 };
    const workers = [...MECHANISMS, ...MECHANISMS].map(mechanism => ({
      worker: startWorker('count', path, mechanism, counter, times[mechanism]),
      mechanism,
    }));
    for (const { worker } of workers) expect(await worker.line()).toBe('ready');
    for (const { worker } of workers) worker.tell('go on');
    for (const { worker } of workers) expect(await worker.line()).toBe('done');
    expect(readFileSync(counter, 'utf8')).toBe(String(2 * times.koffi + 2 * times.child));
  });

  it('ends with its process though a child of it lives on', async () => {
    const path = join(scratch(), 'a.lock');
    const worker = startWorker('parent', path);
    const orphan = Number(await worker.line());
    try {
      worker.kill('SIGKILL');
      await worker.ended;
      expect(() => process.kill(orphan, 0)).not.toThrow();
      const lock = await FileLock.open(path);
      expect(await lock.tryAcquire()).toBe(true);
      lock.close();
    } finally {
      process.kill(orphan, 'SIGKILL');
    }
  });

  it('can be tried without waiting through koffi alone', async () => {
    const path = join(scratch(), 'a.lock');
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)];
    const child = await FileLock.open(path, 'child');
    expect([one.tryAcquireNow(), other.tryAcquireNow(), child.tryAcquireNow()]).toEqual([
      true,
      false,
      undefined,
    ]);
    one.release();
    rmSync(path);
    // The file it would lock is no longer the lock file: the next try is on the new one.
    expect([other.tryAcquireNow(), other.tryAcquireNow()]).toEqual([false, true]);
    for (const lock of [one, other, child]) lock.close();
  });

  it('says what is missing where neither koffi nor the command flock can be had', async () => {
    const lock = await FileLock.open(join(scratch(), 'a.lock'), 'child');
    const { PATH } = process.env;
    process.env.PATH = '/nonexistent';
    try {
      const { code, message, hint } = await failureOf(lock.tryAcquire());
      expect([code, hint]).toEqual(['LOCK_FAILED', expect.stringContaining('util-linux')]);
      expect(message).toMatch(/^cannot lock: .*flock/);
    } finally {
      process.env.PATH = PATH;
      lock.close();
    }
  });

  it('says that a descriptor cannot be locked', async () => {
    const lock = await FileLock.open(join(scratch(), 'a.lock'));
    lock.close();
    const { code, message } = await failureOf(lock.tryAcquire());
    expect(code).toBe('LOCK_FAILED');
    expect(message).toMatch(/refuses flock\(2\) \(errno 9\)/);
  });
});

describe('lockHolder', () => {
  it('names who holds a lock, exclusive or shared, and nobody else', async () => {
    const directory = scratch();
    const path = join(directory, 'a.lock');
    writeFileSync(path, '');
    writeFileSync(join(directory, 'b.lock'), '');
    expect(lockHolder(path)).toBeUndefined();
    for (const flags of [['-x'], ['-s']]) {
      const holder = shell(path, ...flags);
      expect(await holder.line()).toBe('locked');
      expect(lockHolder(path)).toMatch(/^pid \d+ \((flock|sh)\)$/);
      expect(lockHolder(join(directory, 'b.lock'))).toBeUndefined();
      holder.tell('go on');
      await holder.ended;
    }
    expect(lockHolder(join(directory, 'missing'))).toBeUndefined();
  });
});
