import { readFileSync } from 'node:fs';
import { arch, hostname, platform, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';

/** The version of this package. */
export function version(): string {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** Returns the directory of this package: its real path, without a slash at the end. */
export function packageRoot(): string {
  return fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '');
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

/** Returns what native code must fit on this machine: Node, the system, and the C library where it is glibc. */
export function nodeHere() {
  const report = process.report;
  // It would ask for the names of all addresses.
  Object.assign(report, { excludeNetwork: true });
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const system = `${platform()} ${arch()}`;
  return { version: process.versions.node, system, glibc: header?.glibcVersionRuntime ?? '' };
}
