import { pasteableCommand } from '../text/shell.js';
import type { Host } from './host.js';
import { type ConnectionEnd, checkHint, type HostProblem, sshProblem } from './ssh-failure.js';

/** What rsync has moved. */
export interface Transfer {
  /** Files that were sent, whole or in part. */
  readonly files: number;
  /** Bytes of them that the other side did not have. */
  readonly bytes: number;
  /** Files that were removed at the other side. */
  readonly deleted: number;
}

/** Which way files go. */
export interface Way {
  /** The side that writes. */
  readonly to: 'here' | 'there';
  /** The directory that is written to. */
  readonly into: string;
}

/** Options of every transfer: the numbers of {@link transferOf}, and an end if the other side falls silent. */
export const TRANSFER_OPTIONS = ['--stats', '--no-human-readable', '--timeout=60'] as const;

/** A transfer has no other limit than the silence of the other side: a first push over a slow line takes hours. */
export const TRANSFER_LIMIT_MS = 24 * 3600_000;

/** Returns the numbers that rsync prints for {@link TRANSFER_OPTIONS}; all 0 for other text. */
export function transferOf(stdout: string): Transfer {
  // Names of files may stand before it, each on a line that begins otherwise.
  const stats = stdout.slice(Math.max(0, stdout.lastIndexOf('\nNumber of files: ')));
  const number = (pattern: RegExp): number => Number(pattern.exec(stats)?.[1] ?? 0);
  return {
    files: number(/^Number of regular files transferred: (\d{1,15})/m),
    bytes: number(/^Literal data: (\d{1,15}) bytes/m),
    deleted: number(/^Number of deleted files: \d{1,15} \(reg: (\d{1,15})/m),
  };
}

/** Returns the size of the files that the other side does not have, also of a transfer that was only tried. */
export function newBytesOf(stdout: string): number {
  return Number(/^Total transferred file size: (\d{1,15}) bytes/m.exec(stdout)?.[1] ?? 0);
}

// rsync's exit codes, from its manual.
const VANISHED = 24;
const PARTIAL = 23;
// An option, a protocol or an action that one side does not know.
const TOO_OLD = new Set([1, 2, 4]);
const IN_PROTOCOL = new Set([10, 12, 30, 35]);

/**
 * Returns why a transfer did not succeed, or not wholly; `undefined` if it did. What rsync prints decides before what
 * it ends with, because most of its failures end with 23. A file that was gone before its turn came is no failure.
 */
export function transferProblem(host: Host, end: ConnectionEnd, { to, into }: Way): HostProblem | undefined {
  const { exitCode, timedOut } = end;
  if (exitCode === 0 || exitCode === VANISHED) return undefined;
  const lines = end.stderr.split(/[\r\n]+/).filter(line => line !== '');
  const own = lines.filter(line => line.startsWith('rsync'));
  const others = lines.filter(line => !line.startsWith('rsync')).join('\n');
  const unreached = sshProblem(host, { exitCode, timedOut, stderr: others });
  if (unreached !== undefined) return unreached;
  const [first = `rsync ended with ${exitCode ?? 'a signal'}`] = own;
  // Behind the side that says so, in brackets.
  const full = own.find(
    line =>
      line.includes('] ') &&
      /No space left on device|Disk quota exceeded/.test(line.slice(line.indexOf('] '))),
  );
  if (full !== undefined) {
    const mend =
      to === 'here'
        ? 'free space here; nothing is lost: what was copied counts, the rest is copied the next time'
        : `free space there, or name another root = "..." of this host in qrun.toml`;
    return { code: 'WRITE_FAILED', says: `the disk of ${into} ${to} is full`, mend };
  }
  const isMissing = /\brsync: .*(?:not found|No such file|Permission denied)/.test(others);
  if (isMissing || exitCode === 127 || exitCode === 126) {
    const mend = pasteableCommand(['ssh', host.ssh, 'sudo', 'apt-get', 'install', '-y', 'rsync']);
    return { code: 'HOST_FAILED', says: 'rsync is not in the PATH that ssh gives there', mend };
  }
  if (exitCode !== undefined && IN_PROTOCOL.has(exitCode)) {
    const says = `it stopped answering while files were copied (${shown(others.split('\n').at(-1) || first)})`;
    return {
      code: 'HOST_UNREACHABLE',
      says,
      mend: `look whether it is alive: ${pasteableCommand(['ssh', host.ssh])}`,
    };
  }
  if (exitCode !== undefined && TOO_OLD.has(exitCode)) {
    const says = `rsync here or there cannot do what is needed: ${shown(first)}`;
    return { code: 'HOST_FAILED', says, mend: 'install rsync 3.1.3 or later on both' };
  }
  const receiver = own.find(line => /^rsync: \[(?:receiver|generator)\]/i.test(line));
  if (receiver !== undefined) {
    const says = `not everything could be written to ${into} ${to}: ${shown(receiver)}`;
    return { code: 'WRITE_FAILED', says, mend: `make it writable ${to}, and try again` };
  }
  if (exitCode !== PARTIAL) {
    const mend = checkHint(host);
    return { code: 'HOST_FAILED', says: `files could not be copied: ${shown(first)}`, mend };
  }
  const from = to === 'here' ? 'there' : 'here';
  return {
    code: 'READ_FAILED',
    says: `not everything could be read ${from}: ${shown(first)}`,
    mend: `make it readable ${from}, and try again`,
  };
}

function shown(line: string): string {
  return line.replace(/^rsync(?: error)?: /, '').slice(0, 300);
}
