import { existsSync } from 'node:fs';
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
  const status = await git(
    directory,
    ...['status', '--porcelain=v2', '--branch', '--untracked-files=normal', '--', '.'],
  );
  if (status === undefined) {
    const head = await git(directory, 'rev-parse', '--short=12', 'HEAD');
    return head === undefined || head === '' ? null : `${head}+`;
  }
  const head = /^# branch\.oid ([0-9a-f]{12})/m.exec(status)?.[1];
  if (head === undefined) return null;
  return /^[^#]/m.test(status) ? `${head}+` : head;
}

function isInRepository(directory: string): boolean {
  for (let at = resolve(directory); ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true;
    if (at === dirname(at)) return false;
  }
}

// execFile and not execa: every run starts with this, and loading execa takes longer than git does.
async function git(directory: string, ...args: string[]): Promise<string | undefined> {
  const { execFile } = await import('node:child_process');
  return await new Promise(resolve => {
    // Optional locks: to refresh the index is not ours to do beside a git that is at work.
    execFile(
      'git',
      ['--no-optional-locks', '-C', directory, ...args],
      { timeout: 2_000 },
      (error, stdout) => {
        resolve(error === null ? stdout.trim() : undefined);
      },
    );
  });
}
