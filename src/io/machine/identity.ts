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
