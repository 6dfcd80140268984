import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The version of this package. */
export function version(): string {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** Returns the command that starts this very qrun: Node and the executable, both as absolute paths. */
export function ownCommand(): string[] {
  return [process.execPath, fileURLToPath(new URL('../../../bin/qrun.cjs', import.meta.url))];
}

/** Returns what a run notes about its process: user and host for people, and the versions. */
export function thisProcess() {
  let user = 'unknown';
  try {
    user = userInfo().username;
  } catch {
    // A user id without an entry in the system's user list, as in some containers.
  }
  return { user, host: hostname(), pid: process.pid, qrun: version(), node: process.versions.node };
}
