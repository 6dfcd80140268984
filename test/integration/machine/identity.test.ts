import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { thisProcess } from '../../../src/io/machine/this-process.js';
import { gitCommit as commitOf } from '../../../src/io/unit/git-commit.js';
import { scratch } from './processes.js';

const gitCommit = (directory: string) => commitOf(directory, process.env);

function repository(): { readonly root: string; readonly git: (...args: string[]) => string } {
  const root = scratch();
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false'];
  const git = (...args: string[]): string =>
    execFileSync('git', ['-C', root, ...who, ...args], { encoding: 'utf8' });
  git('init', '-q');
  mkdirSync(join(root, 'unit'));
  writeFileSync(join(root, 'unit', 'q.sql'), 'SELECT 1');
  writeFileSync(join(root, 'other'), 'x');
  git('add', '.');
  git('commit', '-q', '-m', 'first');
  return { root, git };
}

describe('gitCommit', () => {
  it('is the commit, with + when files of the directory differ from it', async () => {
    const { root, git } = repository();
    const commit = git('rev-parse', '--short=12', 'HEAD').trim();
    const unit = join(root, 'unit');
    expect(commit).toMatch(/^[0-9a-f]{12}$/);
    expect(await gitCommit(unit)).toBe(commit);
    writeFileSync(join(root, 'other'), 'changed outside');
    expect(await gitCommit(unit)).toBe(commit);
    writeFileSync(join(unit, 'new.sql'), 'SELECT 2');
    expect(await gitCommit(unit)).toBe(`${commit}+`);
  });

  it('is that of the repository which a link leads into', async () => {
    const { root } = repository();
    const link = join(scratch(), 'link');
    symlinkSync(join(root, 'unit'), link);
    expect(await gitCommit(link)).toMatch(/^[0-9a-f]{12}$/);
  });

  it('shows with + what differs from the commit, staged or not, and nothing else', async () => {
    const { root, git } = repository();
    const unit = join(root, 'unit');
    const commit = await gitCommit(unit);
    const file = join(unit, 'q.sql');
    for (const change of [
      () => writeFileSync(file, 'SELECT 2'),
      () => rmSync(file),
      () => {
        rmSync(file);
        symlinkSync('../other', file);
      },
      () => {
        mkdirSync(join(unit, 'deep'));
        writeFileSync(join(unit, 'deep', '_setup.sql'), '');
      },
      () => {
        writeFileSync(file, 'SELECT 3');
        git('add', '.');
      },
    ]) {
      change();
      expect(await gitCommit(unit)).toBe(`${commit}+`);
      git('reset', '-q', '--hard');
      git('clean', '-qfd');
      expect(await gitCommit(unit)).toBe(commit);
    }
    writeFileSync(join(unit, 'notes.txt'), 'not SQL');
    expect(await gitCommit(unit)).toBe(commit);
  });

  it('knows repositories of the other hash, and links that are committed', async () => {
    const root = scratch();
    const git = (...args: string[]): string =>
      execFileSync('git', ['-C', root, '-c', 'user.name=a', '-c', 'user.email=a@b', ...args], {
        encoding: 'utf8',
      });
    git('init', '-q', '--object-format=sha256');
    mkdirSync(join(root, 'unit'));
    writeFileSync(join(root, 'unit', 'a.sql'), 'SELECT 1');
    symlinkSync('a.sql', join(root, 'unit', 'b.sql'));
    git('add', '.');
    git('-c', 'commit.gpgsign=false', 'commit', '-q', '-m', 'first');
    expect(await gitCommit(join(root, 'unit'))).toBe(git('rev-parse', 'HEAD').slice(0, 12));
  });

  it('writes nothing into the repository, where another git may be at work', async () => {
    const { root } = repository();
    const [file, index] = [join(root, 'unit', 'q.sql'), join(root, '.git', 'index')];
    utimesSync(file, 1, 1);
    const before = readFileSync(index);
    expect(await gitCommit(join(root, 'unit'))).toMatch(/^[0-9a-f]{12}$/);
    expect(readFileSync(index).equals(before)).toBe(true);
  });

  it('is null outside a repository, and in one without a commit', async () => {
    const directory = scratch();
    expect(await gitCommit(directory)).toBeNull();
    execFileSync('git', ['-C', directory, 'init', '-q']);
    expect(await gitCommit(directory)).toBeNull();
  });
});

describe('a repository of somebody else', () => {
  // Each makes a program that the tree names run, where git is asked without care.
  const attacks: Record<
    string,
    (root: string, program: string, git: (...args: string[]) => string) => string
  > = {
    'a directory laid out as a bare repository': (root, program) => {
      const unit = join(root, 'unit');
      for (const name of ['objects', 'refs/heads']) mkdirSync(join(unit, name), { recursive: true });
      writeFileSync(join(unit, 'HEAD'), 'ref: refs/heads/main\n');
      const core = `[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = ${program}\n`;
      writeFileSync(join(unit, 'config'), core);
      return unit;
    },
    'a monitor in the configuration': (root, program, git) => {
      git('config', 'core.fsmonitor', program);
      return join(root, 'unit');
    },
    'a filter in the configuration': (root, program, git) => {
      for (const part of ['clean', 'smudge', 'process']) git('config', `filter.x.${part}`, program);
      git('config', 'filter.x.required', 'true');
      writeFileSync(join(root, '.gitattributes'), '*.sql filter=x\n');
      utimesSync(join(root, 'unit', 'q.sql'), 1, 1);
      return join(root, 'unit');
    },
    'a partial clone that fetches': (root, program, git) => {
      const tree = git('rev-parse', 'HEAD^{tree}').trim();
      git('config', 'core.repositoryformatversion', '1');
      git('config', 'extensions.partialClone', 'origin');
      git('config', 'remote.origin.promisor', 'true');
      git('config', 'remote.origin.url', `ext::${program}`);
      git('config', 'protocol.ext.allow', 'always');
      rmSync(join(root, '.git', 'objects', tree.slice(0, 2), tree.slice(2)));
      return join(root, 'unit');
    },
    'a pager, an alias, a hook': (root, program, git) => {
      git('config', 'core.pager', program);
      git('config', 'pager.ls-tree', program);
      git('config', 'alias.ls-tree', `!${program}`);
      git('config', 'alias.rev-parse', `!${program}`);
      git('config', 'core.hooksPath', root);
      for (const hook of ['post-index-change', 'fsmonitor-watchman', 'pre-auto-gc']) {
        writeFileSync(join(root, hook), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
      }
      return join(root, 'unit');
    },
  };

  it.each(Object.entries(attacks))('runs nothing of it: %s', async (name, prepare) => {
    const { root, git } = repository();
    const mark = join(scratch(), 'ran');
    const program = join(scratch(), 'program');
    writeFileSync(program, `#!/bin/sh\nenv > ${mark}\n`, { mode: 0o755 });
    const unit = prepare(root, program, git);
    // The attack works: the question that a person would ask runs the program.
    const asked = execFileSync('sh', ['-c', 'git -C "$1" status; git -C "$1" diff; true', 'sh', unit], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const works = existsSync(mark);
    rmSync(mark, { force: true });
    const commit = await commitOf(unit, { ...process.env, CLICKHOUSE_PASSWORD: 'not for git' });
    expect(existsSync(mark), asked).toBe(false);
    expect(commit === null || /^[0-9a-f]{12}\+?$/.test(commit)).toBe(true);
    if (!name.includes('pager')) expect(works).toBe(true);
  });
});

describe('thisProcess', () => {
  it('names user and host', () => {
    expect(thisProcess()).toMatchObject({ user: userInfo().username, host: hostname() });
  });
});
