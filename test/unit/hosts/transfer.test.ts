import { describe, expect, it } from 'vitest';
import type { Host } from '../../../src/core/hosts/host.js';
import { transferOf, transferProblem } from '../../../src/core/hosts/transfer.js';

const HOST: Host = { name: 'alpha', ssh: 'alpha', root: '/r', slots: 1, qrun: ['qrun'] };

describe('what rsync has moved', () => {
  const STATS = [
    'Number of files: 14 (reg: 7, dir: 6, link: 1)',
    'Number of created files: 10 (reg: 7, dir: 3)',
    'Number of deleted files: 6 (reg: 4, dir: 2)',
    'Number of regular files transferred: 7',
    'Total file size: 27 bytes',
    'Literal data: 14 bytes',
  ];

  it('is in its numbers, whatever names stand before them', () => {
    const names = ['send Literal data: 9 bytes', 'Number of regular files transferred: 99', ''];
    expect(transferOf(`${[...names, ...STATS].join('\n')}\n`)).toEqual({ files: 7, bytes: 14, deleted: 4 });
  });

  it('is nothing without them, and where only directories were removed', () => {
    expect(transferOf('')).toEqual({ files: 0, bytes: 0, deleted: 0 });
    expect(transferOf('\nNumber of files: 1\nNumber of deleted files: 0\n').deleted).toBe(0);
    expect(transferOf('\nNumber of files: 1\nNumber of deleted files: 2 (dir: 2)\n').deleted).toBe(0);
  });
});

describe('why a transfer failed', () => {
  const fate = (
    exitCode: number | undefined,
    stderr: string,
    to: 'here' | 'there' = 'there',
    timedOut = false,
  ) => transferProblem(HOST, { exitCode, stderr, timedOut }, { to, into: '/r' });
  const END =
    'rsync error: some files/attrs were not transferred (see previous errors) (code 23) at main.c(1)';

  it('is nothing if it did not, or if a file had gone before its turn', () => {
    expect(fate(0, '')).toBe(undefined);
    expect(fate(24, 'file has vanished: "/r/x"')).toBe(undefined);
  });

  it.each([
    ['there', 'free space there, or name another root = "..." of this host in qrun.toml'],
    ['here', expect.stringContaining('free space here')],
  ] as const)('is a full disk %s', (to, mend) => {
    for (const reason of ['No space left on device (28)', 'Disk quota exceeded (122)']) {
      const stderr = `rsync: [receiver] write failed on "/r/u/a.sql": ${reason}\nrsync error: error in file IO (code 11)`;
      expect(fate(11, stderr, to)).toEqual({
        code: 'WRITE_FAILED',
        says: `the disk of /r ${to} is full`,
        mend,
      });
    }
  });

  it.each(['bash: line 1: rsync: command not found', 'sh: 1: rsync: not found', 'zsh:1: rsync: not found'])(
    'is a missing rsync: %s',
    said => {
      const stderr = `${said}\nrsync: connection unexpectedly closed (0 bytes received so far) [sender]\nrsync error: error in rsync protocol data stream (code 12)`;
      expect(fate(127, stderr)).toMatchObject({
        code: 'HOST_FAILED',
        mend: 'ssh alpha sudo apt-get install -y rsync',
      });
      expect(fate(12, stderr)).toMatchObject({ code: 'HOST_FAILED' });
      expect(fate(126, '')).toMatchObject({ code: 'HOST_FAILED' });
    },
  );

  it('is a host that is gone, before and in the middle', () => {
    expect(fate(255, 'ssh: connect to host alpha port 22: No route to host\nrsync error: x')).toMatchObject({
      code: 'HOST_UNREACHABLE',
      says: 'ssh: connect to host alpha port 22: No route to host',
    });
    const cut =
      'rsync: connection unexpectedly closed (9 bytes received so far) [sender]\nrsync error: (code 12)';
    expect(fate(12, cut)).toMatchObject({
      code: 'HOST_UNREACHABLE',
      says: expect.stringContaining('stopped answering while files were copied (connection unexpectedly'),
    });
    expect(fate(30, 'rsync error: timeout in data send/receive (code 30)')?.code).toBe('HOST_UNREACHABLE');
    expect(fate(undefined, '', 'here', true)?.code).toBe('HOST_UNREACHABLE');
  });

  it('is what cannot be written or read, on the side where it is', () => {
    const write = `rsync: [receiver] mkstemp "/r/u/.a.sql.x" failed: Permission denied (13)\n${END}`;
    expect(fate(23, write)).toMatchObject({
      code: 'WRITE_FAILED',
      says: expect.stringContaining('could be written to /r there: [receiver] mkstemp'),
    });
    const read = `rsync: [sender] send_files failed to open "/r/u/a.sql": Permission denied (13)\n${END}`;
    expect(fate(23, read, 'here')).toMatchObject({
      code: 'READ_FAILED',
      says: expect.stringContaining('could be read there'),
    });
    const make = 'rsync: [Receiver] mkdir "/r" failed: Permission denied (13)\nrsync error: (code 3)';
    expect(fate(3, make)?.code).toBe('WRITE_FAILED');
  });

  it('is an rsync that is too old, or something else', () => {
    expect(fate(1, 'rsync: --keep-dirlinks: unknown option\nrsync error: syntax (code 1)')).toMatchObject({
      code: 'HOST_FAILED',
      says: 'rsync here or there cannot do what is needed: --keep-dirlinks: unknown option',
      mend: 'install rsync 3.1.3 or later on both',
    });
    expect(fate(undefined, '')).toMatchObject({
      code: 'HOST_FAILED',
      says: 'files could not be copied: rsync ended with a signal',
    });
  });
});
