import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lchownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { JOBS, KINDS } from '../integration/files/input-kinds.js';
import { type Ended, endAll, put, qrun, records, removeTree, tree, watchQrun } from '../integration/qrun.js';

// What each file that qrun reads or writes may turn out to be because of somebody else: another user of the machine, or
// whoever wrote the tree. What is no regular file, or too large, is in ../integration/input-files.test.ts.
vi.setConfig({ testTimeout: 60_000 });

const STRANGER = 12_345;
const PRECIOUS = 'export PATH=/bin\n';
const IS_ROOT = process.getuid?.() === 0;

let root = '';
beforeEach(() => {
  root = tree({ 'u/q.sql': 'SELECT 1 AS v', 'jobs.toml': JOBS, precious: PRECIOUS });
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'results'));
});
afterEach(() => {
  endAll();
  removeTree(root);
});

const at = (file: string): string => {
  const path = join(root, file);
  rmSync(path, { force: true, recursive: true });
  return path;
};

interface Own {
  readonly file: string;
  readonly args: readonly string[];
  readonly code: number;
  /** What stands in it before: nothing, or what it may hold. */
  readonly text?: string;
  /** Only read here: what it is called besides is nobody's business. */
  readonly isRead?: true;
  /** It was named by the user himself, and may be a link of his. */
  readonly isNamed?: true;
}

const own = (kind: string, more: Partial<Own> = {}): Own => ({ ...(KINDS[kind] as Own), ...more });
const JOB = ['job', '--config', 'jobs.toml', '--name', 'j@a=1'];

// Of what qrun itself writes: a command that uses it, and its exit code when it is not to be used.
const OWN: Readonly<Record<string, Own>> = {
  'a log that is read': own('a log that is read', { isRead: true }),
  'a log that is audited': { file: 'results/u.ndjson', args: ['audit', 'u'], code: 23, isRead: true },
  'a log that is written': own('a log that is written'),
  'a lock': own('a lock'),
  'a lease': own('a lease'),
  'a sidecar': own('a sidecar'),
  'a sidecar that is read': { file: 'results/u.ndjson.runs', args: ['audit', 'u'], code: 23, isRead: true },
  'a checkpoint': own('a checkpoint', { text: '{}', isRead: true }),
  'the configuration of a submission': own('the configuration of a submission', {
    isRead: true,
    isNamed: true,
  }),
  'stored jobs': own('stored jobs', { isRead: true, isNamed: true }),
  'the log of a job': { file: 'results/j@a=1.log', args: JOB, code: 23 },
  'the state of a job': { file: 'results/j@a=1.runs', args: JOB, code: 23 },
  'the lease of a job': { file: 'results/j@a=1.log.lease', args: JOB, code: 23 },
  // Without these a run goes on, and says so.
  events: { file: 'ev', args: ['unit', 'u', '--events', 'ev'], code: 0 },
  'a journal': { file: 'results/u.ndjson.inflight', args: ['unit', 'u'], code: 0, isRead: true },
};
const of = (fits: (kind: Own) => boolean): [string, Own][] =>
  Object.entries(OWN).filter(([, own]) => fits(own));

async function refused({ file, args, code }: Own, what: RegExp): Promise<Ended> {
  const end = await qrun(args, { cwd: root });
  expect(end, end.stderr).toMatchObject({ code, signal: undefined });
  expect(end.stderr).toContain(file.slice(file.lastIndexOf('/') + 1));
  expect(end.stderr).toMatch(what);
  expect(end.stderr).not.toMatch(/bug in qrun|\n\s+at /);
  if (code !== 0) expect(end.stderr).toMatch(/\nhint: /);
  expect(readFileSync(join(root, 'precious'), 'utf8')).toBe(PRECIOUS);
  return end;
}

const LINKED = /symbolic link/;

describe.each(of(({ isNamed }) => isNamed !== true))('%s', (_, kind) => {
  it('that is a link to a file of the user is not touched', async () => {
    symlinkSync(join(root, 'precious'), at(kind.file));
    await refused(kind, LINKED);
  });

  it('that is a link to nothing makes nothing', async () => {
    symlinkSync(join(root, 'new'), at(kind.file));
    await refused(kind, LINKED);
    expect(existsSync(join(root, 'new'))).toBe(false);
  });
});

describe.each(of(({ isRead }) => isRead !== true))('%s', (_, kind) => {
  it('that is a second name of a file of the user is not touched', async () => {
    linkSync(join(root, 'precious'), at(kind.file));
    await refused(kind, /it has 2 names \(hard links\)/);
  });
});

describe.each(
  of(({ file, args }) => /lease|runs|u\.ndjson$/.test(file) && args[0] !== 'plan' && args[0] !== 'audit'),
)('%s', (_, kind) => {
  it('that is a file of something else is neither emptied nor appended to', async () => {
    put(root, kind.file, PRECIOUS);
    await refused(kind, /not a file that qrun created|is not a log of qrun|is damaged|does not begin/);
    expect(readFileSync(join(root, kind.file), 'utf8')).toBe(PRECIOUS);
  });
});

describe.each(Object.entries(OWN))('%s', (_, kind) => {
  it.runIf(IS_ROOT)('that belongs to another user is not believed', async () => {
    put(root, kind.file, kind.text ?? '');
    chownSync(join(root, kind.file), STRANGER, STRANGER);
    const end = await refused(
      kind,
      /it belongs to another user \(uid 12345\), and neither to you nor to root/,
    );
    if (kind.code !== 0) expect(end.stderr).toMatch(/chown|trust/);
    expect(readFileSync(join(root, kind.file), 'utf8')).toBe(kind.text ?? '');
  });
});

describe.each(of(({ file }) => !/lock|lease/.test(file)))('%s', (_, kind) => {
  it('that everybody may write to is not believed', async () => {
    put(root, kind.file, kind.text ?? '');
    chmodSync(join(root, kind.file), 0o666);
    await refused(kind, /every user of this machine may write to it: chmod o-w/);
  });
});

describe('a directory in which qrun keeps something', () => {
  const DIRECTORIES: readonly (readonly [string, readonly string[], string])[] = [
    ['results', ['unit', 'u'], 'the directory of the logs'],
    ['results', ['audit', 'u'], 'the directory of the logs'],
    ['results', ['plan', 'u'], 'the directory of the logs'],
    ['.qrun', ['unit', 'u'], 'the directory of what qrun keeps'],
    ['.qrun/data', ['unit', 'u'], 'the data directory'],
  ];

  it.runIf(IS_ROOT).each(DIRECTORIES)('%s of another user is not used: qrun %j', async (name, args, what) => {
    const path = at(name);
    mkdirSync(path, { recursive: true });
    chownSync(path, STRANGER, STRANGER);
    const end = await refused({ file: name, args, code: 2 }, /belongs to another user \(uid 12345\)/);
    expect(end.stderr).toContain(what);
    expect(readdirSync(path)).toEqual([]);
  });

  it.each(DIRECTORIES)('%s that everybody may write to is not used: qrun %j', async (name, args) => {
    mkdirSync(at(name), { recursive: true });
    chmodSync(join(root, name), 0o777);
    await refused({ file: name, args, code: 2 }, /every user of this machine may write to it: chmod o-w/);
  });

  it.runIf(IS_ROOT).each(DIRECTORIES)(
    '%s as a link of another user is not used: qrun %j',
    async (name, args) => {
      mkdirSync(join(root, 'elsewhere'));
      mkdirSync(at(name), { recursive: true });
      symlinkSync(join(root, 'elsewhere'), at(name));
      lchownSync(join(root, name), STRANGER, STRANGER);
      await refused({ file: name, args, code: 2 }, /it is a symbolic link of another user \(uid 12345\)/);
      expect(readdirSync(join(root, 'elsewhere'))).toEqual([]);
    },
  );

  it.each(DIRECTORIES)(
    '%s as a link out of the tree to what holds something else is not used: qrun %j',
    async (name, args) => {
      const other = tree({ 'a file': '' });
      chmodSync(other, 0o755);
      mkdirSync(at(name), { recursive: true });
      symlinkSync(other, at(name));
      await refused({ file: name, args, code: 2 }, /it is not empty and holds nothing of qrun/);
      expect(readdirSync(other)).toEqual(['a file']);
      removeTree(other);
    },
  );

  it.runIf(IS_ROOT)('of the results of jobs that belongs to another user is not used', async () => {
    chownSync(join(root, 'results'), STRANGER, STRANGER);
    await refused({ file: 'results', args: JOB, code: 2 }, /belongs to another user \(uid 12345\)/);
    const end = await qrun(['process-all', 'jobs.toml', '--dry-run'], { cwd: root });
    expect(end.stderr).toMatch(/results is not used: it belongs to another user/);
  });

  it('as a link within the tree, or to an empty directory and from then on, is used', async () => {
    const other = tree({});
    chmodSync(other, 0o755);
    mkdirSync(join(root, 'big'));
    symlinkSync('big', at('results'));
    symlinkSync(other, at('.qrun'));
    for (const args of [
      ['unit', 'u'],
      ['unit', 'u', '--rerun=all'],
      ['audit', 'u'],
    ]) {
      const end = await qrun(args, { cwd: root });
      expect(end, end.stderr).toMatchObject({ code: 0 });
    }
    expect(readdirSync(join(root, 'big'))).toContain('u.ndjson');
    expect(readdirSync(other)).toContain('data');
    removeTree(other);
  });

  it.each(['.config', '.', '.a/b'])('is not made of the home directory by the tree: %s', async name => {
    const home = tree({});
    chmodSync(home, 0o755);
    mkdirSync(join(home, name), { recursive: true });
    const env = { HOME: home };
    const refusal = /where programs keep their settings/;
    symlinkSync(join(home, name), at('results'));
    expect(await qrun(['unit', 'u'], { cwd: root, env })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(refusal),
    });
    rmSync(join(root, 'results'));
    put(root, 'qrun.toml', `log_dir = "${join(home, name)}"\n`);
    expect(await qrun(['unit', 'u'], { cwd: root, env })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(refusal),
    });
    // Who names it himself has chosen it.
    const chosen = await qrun(['unit', 'u', '--log-dir', join(home, name)], { cwd: root, env });
    expect(chosen, chosen.stderr).toMatchObject({ code: 0 });
    removeTree(home);
  });
});

describe('a log', () => {
  it('of the tree is no link out of the directory of the logs, and one within it is followed', async () => {
    symlinkSync('../elsewhere.ndjson', at('results/u.ndjson'));
    await refused(
      OWN['a log that is written'] as Own,
      /it is a symbolic link that leads elsewhere, to .*elsewhere\.ndjson/,
    );
    expect(existsSync(join(root, 'elsewhere.ndjson'))).toBe(false);
    symlinkSync('real.ndjson', at('results/u.ndjson'));
    expect(await qrun(['unit', 'u'], { cwd: root })).toMatchObject({ code: 0 });
    expect(readdirSync(join(root, 'results'))).toContain('real.ndjson.lease');
  });

  it('that the user named with --log may be a link of his', async () => {
    mkdirSync(join(root, 'disk'));
    symlinkSync('disk/real.ndjson', join(root, 'mine.ndjson'));
    expect(await qrun(['unit', 'u', '--log', 'mine.ndjson'], { cwd: root })).toMatchObject({ code: 0 });
    expect(records(readFileSync(join(root, 'disk/real.ndjson')))).toHaveLength(1);
  });
});

describe('a query', () => {
  const SECRET = 'SELECT 42 AS secret';
  let outside = '';
  beforeEach(() => {
    outside = tree({ 'key.sql': SECRET, 'deep/more.sql': SECRET });
  });
  afterEach(() => removeTree(outside));

  const ways: readonly (readonly [string, () => void])[] = [
    ['a link', () => symlinkSync(join(outside, 'key.sql'), join(root, 'u/k.sql'))],
    [
      'a link to a link',
      () => {
        symlinkSync(join(outside, 'key.sql'), join(root, 'hop'));
        symlinkSync('../hop', join(root, 'u/k.sql'));
      },
    ],
    ['a directory', () => symlinkSync(join(outside, 'deep'), join(root, 'u/dir'))],
    [
      'a directory through a link within the tree',
      () => {
        symlinkSync(outside, join(root, 'hop'));
        symlinkSync('../hop/deep', join(root, 'u/dir'));
      },
    ],
    ['a setup file', () => symlinkSync(join(outside, 'key.sql'), join(root, 'u/_setup.sql'))],
    ['a setup file above', () => symlinkSync(join(outside, 'key.sql'), join(root, '_setup.sql'))],
  ];

  it.each(ways)('that %s leads out of the tree to is not read, unless that is allowed', async (_, make) => {
    make();
    for (const args of [
      ['plan', 'u'],
      ['unit', 'u'],
      ['audit', 'u'],
    ]) {
      const end = await qrun(args, { cwd: root });
      if (args[0] !== 'audit') expect(end, end.stderr).toMatchObject({ code: 2 });
      expect(`${end.stdout}${end.stderr}`).toMatch(/is a symbolic link that leads out of .*--follow-links/);
      expect(readdirSync(join(root, 'results'))).not.toContain('u.ndjson.runs');
    }
    for (const file of ['qrun.toml', '.env']) {
      put(root, file, file === '.env' ? 'QRUN_FOLLOW_LINKS=1\n' : 'follow_links = true\n');
      expect((await qrun(['unit', 'u'], { cwd: root })).code, file).toBe(2);
      rmSync(join(root, file));
    }
    expect(await qrun(['plan', 'u', '--follow-links'], { cwd: root })).toMatchObject({ code: 0 });
    expect(await qrun(['plan', 'u'], { cwd: root, env: { QRUN_FOLLOW_LINKS: '1' } })).toMatchObject({
      code: 0,
    });
  });

  it('may be a link within the tree, also in a directory of the tree that is one', async () => {
    put(root, 'shared/s.sql', SECRET);
    put(root, 'shared/d/t.sql', SECRET);
    symlinkSync('../shared/s.sql', join(root, 'u/k.sql'));
    symlinkSync(join(root, 'shared/d'), join(root, 'u/dir'));
    symlinkSync('../precious', join(root, 'u/note.txt'));
    symlinkSync(outside, join(root, 'u/_private'));
    const end = await qrun(['unit', 'u'], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 0 });
    expect(records(readFileSync(join(root, 'results/u.ndjson')))).toHaveLength(3);
  });

  it('may lie in a directory outside that the user named as the unit, by a link or not', async () => {
    symlinkSync(outside, join(root, 'named'));
    expect(await qrun(['plan', 'named'], { cwd: root })).toMatchObject({ code: 0 });
  });

  it('of another unit of a sweep is not read by a link out of it', async () => {
    put(root, 'qrun.toml', '');
    mkdirSync(join(root, 'sweep'));
    symlinkSync(outside, join(root, 'sweep/evil'));
    const end = await qrun(['submit-all', 'sweep', '--dry-run'], { cwd: root });
    expect(end.stderr).toMatch(/evil is not read: it is a symbolic link that leads out of/);
    expect(end.code).toBe(2);
  });

  it.each(['file', 'directory'])('that became a link in mid-run is not read: %s', async what => {
    put(root, 'u/a.sql', 'SELECT sleepEachRow(3) AS v');
    put(root, 'u/dir/more.sql', 'SELECT 7 AS v');
    rmSync(join(root, 'u/q.sql'));
    const run = watchQrun(['unit', 'u', '-P1'], { cwd: root });
    await run.event(({ type }) => type === 'query_started');
    if (what === 'file') {
      rmSync(join(root, 'u/dir/more.sql'));
      symlinkSync(join(outside, 'key.sql'), join(root, 'u/dir/more.sql'));
    } else {
      renameSync(join(root, 'u/dir'), join(root, 'moved'));
      symlinkSync(join(outside, 'deep'), join(root, 'u/dir'));
    }
    const end = await run.end();
    expect(end.code).not.toBe(0);
    expect(`${end.stdout}${end.stderr}`).toContain('is a symbolic link that leads out of');
    expect(readFileSync(join(root, 'results/u.ndjson'), 'utf8')).not.toContain('secret');
  });

  it.each([
    ['statements', 'a;'.repeat(2 ** 20), /holds more than 100000 statements/],
    ['words', 'a '.repeat(2 ** 24 + 1), /has more than 16777216 words/],
    [
      'placeholders',
      `SELECT ${Array.from({ length: 20_000 }, (_, n) => `__A${n}__`)}`,
      /more than 10000 different/,
    ],
    [
      'parameters',
      `SELECT ${Array.from({ length: 20_000 }, (_, n) => `{a${n}:T}`)}`,
      /more than 10000 different/,
    ],
  ])('with %s without an end is refused in few words', async (_, sql, message) => {
    put(root, 'u/q.sql', sql);
    const end = await qrun(['plan', 'u'], { cwd: root, env: { NODE_OPTIONS: '--max-old-space-size=512' } });
    expect(end, end.stderr).toMatchObject({ code: 2 });
    expect(end.stderr).toMatch(message);
    expect(end.stderr.length).toBeLessThan(2_000);
  });
});

describe('what qrun writes', () => {
  const umask = (mask: string): string[] => ['sh', '-c', `umask ${mask}; exec "$@"`, 'x'];
  const everything = (directory: string): string[] =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .map(name => join(directory, name))
      .filter(path => !lstatSync(path).isSymbolicLink());
  const modeOf = (path: string): number => statSync(path).mode & 0o777;
  const unit = (): void => {
    put(
      root,
      'u/_setup.sql',
      'CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a; INSERT INTO t VALUES (1)',
    );
    rmSync(join(root, 'results'), { recursive: true });
  };

  it.each([
    ['000', [], 0o002],
    ['022', [], 0o022],
    ['022', ['--umask', '0077'], 0o077],
    ['077', ['--umask', '0000'], 0o077],
    ['000', ['--umask', '27'], 0o027],
  ] as const)('at umask %s with %j has none of the rights %o', async (mask, options, without) => {
    unit();
    const args = ['unit', 'u', '--events', 'ev', ...options];
    const end = await qrun(args, { cwd: root, prefix: umask(mask) });
    expect(end, end.stderr).toMatchObject({ code: 0 });
    const made = [join(root, 'ev'), ...['results', '.qrun'].flatMap(name => everything(join(root, name)))];
    expect(made.length).toBeGreaterThan(20);
    for (const path of made) expect([path, modeOf(path) & without]).toEqual([path, 0]);
  });

  it('has the modes of the table in the documentation', async () => {
    unit();
    expect(await qrun(['unit', 'u', '--events', 'ev'], { cwd: root, prefix: umask('022') })).toMatchObject({
      code: 0,
    });
    const names = [
      'results',
      'results/u.ndjson',
      'results/u.ndjson.runs',
      'results/u.ndjson.lock',
      'results/u.ndjson.lease',
      '.qrun',
      'ev',
    ];
    expect(Object.fromEntries(names.map(name => [name, modeOf(join(root, name)).toString(8)]))).toEqual({
      results: '755',
      'results/u.ndjson': '644',
      'results/u.ndjson.runs': '644',
      'results/u.ndjson.lock': '640',
      'results/u.ndjson.lease': '640',
      '.qrun': '700',
      ev: '644',
    });
  });

  it.each(['8', '0777', '0700', '-1', '00022', '0o22'])('cannot have the umask %s', async value => {
    const end = await qrun(['plan', 'u', `--umask=${value}`], { cwd: root });
    expect(end.code).toBe(2);
    expect(end.stderr).toContain('--umask: must be a umask in octal digits');
  });
});

describe('--data-dir', () => {
  it('is not a directory that holds something else, in which nothing is touched', async () => {
    put(root, 'work/tmp/tmp_notes', 'mine');
    put(root, 'work/data/x', 'mine');
    const end = await qrun(['unit', 'u', '--data-dir', 'work'], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 2 });
    expect(end.stderr).toMatch(/work is not a data directory, and it is not empty\nhint: /);
    expect(readdirSync(join(root, 'work'), { recursive: true }).sort()).toEqual([
      'data',
      'data/x',
      'tmp',
      'tmp/tmp_notes',
    ]);
  });

  it('is a new one, an empty one, and one that qrun or the engine has used', async () => {
    mkdirSync(join(root, 'data'));
    for (const name of ['data', 'data', 'new', 'new']) {
      const end = await qrun(['unit', 'u', '--data-dir', name, '--rerun=all'], { cwd: root });
      expect(end, end.stderr).toMatchObject({ code: 0 });
    }
    rmSync(join(root, 'data'), { recursive: true });
    for (const name of ['store', 'metadata']) mkdirSync(join(root, 'data', name), { recursive: true });
    const end = await qrun(['unit', 'u', '--data-dir', 'data', '--rerun=all'], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 0 });
  });
});

describe('the data of the embedded engine', () => {
  const SETUP = 'CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a; INSERT INTO t VALUES (1)';
  const value = (): unknown => records(readFileSync(join(root, 'results/u.ndjson'))).at(-1)?.row;
  const run = async (...options: string[]): Promise<Ended> => {
    const end = await qrun(['unit', 'u', '--rerun=all', ...options], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 0 });
    return end;
  };
  const setAside = (): string[] =>
    readdirSync(join(root, '.qrun')).filter(name => name.includes('data.unknown-'));

  it('that came with the tree is set aside, with a setup and without', async () => {
    put(root, 'u/q.sql', 'SELECT * FROM t');
    put(root, 'u/_setup.sql', SETUP);
    put(root, 'v/q.sql', "SELECT count() AS n FROM system.tables WHERE name = 'planted'");
    await run();
    expect(await qrun(['unit', 'v'], { cwd: root })).toMatchObject({ code: 0 });
    expect(setAside()).toEqual([]);
    // As an archive would bring it along: the same files in another directory.
    for (const [as, unit] of [
      ['one', 'u'],
      ['two', 'v'],
    ] as const) {
      for (const name of setAside()) rmSync(join(root, '.qrun', name), { recursive: true });
      execFileSync('cp', ['-a', join(root, '.qrun'), join(root, as)]);
      rmSync(join(root, '.qrun'), { recursive: true });
      execFileSync('cp', ['-a', join(root, as), join(root, '.qrun')]);
      const end = await qrun(['unit', unit, '--rerun=all'], { cwd: root });
      expect(end, end.stderr).toMatchObject({ code: 0 });
      expect(end.stderr).toMatch(/was not made here by qrun .* it was set aside as .*data\.unknown-/);
      expect(setAside()).toHaveLength(1);
      if (unit === 'u') expect(end.stderr).toContain('setup');
    }
    expect(value()).toEqual({ a: 1 });
    const pruned = await qrun(['prune', '--remove'], { cwd: root });
    expect(pruned, pruned.stderr).toMatchObject({ code: 0 });
    expect(setAside()).toEqual([]);
  });

  it('stays when its tree is moved, also when others start at the same time', async () => {
    put(root, 'u/_setup.sql', SETUP);
    put(root, 'v/q.sql', 'SELECT 1 AS v');
    const ends = await Promise.all(['u', 'v'].map(unit => qrun(['unit', unit], { cwd: root })));
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    renameSync(root, `${root}-moved`);
    root = `${root}-moved`;
    const end = await run();
    expect(end.stderr).not.toContain('setup');
    expect(setAside()).toEqual([]);
  });

  it.runIf(IS_ROOT)('that another user made is not used', async () => {
    put(root, 'u/_setup.sql', SETUP);
    await run();
    chownSync(join(root, '.qrun/data.made-here'), STRANGER, STRANGER);
    expect((await run()).stderr).toContain('it was set aside');
  });
});

it('a FIFO in place of what is written is refused and not waited for', async () => {
  for (const { file, args, code } of [OWN['the log of a job'], OWN['the state of a job']] as Own[]) {
    execFileSync('mkfifo', [at(file)]);
    await refused({ file, args, code }, /it is a named pipe \(FIFO\), not a regular file/);
    rmSync(join(root, file));
  }
  writeFileSync(join(root, 'x'), '');
});
