import { existsSync, realpathSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';

/** Host and user of this process, for people. */
export function whoAndWhere(): { user: string; host: string } {
  let user = 'unknown';
  try {
    user = userInfo().username;
  } catch {
    // A user id without an entry in the system's user list, as in some containers.
  }
  return { user, host: hostname() };
}

/**
 * The commit of the repository that holds a directory, with `+` when files below the directory were changed
 * since, or when that cannot be told within two seconds; `null` outside a repository or without git. Takes at most
 * four seconds.
 */
export async function gitCommit(directory: string): Promise<string | null> {
  // To start a process stops this one for several milliseconds, so that it is done once, and only in a repository.
  if (!isInRepository(directory)) return null;
  const below = ['--untracked-files=normal', '--', '.'];
  const both = await git(directory, 'status', '--porcelain=v2', '--branch', ...below);
  if (both !== undefined) {
    const head = /^# branch\.oid ([0-9a-f]{12})/m.exec(both)?.[1];
    if (head === undefined) return null;
    return /^[^#]/m.test(both) ? `${head}+` : head;
  }
  // A git before 2.11, a repository that is too large for the time, or none at all.
  const [head, status] = await Promise.all([
    git(directory, 'rev-parse', '--short=12', 'HEAD'),
    git(directory, 'status', '--porcelain', ...below),
  ]);
  if (head === undefined || head === '') return null;
  return status === '' ? head : `${head}+`;
}

function isInRepository(directory: string): boolean {
  for (let at = realPath(directory); ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true;
    if (at === dirname(at)) return false;
  }
}

// Where git is asked: it may be in a repository that a link leads into.
function realPath(directory: string): string {
  try {
    return realpathSync(directory);
  } catch {
    return resolve(directory);
  }
}

// execFile and not execa: every run starts with this, and loading execa takes longer than git does.
async function git(directory: string, ...args: string[]): Promise<string | undefined> {
  const { execFile } = await import('node:child_process');
  return await new Promise(resolve => {
    // Optional locks: to refresh the index is not ours to do beside a git that is at work.
    const child = execFile('git', ['--no-optional-locks', '-C', directory, ...args], (error, stdout) => {
      clearTimeout(timer);
      resolve(error === null ? stdout.trim() : undefined);
    });
    // Whether or not it ends then: on a dead file system it may not, and what it started (a monitor of files) may
    // hold its output.
    const timer = setTimeout(async () => {
      resolve(undefined);
      const { ProcessTree } = await import('./process-tree.js');
      new ProcessTree(child).signal('SIGKILL');
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      child.unref();
    }, GIT_LIMIT_MS);
  });
}

const GIT_LIMIT_MS = 2_000;
