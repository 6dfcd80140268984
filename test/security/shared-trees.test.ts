import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { directorySource } from '../../src/io/unit/unit-files.js';
import { prepareTasks } from '../../src/local/sweep/tasks.js';
import { builtQrun } from '../built.js';
import { type Ended, endAll, put, qrun, removeTree, tree } from '../integration/qrun.js';

// As a disk of another machine would make it.
vi.mock(import('../../src/io/machine/local-disks.js'), async original => {
  const { LocalDisks, ...rest } = await original();
  return {
    ...rest,
    LocalDisks: class extends LocalDisks {
      override allLocal = false;
    },
  };
});

const OTHER = 65_534;
let root = '';
let home = '';
beforeEach(() => {
  home = realpathSync(tree({}));
  root = realpathSync(tree({ 'u/a.sql': 'SELECT 1 AS v' }));
  for (const path of [root, home]) chmodSync(path, 0o755);
});
afterEach(() => {
  endAll();
  for (const path of [root, home]) removeTree(path);
});

const isRoot = process.getuid?.() === 0;

function run(args: readonly string[], cwd = root): Promise<Ended> {
  return qrun(args, { cwd, env: { HOME: home } });
}

// By a user that the system does not know, as in many containers.
function runAs(uid: number, args: readonly string[]): string {
  const prefix = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
  const command = [process.execPath, builtQrun(), ...args];
  try {
    const env = { PATH: process.env.PATH };
    return execFileSync('setpriv', [...prefix, ...command], {
      cwd: root,
      env,
      stdio: 'pipe',
      encoding: 'utf8',
    });
  } catch (error) {
    return (error as { stderr: string }).stderr;
  }
}

describe.runIf(isRoot)('SQL that another user has put into a directory of all', () => {
  it.each([
    [0o1777, 'home'],
    [0o1777, 'root'],
    [0o777, 'root'],
  ] as const)('prepares no data: mode %o, started in %s', async (mode, where) => {
    put(root, '_setup.sql', 'CREATE TABLE t (a UInt8) ENGINE = Memory');
    chownSync(join(root, '_setup.sql'), OTHER, OTHER);
    chmodSync(root, mode);
    const cwd = where === 'home' ? home : root;
    const { code, stderr } = await run(['unit', join(root, 'u')], cwd);
    expect([code, stderr.replaceAll(/\s+/g, ' ')]).toEqual([
      2,
      expect.stringMatching(/_setup\.sql: it belongs to another user \(uid 65534\), and everybody may/),
    ]);
    expect((await run(['unit', join(root, 'u'), '--trust'], cwd)).code).toBe(0);
  });

  it('is not run as a query', async () => {
    put(root, 'u/b.sql', 'SELECT 2 AS v');
    chownSync(join(root, 'u/b.sql'), OTHER, OTHER);
    chmodSync(join(root, 'u'), 0o777);
    const { code, stderr } = await run(['unit', 'u']);
    expect([code === 0, stderr]).toEqual([false, expect.stringContaining('everybody may put files into')]);
    expect((await run(['unit', 'u', '--trust'])).code).toBe(0);
  });

  it('is run where he owns the directory: who named it named him', async () => {
    for (const path of ['u', 'u/a.sql']) chownSync(join(root, path), OTHER, OTHER);
    chmodSync(join(root, 'u'), 0o777);
    expect((await run(['unit', 'u'])).code).toBe(0);
  });
});

describe('links that the tree made', () => {
  it.each([
    ['the token of a clone', '.git/config', 'u/k.sql', '../.git/config'],
    ['a key, where the home directory is the root', '.ssh/id', 'u/k.sql', '../.ssh/id'],
    ['hidden in the unit', 'u/.cache/k', 'u/k.sql', '.cache/k'],
    ['a hidden directory', '.git/hidden/k.sql', 'u/d', '../.git/hidden'],
    ['a setup', '.git/config', 'u/_setup.sql', '../.git/config'],
  ])('lead not to what is hidden in it: %s', async (_, file, link, target) => {
    put(root, file, 'SELECT 42 AS secret');
    symlinkSync(target, join(root, link));
    const { code, stderr } = await run(['unit', 'u']);
    expect([code === 0, stderr.replaceAll(/\s+/g, ' ')]).toEqual([
      false,
      expect.stringContaining('which is hidden'),
    ]);
    const log = join(root, 'results/u.ndjson');
    if (existsSync(log)) expect(readFileSync(log, 'utf8')).not.toContain('secret');
    expect((await run(['unit', 'u', '--follow-links', '--rerun=all'])).code).toBe(0);
  });

  it('lead where they may in a unit that is hidden itself, or lies in what is', async () => {
    put(root, '.hidden/v/a.sql', 'SELECT 1 AS v');
    put(root, '.hidden/_setup.sql', 'CREATE TABLE t (a UInt8) ENGINE = Memory');
    put(root, '.hidden/v/d/b.sql', 'SELECT 2 AS v');
    symlinkSync('a.sql', join(root, '.hidden/v/c.sql'));
    put(root, 'qrun.toml', '');
    expect((await run(['unit', '.hidden/v'])).code).toBe(0);
    expect((await run(['unit', 'v', '--rerun=all'], join(root, '.hidden'))).code).toBe(0);
  });

  it('lead no file of a submission out of it', async () => {
    const aim = join(home, 'drop-in');
    mkdirSync(aim);
    writeFileSync(join(aim, 'kept.conf'), '');
    mkdirSync(join(root, '.qrun'));
    symlinkSync(aim, join(root, '.qrun/jobs'));
    const sweep = {
      root,
      start: root,
      units: [],
      config: { engine: 'embedded' },
      given: {},
      givers: {},
      table: {},
      trust: { trusted: () => false },
    } as unknown as Parameters<typeof prepareTasks>[0];
    await expect(prepareTasks(sweep)).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringContaining('the directory of submissions'),
    });
    expect(readdirSync(aim)).toEqual(['kept.conf']);
    rmSync(join(root, '.qrun/jobs'));
    await prepareTasks(sweep);
    await prepareTasks(sweep);
  });

  it('lead out of it neither in the middle of a run, on disks that are read on threads', async () => {
    put(root, 'u/d/b.sql', 'SELECT 2 AS v');
    mkdirSync(join(home, 'd'));
    writeFileSync(join(home, 'd/b.sql'), 'a private key');
    const source = directorySource(join(root, 'u'), 1_000, root);
    expect(source.list()).toEqual(['a', 'd/b']);
    expect(String(await source.readLater?.('d/b'))).toBe('SELECT 2 AS v');
    renameSync(join(root, 'u/d'), join(root, 'gone'));
    symlinkSync(join(home, 'd'), join(root, 'u/d'));
    source.read('a');
    await vi.waitFor(async () => {
      await expect(source.readLater?.('d/b')).rejects.toThrow(/leads out of/);
    });
  });

  it('lead no events out of it, by whatever way the tree is reached', async () => {
    const way = join(home, 'way');
    symlinkSync(root, way);
    writeFileSync(join(home, 'rc'), '');
    symlinkSync(join(home, 'rc'), join(root, 'events'));
    await run(['unit', 'u', `--events=${join(way, 'events')}`]);
    expect(readFileSync(join(home, 'rc'), 'utf8')).toBe('');
  });
});

describe.runIf(isRoot)('a way out is named', () => {
  it('for a lease that a run of another user has left', () => {
    for (const path of ['', 'u', 'u/a.sql', 'results']) {
      if (path === 'results') mkdirSync(join(root, path));
      chownSync(join(root, path), OTHER, OTHER);
    }
    put(root, 'results/u.ndjson.lease', '');
    chmodSync(join(root, 'results/u.ndjson.lease'), 0o640);
    const text = runAs(OTHER, ['unit', 'u']);
    expect(text).toMatch(/u\.ndjson\.lease: it belongs to another user \(uid 0\)/);
    expect(text).toContain('chown');
  });

  it('for a directory of results of another user: the tree is named, wherever qrun is started', async () => {
    mkdirSync(join(root, 'results'));
    chownSync(join(root, 'results'), OTHER, OTHER);
    expect((await run(['unit', join(root, 'u')], home)).stderr).toContain(`qrun trust ${root}`);
    expect((await run(['trust', root], home)).code).toBe(0);
    expect((await run(['unit', join(root, 'u')], home)).code).toBe(0);
  });

  it('for a configuration of another user: all that CI has to say stands there', async () => {
    put(root, 'qrun.toml', '');
    chownSync(join(root, 'qrun.toml'), OTHER, OTHER);
    expect((await run(['unit', 'u'])).stderr).toContain(`QRUN_TRUST=${root}`);
  });

  it('for what a tree allows itself', async () => {
    put(root, 'qrun.toml', 'engine = "embedded"\nallow_files = true\n');
    expect((await run(['unit', join(root, 'u')], home)).stderr).toContain(`qrun trust ${root}`);
  });
});

describe.runIf(isRoot)('who works as he should is not stopped', () => {
  it('a user without a name, on a disk that shows every file as open to all', () => {
    for (const path of ['', 'u', 'u/a.sql', 'results', 'results/u.ndjson.lease', 'results/u.ndjson.lock']) {
      if (path === 'results') mkdirSync(join(root, path));
      else if (path.startsWith('results/')) put(root, path, '');
      chownSync(join(root, path), 54_321, 54_321);
      chmodSync(join(root, path), 0o777);
    }
    expect(runAs(54_321, ['unit', 'u', '--trust'])).toContain('the query is settled');
  });

  it('results may lie on a disk that was plugged in', async () => {
    const isNew = !existsSync('/run/media');
    mkdirSync('/run/media', { recursive: true });
    const disk = mkdtempSync('/run/media/qrun-');
    try {
      symlinkSync(disk, join(root, 'results'));
      expect((await run(['unit', 'u'])).code).toBe(0);
      expect(readdirSync(disk)).toContain('u.ndjson');
    } finally {
      rmSync(disk, { recursive: true });
      if (isNew) rmSync('/run/media', { recursive: true });
    }
  });
});

it('no value pushes the server out of sight when a tree is trusted', async () => {
  const long = `/results${'/a'.repeat(5_000)}/end`;
  put(root, 'qrun.toml', `url = "https://h.example"\nallow_files = true\nlog_dir = "${long}"\n`);
  const { stdout } = await run(['trust']);
  expect(stdout).toMatch(/url +https:\/\/h\.example\n/);
  expect(stdout).toMatch(/log_dir +\/results.*\/end \(10012 characters\)\n/);
  expect(stdout).toMatch(/allow_files +true\n/);
  expect(stdout.length).toBeLessThan(1_000);
});
