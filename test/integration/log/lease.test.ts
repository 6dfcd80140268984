import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FlockMechanism } from '../../../src/io/files/flock.js';
import { leaseHolder, readOwner, takeLease } from '../../../src/io/log/lease.js';
import {
  CAN_MOUNT,
  failureOf,
  openFilesIn,
  scratch,
  startWorker,
  Worker,
  withSmallDisk,
} from '../machine/processes.js';

const OWNER = { pid: 4242, host: 'host7', run: 'run1', since: '2026-01-31T12:00:00.000Z' };
const UNIT = '2down/BTCUSDT_750';
const freshPath = (): string => join(scratch(), 'x.ndjson');

describe.each<FlockMechanism>(['koffi', 'child'])('a lease through %s', mechanism => {
  it('is held by one until it is released, and names the owner meanwhile', async () => {
    const log = freshPath();
    const lease = await takeLease(log, UNIT, OWNER, mechanism);
    expect(readOwner(`${log}.lease`)).toEqual(OWNER);
    const { code, message, hint } = await failureOf(takeLease(log, UNIT, { ...OWNER, pid: 1 }, mechanism));
    expect([code, hint]).toEqual(['UNIT_RUNNING', expect.stringContaining('wait for it')]);
    expect(message).toBe(
      `the unit "${UNIT}" is running: pid 4242 on host7 since 2026-01-31T12:00:00.000Z (run run1)`,
    );
    // The ones that were refused changed nothing, and keep nothing.
    expect(openFilesIn(dirname(log))).toEqual([`${log}.lease`]);
    expect(readOwner(`${log}.lease`)).toEqual(OWNER);
    lease.release();
    lease.release();
    expect(readOwner(`${log}.lease`)).toBeUndefined();
    (await takeLease(log, UNIT, OWNER, mechanism)).release();
  });

  it('is another one for another unit', async () => {
    const directory = scratch();
    const leases = await Promise.all(
      ['a', 'b'].map(name => takeLease(join(directory, name), name, OWNER, mechanism)),
    );
    for (const lease of leases) lease.release();
  });
});

describe('a lease', () => {
  it('of another process is free at once when that is killed, and names it until then', async () => {
    const log = freshPath();
    const worker = startWorker('lease', log, UNIT, 'run7');
    expect(await worker.line()).toBe('taken');
    const { message } = await failureOf(takeLease(log, UNIT, OWNER));
    expect(message).toContain(`pid ${worker.pid} on host7 since`);
    worker.kill('SIGSTOP');
    expect((await failureOf(takeLease(log, UNIT, OWNER))).code).toBe('UNIT_RUNNING');
    worker.kill('SIGKILL');
    await worker.ended;
    const lease = await takeLease(log, UNIT, OWNER);
    // What the dead one wrote does not shine through.
    expect(JSON.parse(readFileSync(`${log}.lease`, 'utf8'))).toEqual(OWNER);
    lease.release();
  });

  it.each([
    ['nothing', ''],
    ['half of it', '{"pid":4242,"ho'],
    ['other fields', '{"pid":"x"}'],
    ['too few fields', '{"pid":4242,"host":"host7"}'],
    ['NUL bytes', '\0\0\0'],
  ])('whose file holds %s is held all the same', async (_, content) => {
    const log = freshPath();
    writeFileSync(`${log}.lease`, content);
    const holder = new Worker('flock', [`${log}.lease`, 'sh', '-c', 'echo locked; read _']);
    expect(await holder.line()).toBe('locked');
    const { code, message } = await failureOf(takeLease(log, UNIT, OWNER));
    expect([code, message]).toEqual([
      'UNIT_RUNNING',
      `the unit "${UNIT}" is running: its owner is just starting`,
    ]);
    holder.tell('go on');
    await holder.ended;
    const lease = await takeLease(log, UNIT, OWNER);
    expect(readOwner(`${log}.lease`)).toEqual(OWNER);
    lease.release();
  });

  it.each(['null', '123', 'alias ll="ls -l"\n', '\n\nexport PATH\n'])(
    'is not taken in a file that qrun has not begun: %j',
    async content => {
      const log = freshPath();
      writeFileSync(`${log}.lease`, content);
      const { code, message } = await failureOf(takeLease(log, UNIT, OWNER));
      expect([code, message]).toEqual([
        'WRITE_FAILED',
        expect.stringContaining('not a file that qrun created'),
      ]);
      expect(readFileSync(`${log}.lease`, 'utf8')).toBe(content);
    },
  );

  it('is taken by exactly one of many who want it at once', async () => {
    const log = freshPath();
    const tries = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => takeLease(log, UNIT, { ...OWNER, pid: i + 1 })),
    );
    const taken = tries.filter(result => result.status === 'fulfilled');
    expect(taken).toHaveLength(1);
    for (const result of taken) result.value.release();
  });

  it('says why its file cannot be opened', async () => {
    const { code, message } = await failureOf(takeLease(join(scratch(), 'missing', 'x'), UNIT, OWNER));
    expect([code, message]).toEqual(['LOCK_FAILED', expect.stringMatching(/x\.lease: ENOENT/)]);
  });

  it.runIf(CAN_MOUNT)('on a full disk is not taken, and not held', async () => {
    await withSmallDisk(async directory => {
      const log = join(directory, 'x.ndjson');
      expect(() => writeFileSync(join(directory, 'filler'), Buffer.alloc(2e6))).toThrow(/ENOSPC/);
      for (let i = 0; i < 2; i += 1) {
        const { code, message } = await failureOf(takeLease(log, UNIT, OWNER));
        expect([code, message]).toEqual(['WRITE_FAILED', expect.stringMatching(/x\.ndjson\.lease: ENOSPC/)]);
      }
    });
  });
});

describe('leaseHolder', () => {
  // Two fresh disks in memory give their first files the same inode.
  async function withTwins(work: (log: string, twin: string) => Promise<void>): Promise<void> {
    await withSmallDisk(async one => {
      await withSmallDisk(async other => {
        const [log, twin] = [join(one, 'x.ndjson'), join(other, 'twin')];
        writeFileSync(`${log}.lease`, '');
        writeFileSync(twin, '');
        expect(statSync(twin).ino).toBe(statSync(`${log}.lease`).ino);
        await work(log, twin);
      });
    });
  }

  async function lockedBy(path: string): Promise<Worker> {
    const holder = new Worker('flock', [path, 'sh', '-c', 'echo locked; read _']);
    expect(await holder.line()).toBe('locked');
    return holder;
  }

  it.runIf(CAN_MOUNT)('takes no lock of a file on another disk for one on the lease', async () => {
    await withTwins(async (log, twin) => {
      await lockedBy(twin);
      expect(await leaseHolder(log)).toBeUndefined();
      // Also with the name of an owner that was killed.
      writeFileSync(`${log}.lease`, `${JSON.stringify(OWNER)}\n`);
      expect(await leaseHolder(log)).toBeUndefined();
      const lease = await takeLease(log, UNIT, OWNER);
      expect(await leaseHolder(log)).toContain('pid 4242 on host7');
      lease.release();
    });
  });

  it.runIf(CAN_MOUNT)('finds its own lock beside one of the same inode', async () => {
    await withTwins(async (log, twin) => {
      await lockedBy(twin);
      await lockedBy(`${log}.lease`);
      expect(await leaseHolder(log)).toBe('its owner is just starting');
    });
  });

  it.runIf(CAN_MOUNT)('knows a lease on an overlay, where the table names other devices', async () => {
    const [lower, merged] = [scratch(), scratch()];
    await withSmallDisk(async disk => {
      for (const name of ['upper', 'work']) mkdirSync(join(disk, name));
      writeFileSync(join(lower, 'x.ndjson.lease'), '');
      const options = `lowerdir=${lower},upperdir=${join(disk, 'upper')},workdir=${join(disk, 'work')}`;
      execFileSync('mount', ['-t', 'overlay', '-o', options, 'overlay', merged]);
      try {
        const log = join(merged, 'x.ndjson');
        expect(await leaseHolder(log)).toBeUndefined();
        const lease = await takeLease(log, UNIT, OWNER);
        expect(await leaseHolder(log)).toContain('pid 4242 on host7');
        lease.release();
        expect(await leaseHolder(log)).toBeUndefined();
      } finally {
        execFileSync('umount', ['-l', merged]);
      }
    });
  });

  it('trusts the lock, not the name that a killed owner left', async () => {
    const log = freshPath();
    expect(await leaseHolder(log)).toBeUndefined();
    writeFileSync(`${log}.lease`, `${JSON.stringify(OWNER)}\n`);
    expect(await leaseHolder(log)).toBeUndefined();
    const holder = await lockedBy(`${log}.lease`);
    expect(await leaseHolder(log)).toContain('pid 4242 on host7');
    holder.tell('go on');
    await holder.ended;
    expect(await leaseHolder(log)).toBeUndefined();
  });

  it('does not follow a link in place of the lease', async () => {
    const log = freshPath();
    const victim = join(dirname(log), 'victim');
    writeFileSync(victim, 'precious');
    symlinkSync(victim, `${log}.lease`);
    const { code, message } = await failureOf(takeLease(log, UNIT, OWNER));
    expect([code, message]).toEqual(['LOCK_FAILED', expect.stringContaining('it is a symbolic link')]);
    expect(readFileSync(victim, 'utf8')).toBe('precious');
  });
});
