import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findSweepRoot } from '../../src/io/unit/sweep-root.js';
import { builtQrun } from '../built.js';
import { type Ended, endAll, ordinaryUser, put, qrun, removeTree, tree } from '../integration/qrun.js';

const OTHER = 65_534;
let root = '';
let home = '';
beforeEach(() => {
  home = realpathSync(tree({}));
  root = realpathSync(tree({ 'u/a.sql': 'SELECT 1 AS v', 'qrun.toml': 'concurrency = 3\n' }));
  for (const path of [root, home]) chmodSync(path, 0o755);
});
afterEach(() => {
  endAll();
  for (const path of [root, home]) removeTree(path);
});

const isRoot = process.getuid?.() === 0;

function run(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  cwd = root,
): Promise<Ended> {
  return qrun(args, { cwd, env: { HOME: home, ...env } });
}

function give(...paths: string[]): void {
  for (const path of paths) chownSync(join(root, path), OTHER, OTHER);
}

const JOBS = 'name = "j"\ncommand = ["true"]\n[matrix]\na = [1]\n';

describe.runIf(isRoot)('a file of another user decides nothing', () => {
  it.each([
    ['qrun.toml', ['config', 'u']],
    ['qrun.toml', ['unit', 'u']],
    ['qrun.toml', ['status']],
    ['qrun.toml', ['plan', 'u']],
    ['qrun.toml', ['prune']],
    ['.env', ['config', 'u']],
    ['.env', ['unit', 'u']],
    ['jobs.toml', ['process-all', '--dry-run']],
    ['jobs.toml', ['job', '--config=jobs.toml', '--name=j@a=1']],
    ['jobs.toml', ['checkpoint', 'path', '--jobs=jobs.toml', '--param=a=1']],
    ['.env', ['job', '--config=jobs.toml', '--name=j@a=1']],
  ] as const)('%s: qrun %j', async (file, args) => {
    put(root, '.env', '');
    put(root, 'jobs.toml', JOBS);
    give(file);
    const { code, stderr } = await run(args);
    expect([code, stderr]).toEqual([2, expect.stringContaining(`cannot read ${join(root, file)}`)]);
    expect(stderr).toContain(`another user (uid ${OTHER})`);
    expect(stderr).toMatch(/--trust|QRUN_TRUST/);
    // It is accepted by who says so: for this command, or in CI.
    for (const [more, env] of [
      [['--trust'], {}],
      [[], { QRUN_TRUST: root }],
    ] as const) {
      expect((await run([...args, ...more], env)).stderr).not.toContain('another user');
    }
  });

  it('nor does one that everybody may write to', async () => {
    for (const file of ['qrun.toml', '.env', 'jobs.toml']) {
      put(root, file, file === 'jobs.toml' ? JOBS : '');
      chmodSync(join(root, file), 0o666);
      const args = file === 'jobs.toml' ? ['process-all', '--dry-run'] : ['config', 'u'];
      expect((await run(args)).stderr).toMatch(/every user of this machine may write to it/);
      chmodSync(join(root, file), 0o664);
      expect((await run(args)).stderr).not.toMatch(/every user/);
    }
  });

  it('and is not even taken apart', async () => {
    put(root, 'qrun.toml', 'this is = not = toml');
    give('qrun.toml');
    expect((await run(['config', 'u'])).stderr).toContain('another user');
  });

  it('unless qrun trust has seen it as it is', async () => {
    put(root, 'qrun.toml', 'url = "http://ch.example:1"\n');
    give('qrun.toml', '.', 'u');
    expect((await run(['config', 'u'])).code).toBe(2);
    expect((await run(['trust'])).code).toBe(0);
    expect((await run(['config', 'u'])).code).toBe(0);
    put(root, 'qrun.toml', 'url = "http://other.example:1"\n');
    expect((await run(['config', 'u'])).stderr).toContain('another user');
  });

  it('and is not the one of somebody who called sudo', async () => {
    give('qrun.toml');
    expect((await run(['config', 'u'], { SUDO_UID: String(OTHER) })).code).toBe(0);
    expect((await run(['config', 'u'], { SUDO_UID: '65533' })).code).toBe(2);
  });
});

describe.runIf(isRoot)('the search for qrun.toml', () => {
  const found = (unit: string): unknown => findSweepRoot(join(root, unit), '/nowhere');

  it('goes up into no directory of another user, nor beyond it', () => {
    put(root, 'a/b/q.sql', '');
    give('a');
    const no = { configFile: undefined, guessed: true };
    const why = expect.stringContaining('its directory belongs to a different user');
    const passedOver = { file: join(root, 'qrun.toml'), why };
    expect(found('a/b')).toEqual({ directory: join(root, 'a'), ...no, passedOver });
    put(root, 'a/qrun.toml', '');
    expect(found('a/b')).toMatchObject({
      configFile: undefined,
      passedOver: { file: join(root, 'a/qrun.toml') },
    });
    // From one of his own directories into those above, all of his.
    expect(found('a')).toEqual({ directory: join(root, 'a'), configFile: join(root, 'a/qrun.toml') });
    give('a/b');
    expect(found('a/b')).toEqual({ directory: join(root, 'a'), configFile: join(root, 'a/qrun.toml') });
    expect(findSweepRoot(join(root, 'a/b'), '/', at => at === join(root, 'a')).directory).toBe(
      join(root, 'a'),
    );
  });

  it('says what it has passed over', async () => {
    put(root, 'a/b/q.sql', 'SELECT 1');
    give('a');
    const note = `${join(root, 'qrun.toml')} is not used: its directory`;
    for (const args of [
      ['plan', 'a/b'],
      ['audit', 'a/b'],
      ['unit', 'a/b'],
    ]) {
      expect((await run(args)).stderr.replaceAll(/\s+/g, ' ')).toContain(note);
    }
    for (const args of [
      ['config', 'a/b'],
      ['doctor', 'a/b'],
    ]) {
      expect((await run(args)).stdout).toContain(note);
    }
  });

  it('passes over what others put into a directory of all, and stops no run by it', () => {
    chmodSync(root, 0o1777);
    give('qrun.toml');
    expect(found('u')).toMatchObject({
      configFile: undefined,
      passedOver: { why: expect.stringContaining('uid') },
    });
    chownSync(join(root, 'qrun.toml'), 0, 0);
    expect(found('u')).toEqual({ directory: root, configFile: join(root, 'qrun.toml') });
  });

  it('and so does what is read beside it: a .env in a directory of all', async () => {
    chmodSync(root, 0o1777);
    put(root, '.env', 'CLICKHOUSE_PASSWORD=x\n');
    give('.env');
    const passed = await run(['config', 'u']);
    expect([passed.code, passed.stdout]).toEqual([
      0,
      expect.stringContaining(`${join(root, '.env')} is not used`),
    ]);
    expect(passed.stdout).not.toContain('set, not shown');
    chmodSync(root, 0o755);
    expect((await run(['config', 'u'])).code).toBe(2);
  });

  it('goes up into no other file system', () => {
    const script =
      'mount -t tmpfs none "$1/u" && mkdir "$1/u/v" && echo "SELECT 1" > "$1/u/v/q.sql" && cd "$5" && exec "$2" "$3" config "$1/u/$4" --json $6';
    const config = (unit: string, cwd = '/', option = '') =>
      JSON.parse(
        execFileSync(
          'unshare',
          ['-m', 'sh', '-c', script, 'sh', root, process.execPath, builtQrun(), unit, cwd, option],
          {
            cwd: '/',
            env: { HOME: home, PATH: process.env.PATH },
            encoding: 'utf8',
          },
        ),
      );
    // The current directory is above it here.
    expect(config('v')).toMatchObject({ config_file: null, root: '/' });
    // Whoever starts there, or trusts it, has named it: a sweep may have parts on other disks.
    expect(config('v', root)).toMatchObject({ config_file: join(root, 'qrun.toml'), root });
    expect(config('v', '/', '--trust')).toMatchObject({ config_file: join(root, 'qrun.toml'), root });
    // Without the mount it is found.
    const plain = spawnSync(process.execPath, [builtQrun(), 'config', join(root, 'u'), '--json'], {
      encoding: 'utf8',
    });
    expect(JSON.parse(plain.stdout).config_file).toBe(join(root, 'qrun.toml'));
  });
});

describe('a root that is only guessed', () => {
  it('gives no .env; the current directory and that of a qrun.toml do', async () => {
    const parent = join(root, 'p');
    mkdirSync(join(parent, 'v'), { recursive: true });
    put(parent, 'v/a.sql', 'SELECT 1');
    put(parent, '.env', 'CLICKHOUSE_PASSWORD=x\nCLICKHOUSE_USER=parents\n');
    execFileSync('rm', [join(root, 'qrun.toml')]);
    const config = async (cwd: string) =>
      JSON.parse((await run(['config', join(parent, 'v'), '--json'], {}, cwd)).stdout);
    expect(await config(home)).toMatchObject({ root: parent, password_set: false });
    expect((await config(home)).config.user).toBeNull();
    expect(await config(parent)).toMatchObject({
      password_set: true,
      config: { user: 'parents' },
      sources: { user: '.env' },
    });
    writeFileSync(join(parent, 'qrun.toml'), '');
    expect(await config(home)).toMatchObject({
      password_set: true,
      password_source: expect.stringContaining('.env'),
    });
  });
});

it('works as ever for an ordinary user in a tree of his own', async () => {
  const prefix = ordinaryUser();
  if (prefix === undefined) throw new Error('setpriv is needed, and root');
  execFileSync('chown', ['-R', `${OTHER}:${OTHER}`, root, home]);
  const { code, stderr } = await qrun(['plan', 'u'], { cwd: root, env: { HOME: home }, prefix });
  expect([code, stderr]).toEqual([0, '']);
  const trusted = await qrun(['trust'], { cwd: root, env: { HOME: home }, prefix });
  expect(trusted.code).toBe(0);
});

describe('qrun doctor', () => {
  const notes = async (): Promise<string[]> => {
    const { findings } = JSON.parse((await run(['doctor', 'u', '--json'])).stdout) as {
      findings: { what: string; state: string; says: string; mend?: string }[];
    };
    return findings.filter(({ what }) => what === 'secrets').map(({ says, mend }) => `${says}; ${mend}`);
  };

  it('names files with secrets that everybody can read', async () => {
    put(root, '.env', 'CLICKHOUSE_USER=x\n');
    put(root, 'qrun.toml', '[parameters]\nsymbol = "x"\n');
    expect(await notes()).toEqual([]);
    put(root, '.env', 'CLICKHOUSE_PASSWORD=x\n');
    put(root, 'pw', 'x');
    put(root, 'qrun.toml', 'password_file = "pw"\n[parameters]\nsymbol = "x"\n');
    expect(await notes()).toEqual(
      ['.env', 'pw'].map(
        name => `every user of this machine can read ${join(root, name)}; chmod o-r ${join(root, name)}`,
      ),
    );
    for (const name of ['.env', 'pw']) chmodSync(join(root, name), 0o640);
    expect(await notes()).toEqual([]);
  });
});
