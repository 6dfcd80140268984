import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gitCommit } from '../../src/io/unit/git-commit.js';
import { scratch } from '../integration/machine/processes.js';

type Git = (...args: string[]) => string;

function repository(root = scratch()): { readonly root: string; readonly git: Git } {
  const who = ['-c', 'user.name=a', '-c', 'user.email=a@b', '-c', 'commit.gpgsign=false'];
  const git: Git = (...args) => execFileSync('git', ['-C', root, ...who, ...args], { encoding: 'utf8' });
  mkdirSync(join(root, 'unit'), { recursive: true });
  git('init', '-q');
  writeFileSync(join(root, 'unit', 'q.sql'), 'SELECT 1');
  writeFileSync(join(root, '.gitattributes'), '*.sql filter=x diff=x merge=x\n');
  git('add', '.');
  git('commit', '-q', '-m', 'first');
  return { root, git };
}

// All that runs a program when the right command of git reads it.
function configOf(program: string): string {
  return [
    `[core]\n\tfsmonitor = ${program}\n\tpager = ${program}\n\tsshCommand = ${program}\n\tgitProxy = ${program}`,
    `\taskPass = ${program}\n\teditor = ${program}\n\talternateRefsCommand = ${program}`,
    `[filter "x"]\n\tclean = ${program}\n\tsmudge = ${program}\n\tprocess = ${program}\n\trequired = true`,
    `[diff]\n\texternal = ${program}\n[diff "x"]\n\tcommand = ${program}\n\ttextconv = ${program}`,
    `[merge "x"]\n\tdriver = ${program}\n[credential]\n\thelper = !${program}\n[gpg]\n\tprogram = ${program}`,
    `[log]\n\tshowSignature = true\n[pager]\n\trev-parse = ${program}\n\tls-tree = ${program}`,
    `[alias]\n\trev-parse = !${program}\n\tls-tree = !${program}\n[uploadpack]\n\tpackObjectsHook = ${program}`,
    `[trace2]\n\teventTarget = ${program}.trace\n\tnormalTarget = ${program}.trace\n`,
  ].join('\n');
}

const append = (path: string, text: string): void => writeFileSync(path, readFileSync(path, 'utf8') + text);

interface Attack {
  readonly root: string;
  readonly git: Git;
  readonly program: string;
  /** All that runs programs, as the text of a configuration. */
  readonly config: string;
}

// Each makes a form of repository, gives the unit in it, and a person who asks git there runs the program.
const FORMS: Readonly<Record<string, (attack: Attack) => string>> = {
  'a .git directory': ({ root, config }) => {
    append(join(root, '.git/config'), config);
    return join(root, 'unit');
  },
  'a .git file that leads to a directory of the tree': ({ root, config }) => {
    renameSync(join(root, '.git'), join(root, 'elsewhere'));
    writeFileSync(join(root, '.git'), 'gitdir: elsewhere\n');
    append(join(root, 'elsewhere/config'), config);
    return join(root, 'unit');
  },
  'a .git link': ({ root, config }) => {
    renameSync(join(root, '.git'), join(root, 'elsewhere'));
    symlinkSync('elsewhere', join(root, '.git'));
    append(join(root, 'elsewhere/config'), config);
    return join(root, 'unit');
  },
  'a worktree': ({ root, git, config }) => {
    git('worktree', 'add', '-q', 'other');
    append(join(root, '.git/config'), config);
    return join(root, 'other', 'unit');
  },
  'a worktree with a configuration of its own': ({ root, git, config }) => {
    git('worktree', 'add', '-q', 'other');
    git('config', 'extensions.worktreeConfig', 'true');
    writeFileSync(join(root, '.git/worktrees/other/config.worktree'), config);
    return join(root, 'other', 'unit');
  },
  'a common directory elsewhere': ({ root, config }) => {
    cpSync(join(root, '.git'), join(root, 'common'), { recursive: true });
    append(join(root, 'common/config'), config);
    writeFileSync(join(root, '.git/commondir'), '../common\n');
    return join(root, 'unit');
  },
  'a submodule': ({ root, git, config }) => {
    const inner = repository(join(root, 'sub'));
    git('-c', 'advice.addEmbeddedRepo=false', 'add', 'sub');
    append(join(inner.root, '.git/config'), config);
    return join(inner.root, 'unit');
  },
  'an included file of the tree': ({ root, git, config }) => {
    writeFileSync(join(root, 'more'), config);
    git('config', 'include.path', '../more');
    return join(root, 'unit');
  },
  'a file that is included on a condition': ({ root, git, config }) => {
    writeFileSync(join(root, 'more'), config);
    git('config', `includeIf.gitdir:${root}/.path`, '../more');
    return join(root, 'unit');
  },
  'hooks in their place': ({ root, program, git }) => {
    for (const hook of [
      'post-index-change',
      'reference-transaction',
      'post-checkout',
      'fsmonitor-watchman',
    ]) {
      writeFileSync(join(root, '.git/hooks', hook), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
    }
    git('config', 'core.fsmonitor', join(root, '.git/hooks/fsmonitor-watchman'));
    return join(root, 'unit');
  },
  'objects of another directory, and objects that are missing': ({ root, git, config }) => {
    const tree = git('rev-parse', 'HEAD:unit').trim();
    const other = scratch();
    cpSync(join(root, '.git/objects'), other, { recursive: true });
    writeFileSync(join(root, '.git/objects/info/alternates'), `${other}\n`);
    rmSync(join(root, '.git/objects', tree.slice(0, 2)), { recursive: true });
    append(join(root, '.git/config'), config);
    return join(root, 'unit');
  },
};

describe('a repository of somebody else', () => {
  it.each(Object.entries(FORMS))('runs nothing of it: %s', async (name, prepare) => {
    const { root, git } = repository();
    const place = scratch();
    const [mark, program] = [join(place, 'ran'), join(place, 'program')];
    writeFileSync(program, `#!/bin/sh\nenv >> ${mark}\nfalse\n`, { mode: 0o755 });
    const unit = prepare({ root, git, program, config: configOf(program) });
    utimesSync(join(unit, 'q.sql'), 1, 1);
    // The form works: what a person would ask runs the program.
    const script = 'git -C "$1" status; git -C "$1" diff; true';
    execFileSync('sh', ['-c', script, 'sh', unit], { stdio: 'ignore' });
    expect(existsSync(mark), name).toBe(true);
    rmSync(mark);
    rmSync(`${program}.trace`, { force: true });
    const commit = await gitCommit(unit, { ...process.env, CLICKHOUSE_PASSWORD: 'not for git' });
    expect([existsSync(mark), existsSync(`${program}.trace`)]).toEqual([false, false]);
    expect(commit).toMatch(/^[0-9a-f]{12}\+?$/);
  });

  it('obeys no variable of git', async () => {
    const { root } = repository();
    const [mark, program] = [join(scratch(), 'ran'), join(scratch(), 'program')];
    writeFileSync(program, `#!/bin/sh\nenv >> ${mark}\n`, { mode: 0o755 });
    const other = repository();
    writeFileSync(join(other.root, 'x'), 'x');
    other.git('add', '.');
    other.git('commit', '-qm', 'second');
    const commit = await gitCommit(join(root, 'unit'), {
      ...process.env,
      GIT_DIR: join(other.root, '.git'),
      GIT_WORK_TREE: other.root,
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'core.fsmonitor',
      GIT_CONFIG_VALUE_0: program,
      GIT_CONFIG_GLOBAL: join(other.root, '.git/config'),
      GIT_EXEC_PATH: scratch(),
      GIT_EXTERNAL_DIFF: program,
      GIT_SSH_COMMAND: program,
      GIT_PAGER: program,
      GIT_TRACE: mark,
      BASH_ENV: program,
      ENV: program,
    });
    expect(existsSync(mark)).toBe(false);
    const head = execFileSync('git', ['-C', root, 'rev-parse', '--short=12', 'HEAD'], { encoding: 'utf8' });
    expect(commit).toBe(head.trim());
  });

  it.each([
    '.git',
    '.git/HEAD',
    '.git/config',
    '.git/index',
    '.git/packed-refs',
    '.git/objects/info/alternates',
  ])('does not wait for a FIFO in place of %s', async path => {
    const { root } = repository();
    rmSync(join(root, path), { recursive: true, force: true });
    execFileSync('mkfifo', [join(root, path)]);
    const since = performance.now();
    await gitCommit(join(root, 'unit'), process.env);
    // It has two seconds, whatever it does.
    expect(performance.now() - since).toBeLessThan(10_000);
  });
});
