import { execFile } from 'node:child_process';
import { hostname, userInfo } from 'node:os';

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
 * since; `null` outside a repository or without git. Takes at most two seconds.
 */
export async function gitCommit(directory: string): Promise<string | null> {
  const [head, status] = await Promise.all([
    git(directory, 'rev-parse', '--short=12', 'HEAD'),
    git(directory, 'status', '--porcelain', '--untracked-files=normal', '--', '.'),
  ]);
  if (head === undefined || head === '') return null;
  return `${head}${status === '' ? '' : '+'}`;
}

// execFile and not execa: every run starts with this, and loading execa takes longer than git does.
function git(directory: string, ...args: string[]): Promise<string | undefined> {
  return new Promise(resolve => {
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
