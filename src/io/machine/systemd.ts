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
  /** The cap for the command and everything it starts, without swap. */
  readonly memoryMaxBytes: number;
  /** Its stdin, stdout and stderr; the default is those of this process. */
  readonly stdio?: readonly ['ignore' | 'inherit', number | 'inherit', number | 'inherit'];
  /** Called when the command is being started, with a function that signals it, and the process that becomes it. */
  readonly onStarted?: (send: (signal: NodeJS.Signals) => void, child: ChildProcess) => void;
  /** Called once with the reason, before the command starts, if it runs without a cap. */
  readonly onUncapped?: (reason: string) => void;
}

/** The number under which a command gets the further descriptor `held`; 3 is that of {@link IN_SCOPE}. */
export const HELD_FD = 4;

/** How a command under a cap ended. */
export interface CappedEnd extends ChildEnd {
  /** Whether the kernel killed it, or something that it started, because the memory cap was reached. */
  readonly killedAtCap: boolean;
  /** Whether a cap was in force. */
  readonly capped: boolean;
}

/** Whether memory caps work here: the version of systemd if they do, the reason if they do not. */
export type Usability =
  | { readonly usable: true; readonly version: number }
  | { readonly usable: false; readonly reason: string };

/** The environment in which programs are looked up and started. */
export type ProgramEnv = Readonly<Record<string, string | undefined>>;

// A user manager answers in 50 ms; one that hangs (a bus whose daemon is stopped) must not hang a job forever.
const LIMIT_MS = 15_000;
// The first version that warns about `$` in the command of a scope, and has an option to leave it alone.
const EXPANDS_SINCE = 254;
const TRIAL_BYTES = 256 * 1024 * 1024;

// Runs inside the scope, as `sh -c SCRIPT sh COMMAND ARG...`. It reports which group it is in and starts the command
// when it is told to. It leaves a `cat` running that ends when descriptor 3 is closed on the other side. While `cat` is
// alive, systemd keeps the scope's group, so that its counters can be read after the command has ended. `cat` is not a
// child of the command (which may wait for all its children), survives the signals that end the command, and holds none
// of its descriptors. Nor does it count as one of the command's processes, which are found by COMMAND_ID.
const IN_SCOPE = `cat /proc/self/cgroup >&3; echo >&3
read -r go <&3 || exit 1
( ( trap '' HUP INT QUIT TERM; unset ${COMMAND_ID}; exec cat <&3 >/dev/null 2>&1 3>&- ) & )
exec "$@" 3>&-`;

/**
 * Finds out whether `systemd-run --user --scope` can cap memory here: systemd-run is installed, a user manager answers,
 * and the kernel shows the cap of a trial. Takes about 60 ms and never rejects. Works on Linux only; elsewhere there is
 * no systemd-run.
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
  // The script was not told to start anything, and ends.
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
 * Runs a command under a memory cap and resolves with how it ended. The cap covers the command and all that it starts.
 * It is set on a scope of `systemd --user` (`MemoryMax=`, and `MemorySwapMax=0` so that the command does not continue
 * in swap). The command stays in the process group and on the terminal of this process. If caps do not work, it runs
 * without one, and `onUncapped` is called.
 *
 * `usability` is the result of {@link systemdUsable}, if that was called already. Never rejects. Signals are not
 * forwarded automatically: `onStarted` gets a function for that. SIGKILL of this process leaves the command running,
 * with its cap.
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
    // Ended by a forwarded signal before the command was started.
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
  // `undefined` only if the group is gone because `cat` was killed together with the command.
  const atLimit = failed && place !== undefined ? killedAtLimit(place) : false;
  const killedAtCap = atLimit ?? (await resultOf(scope.name, env)) === 'oom-kill';
  scope.line.destroy();
  // A failed unit stays in the manager's list until somebody has looked at it.
  if (killedAtCap) await systemctl(env, 'reset-failed', scope.name);
  return { ...end, killedAtCap, capped };
}

async function runUncapped(request: CappedCommand, reason: string): Promise<CappedEnd> {
  request.onUncapped?.(reason);
  const { child, ended } = startChild(request.command, request.args, {
    ...request,
    stdio: [...stdioOf(request), 'ignore'],
  });
  request.onStarted?.(signal => child.kill(signal), child);
  return { ...(await ended), killedAtCap: false, capped: false };
}

interface Scope {
  readonly name: string;
  readonly child: ChildProcess;
  readonly ended: Promise<ChildEnd>;
  /** Descriptor 3 of {@link IN_SCOPE}: a line written to it starts the command; closing it ends the `cat`. */
  readonly line: Duplex;
  /** Where the scope is and what its limit is; resolves with `undefined` if systemd-run ended before that. */
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

/** The exit code that a shell would return for such an end: for a signal, 128 plus its number. */
export function shellExitCode({ exitCode, signal }: Pick<CappedEnd, 'exitCode' | 'signal'>): number {
  return exitCode ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

// Resolves with everything up to an empty line; `undefined` if the stream ends before it.
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
    // The other side closes when the scope ends; `close` follows.
    stream.on('error', () => {});
  });
}

/** Returns the version of systemd-run, or the reason why there is none. */
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
