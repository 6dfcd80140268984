import { hostname, userInfo } from 'node:os';
import { version } from './version.js';

/** Returns host and user of this process, for people. */
export function whoAndWhere(): { user: string; host: string } {
  let user = 'unknown';
  try {
    user = userInfo().username;
  } catch {
    // A user id without an entry in the system's user list, as in some containers.
  }
  return { user, host: hostname() };
}

/** Returns what a run notes about its process. */
export function thisProcess() {
  return { ...whoAndWhere(), pid: process.pid, qrun: version(), node: process.versions.node };
}
