import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { formatSize } from '../../core/text/bytes.js';
import { type CgroupPlace, cgroupPlace, killedAtLimit, memoryLimit } from './cgroup.js';
import { type ChildEnd, type ChildOptions, startChild } from './child.js';
import { COMMAND_ID } from './process-tree.js';
import { type ProgramEnd, runProgram } from './program.js';

/** A command to run under a memory cap. */
export interface CappedCommand extends Omit<ChildOptions, 'stdio'> {
  readonly command: string;
  readonly args: readonly string[];
  /** Of the command and everything it starts, without swap. */
  readonly memoryMaxBytes: number;
  /** Its stdin, stdout and stderr; without it those of this process. */
  readonly stdio?: readonly ['ignore' | 'inherit', number | 'inherit', number | 'inherit'];
  /** Called when the command is being started, with the way to send it a signal, and the process that becomes it. */
  readonly onStarted?: (send: (signal: NodeJS.Signals) => void, child: ChildProcess) => void;
  /** Called once, before the command starts, when it runs without a cap, and why. */
  readonly onUncapped?: (reason: string) => void;
}

/** How a command under a cap ended. */
export interface CappedEnd extends ChildEnd {
  /** Whether the kernel killed it, or something that it started, because its memory was at the cap. */
  readonly killedAtCap: boolean;
  /** Whether a cap was in force. */
  readonly capped: boolean;
}

/** Whether memory caps work here (with the version of systemd), and if not, why. */
export type Usability =
  | { readonly usable: true; readonly version: number }
  | { readonly usable: false; readonly reason: string };

/** Where programs are looked up and what they are started with; without one the environment of this process. */
export type ProgramEnv = Readonly<Record<string, string | undefined>>;

// A user manager answers in 50 ms; one that hangs (a bus whose daemon is stopped) must not hang a job for ever.
const LIMIT_MS = 15_000;
// The first version that warns about `$` in the command of a scope, and can be told to leave it alone.
const EXPANDS_SINCE = 254;
const TRIAL_BYTES = 256 * 1024 * 1024;

// Runs inside the scope, as `sh -c SCRIPT sh COMMAND ARG...`. It tells where it is and starts the command when it
// is told to. It leaves a `cat` behind that ends when descriptor 3 is closed on the other side: while it lives,
// systemd keeps the scope's group, so that its counters can be read after the command has ended. `cat` is no child
// of the command (which may wait for all its children), survives the signals that end the command, and holds none
// of its descriptors; nor is it one of its processes, which are found by COMMAND_ID.
const IN_SCOPE = `cat /proc/self/cgroup >&3; echo >&3
read -r go <&3 || exit 1
( ( trap '' HUP INT QUIT TERM; unset ${COMMAND_ID}; exec cat <&3 >/dev/null 2>&1 3>&- ) & )
exec "$@" 3>&-`;

/**
 * Whether `systemd-run --user --scope` can cap memory here: systemd-run is there, a user manager answers, and the
 * kernel shows the cap of a trial. Takes about 60 ms and never rejects. Linux only; elsewhere there is no
 * systemd-run.
 */
export async function systemdUsable(env?: ProgramEnv): Promise<Usability> {
  const version = await systemdVersion(env);
  if (typeof version === 'string') return { usable: false, reason: version };
  const trial = { command: 'true', args: [], memoryMaxBytes: TRIAL_BYTES };
  const scope = startScope({ ...trial, env }, version, 'pipe');
  let stderr = '';
  scope.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => scope.child.kill('SIGKILL'), LIMIT_MS);
  const entered = await scope.entered;
  // It was not told to start anything, and ends.
  scope.line.destroy();
  const { signal } = await scope.ended;
  clearTimeout(timer);
  if (entered?.limitBytes !== undefined) return { usable: true, version };
  if (entered !== undefined) {
    return { usable: false, reason: 'the user manager of systemd does not control memory' };
  }
  const words = signal === null ? oneLine(stderr) || 'it said nothing' : `no answer in ${LIMIT_MS / 1000} s`;
  return { usable: false, reason: `systemd-run --user --scope fails: ${words}` };
}

/**
 * Runs a command with the memory of it and of all that it starts capped, in a scope of `systemd --user`
 * (`MemoryMax=`, and `MemorySwapMax=0` so that it does not go on in swap); resolves with how it ended. The command
 * stays in the process group and on the terminal of this process. Where caps do not work it runs without one, and
 * `onUncapped` is told.
 *
 * `usability` is what {@link systemdUsable} said, where it was asked already. Never rejects. Signals are not
 * forwarded by themselves: `onStarted` gives the means. SIGKILL of this process leaves the command running, capped.
 */
export async function runCapped(request: CappedCommand, usability?: Usability): Promise<CappedEnd> {
  const { env } = request;
  const found = usability ?? (await systemdUsable(env));
  if (!found.usable) return await runUncapped(request, found.reason);
  const scope = startScope(request, found.version, 'inherit');
  request.onStarted?.(signal => scope.child.kill(signal), scope.child);
  const entered = await scope.entered;
  if (entered === undefined) {
    const end = await scope.ended;
    // Ended by a signal that was sent on, before the command.
    if (end.signal !== null) return { ...end, killedAtCap: false, capped: true };
    return await runUncapped(request, 'systemd-run could not start the scope');
  }
  const { place, limitBytes } = entered;
  // The kernel rounds down to whole pages.
  const capped = limitBytes !== undefined && limitBytes <= request.memoryMaxBytes;
  if (!capped) request.onUncapped?.(`the kernel shows no cap of ${formatSize(request.memoryMaxBytes)}`);
  scope.line.write('go\n');
  const end = await scope.ended;
  const failed = end.exitCode !== 0;
  // `undefined` only where the group is gone in spite of `cat`, killed together with the command.
  const atLimit = failed && place !== undefined ? killedAtLimit(place) : false;
  const killedAtCap = atLimit ?? (await resultOf(scope.name, env)) === 'oom-kill';
  scope.line.destroy();
  // A failed unit stays in the manager's list until somebody has looked at it.
  if (killedAtCap) await systemctl(env, 'reset-failed', scope.name);
  return { ...end, killedAtCap, capped };
}

async function runUncapped(request: CappedCommand, reason: string): Promise<CappedEnd> {
  request.onUncapped?.(reason);
  const { child, ended } = startChild(request.command, request.args, { ...request, stdio: stdioOf(request) });
  request.onStarted?.(signal => child.kill(signal), child);
  return { ...(await ended), killedAtCap: false, capped: false };
}

interface Scope {
  readonly name: string;
  readonly child: ChildProcess;
  readonly ended: Promise<ChildEnd>;
  /** Descriptor 3 of {@link IN_SCOPE}: a line written to it starts the command, its end ends what it left. */
  readonly line: Duplex;
  /** Where the scope is and what its limit is; `undefined` when systemd-run ended before that. */
  readonly entered: Promise<{ place: CgroupPlace | undefined; limitBytes: number | undefined } | undefined>;
}

function startScope(request: CappedCommand, version: number, stderr: 'inherit' | 'pipe'): Scope {
  const name = `qrun-${randomBytes(8).toString('hex')}.scope`;
  const [stdin, stdout, ownStderr] = stdioOf(request);
  const { child, ended } = startChild(
    'systemd-run',
    [
      '--user',
      '--scope',
      '--quiet',
      `--unit=${name}`,
      `--property=MemoryMax=${request.memoryMaxBytes}`,
      '--property=MemorySwapMax=0',
      ...(version >= EXPANDS_SINCE ? ['--expand-environment=no'] : []),
      '--',
      'sh',
      '-c',
      IN_SCOPE,
      'sh',
      request.command,
      ...request.args,
    ],
    { ...request, stdio: [stdin, stdout, stderr === 'pipe' ? 'pipe' : ownStderr, 'pipe'] },
  );
  const line = child.stdio[3] as Duplex;
  const entered = firstMessage(line).then(membership => {
    if (membership === undefined) return undefined;
    const place = cgroupPlace('memory', membership, readFileSync('/proc/self/mountinfo', 'utf8'));
    if (place === undefined || !place.directory.endsWith(`/${name}`)) {
      return { place: undefined, limitBytes: undefined };
    }
    return { place, limitBytes: memoryLimit(place) };
  });
  return { name, child, ended, line, entered };
}

/** The exit code by which a shell would tell of such an end: 128 and the number of the signal. */
export function shellExitCode({ exitCode, signal }: Pick<CappedEnd, 'exitCode' | 'signal'>): number {
  return exitCode ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

// Everything up to an empty line; `undefined` when the stream ends before it.
function firstMessage(stream: Duplex): Promise<string | undefined> {
  return new Promise(resolve => {
    let text = '';
    stream.setEncoding('utf8');
    stream.on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('\n\n')) resolve(text);
    });
    stream.once('end', () => resolve(undefined));
    stream.once('close', () => resolve(undefined));
    // The other side ends with the scope; `close` follows.
    stream.on('error', () => {});
  });
}

/** The version of systemd-run, or why there is none. */
async function systemdVersion(env: ProgramEnv | undefined): Promise<number | string> {
  const end = await runProgram('systemd-run', ['--version'], {
    env,
    timeoutMs: LIMIT_MS,
  });
  const version = Number(/^systemd (\d+)/.exec(end.stdout)?.[1]);
  if (end.ok && Number.isInteger(version)) return version;
  return end.startError === undefined
    ? `systemd-run --version fails: ${oneLine(end.stderr) || end.message}`
    : `there is no systemd-run in PATH (${end.startError})`;
}

async function resultOf(name: string, env: ProgramEnv | undefined): Promise<string> {
  const { stdout } = await systemctl(env, 'show', name, '--property=Result', '--value');
  return stdout.trim();
}

function systemctl(env: ProgramEnv | undefined, ...args: string[]): Promise<ProgramEnd> {
  return runProgram('systemctl', ['--user', ...args], {
    env,
    timeoutMs: LIMIT_MS,
  });
}

function stdioOf({ stdio }: CappedCommand) {
  return stdio ?? (['inherit', 'inherit', 'inherit'] as const);
}

function oneLine(text: string): string {
  return text.trim().replace(/\s+/g, ' ').slice(0, 300);
}
