import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitCommit, whoAndWhere } from '../../src/io/identity.js';
import { scratch } from './processes.js';

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

  it('is told by a git that knows nothing of the second format', async () => {
    const { root, git } = repository();
    const commit = git('rev-parse', '--short=12', 'HEAD').trim();
    const bin = scratch();
    const real = execFileSync('sh', ['-c', 'command -v git'], { encoding: 'utf8' }).trim();
    writeFileSync(
      join(bin, 'git'),
      `#!/bin/sh\ncase "$*" in *porcelain=v2*) exit 129;; esac\nexec ${real} "$@"\n`,
      { mode: 0o755 },
    );
    const { PATH } = process.env;
    process.env.PATH = `${bin}:${PATH}`;
    try {
      expect(await gitCommit(join(root, 'unit'))).toBe(commit);
      writeFileSync(join(root, 'unit', 'new.sql'), 'SELECT 2');
      expect(await gitCommit(join(root, 'unit'))).toBe(`${commit}+`);
    } finally {
      process.env.PATH = PATH;
    }
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

describe('whoAndWhere', () => {
  it('names user and host', () => {
    expect(whoAndWhere()).toEqual({ user: userInfo().username, host: hostname() });
  });
});
