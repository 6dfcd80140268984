import { hostname, userInfo } from 'node:os';
import { execa } from 'execa';

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
  const git = (...args: string[]) =>
    execa('git', ['-C', directory, ...args], { reject: false, timeout: 2_000, stdin: 'ignore' });
  const [head, status] = await Promise.all([
    git('rev-parse', '--short=12', 'HEAD'),
    git('status', '--porcelain', '--untracked-files=normal', '--', '.'),
  ]);
  if (head.exitCode !== 0 || head.stdout === '') return null;
  return `${head.stdout}${status.exitCode === 0 && status.stdout === '' ? '' : '+'}`;
}
