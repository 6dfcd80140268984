import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { foldsCase } from '../../src/io/files/case.js';
import { CAN_MOUNT, scratch } from '../integration/machine/processes.js';
import { qrun, removeTree, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';

const roots: string[] = [];
afterEach(() => {
  for (const root of roots.splice(0)) removeTree(root);
});

/** Two units whose logs differ only in case, with logs in a directory of the test's choice. */
function sweep(logDirectory: string): string {
  const root = tree({
    'qrun.toml': `log_dir = "${logDirectory}"\n[sweep.matrix]\nsym = ["a", "A"]\n`,
    'u/q.sql': 'SELECT {sym:String} AS s',
  });
  roots.push(root);
  return root;
}

describe('a disk that tells upper from lower case', () => {
  it('is known by its files, and when it is empty, and is left as it was', () => {
    const directory = scratch();
    expect(foldsCase(directory)).toBe(false);
    expect(readdirSync(directory)).toEqual([]);
    expect(foldsCase(join(directory, 'results', 'deep'))).toBe(false);
    writeFileSync(join(directory, '123'), '');
    expect(foldsCase(directory)).toBe(false);
    for (const name of ['Log', 'lOG', 'other']) writeFileSync(join(directory, name), '');
    expect(foldsCase(directory)).toBe(false);
    expect(readdirSync(directory).sort()).toEqual(['123', 'Log', 'lOG', 'other']);
    // What cannot be looked at does not tell.
    expect(foldsCase(join(directory, 'Log', 'below'))).toBe(false);
  });

  it('has room for logs that differ only in case', async () => {
    const logs = scratch();
    const root = sweep(logs);
    for (const sym of ['a', 'A']) {
      expect(await qrun(['unit', 'u', '-q', '--param', `sym=${sym}`], { cwd: root })).toMatchObject({
        code: 0,
      });
    }
    const status = await qrun(['status', '.', '--json'], { cwd: root });
    expect(JSON.parse(status.stdout).units).toMatchObject([
      { unit: 'u@sym=a', state: 'complete' },
      { unit: 'u@sym=A', state: 'complete' },
    ]);
  });
});

function mounted(directory: string): boolean {
  try {
    const image = `${directory}.img`;
    execFileSync('truncate', ['-s', '8M', image]);
    execFileSync('mkntfs', ['-F', '-q', '-f', image], { stdio: 'ignore' });
    execFileSync('lowntfs-3g', ['-o', 'ignore_case,umask=0022', image, directory], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function available(): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v mkntfs lowntfs-3g && test -c /dev/fuse'], { stdio: 'ignore' });
    return CAN_MOUNT;
  } catch {
    return false;
  }
}

describe.skipIf(!available() && !servicesRequired())('a disk that does not (NTFS)', () => {
  async function onDisk(work: (directory: string) => Promise<void>): Promise<void> {
    const directory = join(scratch(), 'disk');
    mkdirSync(directory);
    expect(mounted(directory)).toBe(true);
    try {
      await work(directory);
    } finally {
      execFileSync('umount', ['-l', directory]);
    }
  }

  it('is known by its files, and when it is empty, and is left as it was', async () => {
    await onDisk(async directory => {
      expect(foldsCase(join(directory, 'results'))).toBe(true);
      expect(readdirSync(directory)).toEqual([]);
      writeFileSync(join(directory, '123'), '');
      expect(foldsCase(directory)).toBe(true);
      writeFileSync(join(directory, 'Log'), '');
      expect(foldsCase(directory)).toBe(true);
      // As the driver shows it.
      expect(readdirSync(directory).sort()).toEqual(['123', 'log']);
    });
  });

  it('is refused for units whose logs would be one, before anything runs', async () => {
    await onDisk(async directory => {
      const root = sweep(directory);
      for (const command of ['submit-all', 'status', 'audit-all']) {
        const ended = await qrun([command, '.'], { cwd: root });
        expect(ended).toMatchObject({ code: 2, stdout: '' });
        expect(ended.stderr).toContain('u@sym=a and u@sym=A would share');
        expect(ended.stderr).toContain('does not tell upper from lower case');
      }
      expect(readdirSync(directory)).toEqual([]);
    });
  });

  it('keeps one unit out of the log of the other when they are run by hand', async () => {
    await onDisk(async directory => {
      const root = sweep(directory);
      const run = (sym: string) => qrun(['unit', 'u', '-q', '--param', `sym=${sym}`], { cwd: root });
      expect(await run('a')).toMatchObject({ code: 0 });
      const other = await run('A');
      expect(other.code).toBe(23);
      expect(other.stderr).toContain('holds records of the unit "u@sym=a"');
    });
  });
});
