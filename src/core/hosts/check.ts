import { LITTLE_SPACE_BYTES, NO_SPACE_BYTES } from '../machine/free-space.js';
import type { Output } from '../schema.js';
import { formatSize } from '../text/bytes.js';
import { pasteableCommand } from '../text/shell.js';
import type { Host } from './host.js';
import type { finding, hostCheck, schema } from './hosts-check.schema.js';
import type { HereReport, HostLook } from './look.js';
import type { HostProblem } from './ssh-failure.js';

/** What was found about one thing on a host. */
export interface HostFinding extends Output<typeof finding> {}

/** One host, and what a sweep would miss there. */
export interface HostCheck extends Output<typeof hostCheck> {}

/** All hosts. */
export interface HostsCheck extends Output<typeof schema> {}

/** What is known here when a host has answered. */
export interface Asked {
  /** The version of qrun here. */
  readonly version: string;
  /** The name of the queue, which is that of its client. */
  readonly queue: string;
  /** When it was asked and when it had answered, by the clock here, in seconds since 1970. */
  readonly askedS: number;
  readonly answeredS: number;
  readonly elapsedMs: number;
}

// Nothing of qrun compares clocks of two hosts, but people compare times in logs, and certificates have theirs.
const CLOCK_LIMIT_S = 5;

/** Returns a host that was not reached. */
export function unreachedHost(host: Host, { says, mend }: HostProblem): HostCheck {
  return { ...nothingKnown(host), findings: [problem('ssh', says, mend)] };
}

/** Returns what was found on a host. `look`: `undefined` for an answer that is not the one of the script. */
export function checkHost(host: Host, look: HostLook | undefined, asked: Asked): HostCheck {
  const reached = { ...nothingKnown(host), reached: true, elapsed_ms: Math.round(asked.elapsedMs) };
  if (look === undefined) {
    const says = 'it lets us in, but runs no command: its login shell may ask something or end at once';
    const mend = `see what this prints: ${pasteableCommand(['ssh', host.ssh, 'echo', 'ok'])}`;
    return { ...reached, findings: [problem('ssh', says, mend)] };
  }
  const here = 'here' in look.qrun ? look.qrun.here : undefined;
  const ahead = clockAhead(look, asked);
  return {
    ...reached,
    node: look.node === '' ? (here?.node ?? null) : look.node,
    qrun: here?.version ?? ('version' in look.qrun ? look.qrun.version : null),
    queue: here?.queue.version ?? (look.queue === '' ? null : look.queue),
    free_bytes: look.freeBytes ?? null,
    clock_ahead_s: ahead,
    locks: here?.locks ?? null,
    sweeps: here === undefined ? [] : sweepsOf(here),
    findings: [
      ...qrunFindings(host, look, asked),
      ...(here === undefined ? queueMissing(host, look, asked) : queueFindings(host, here)),
      ...rootFindings(host, look, here),
      ...diskFindings(look),
      ...clockFindings(host, ahead),
      ...rsyncFindings(host, look),
    ],
  };
}

/** Returns the exit code of a check: that of the worst problem; 0 without one. 26 for a host, 23 for its root. */
export function checkExit(hosts: readonly Pick<HostCheck, 'findings'>[]): number {
  const codes = hosts.flatMap(({ findings }) => findings.map(({ exit_code: code }) => code));
  return Math.max(0, ...codes);
}

function nothingKnown({ name, ssh, root, slots }: Host): HostCheck {
  return {
    ...{ name, ssh, root, slots },
    reached: false,
    elapsed_ms: null,
    ...{ node: null, qrun: null, queue: null, free_bytes: null, clock_ahead_s: null, locks: null },
    sweeps: [],
    findings: [],
  };
}

/** Returns a finding that no sweep can run with: of the host (26), or of its disk (23). */
export function problem(what: string, says: string, mend: string, exitCode = 26): HostFinding {
  return { what, state: 'problem', says, mend, exit_code: exitCode };
}

function note(what: string, says: string, mend: string): HostFinding {
  return { what, state: 'note', says, mend, exit_code: 0 };
}

function there({ ssh }: Host, ...words: readonly string[]): string {
  return pasteableCommand(['ssh', ssh, ...words]);
}

function qrunFindings(host: Host, { qrun, node }: HostLook, { version }: Asked): HostFinding[] {
  const npm = there(host, 'npm', 'install', '--global', `qrun@${version}`);
  const install = `qrun hosts deploy --host ${host.name}   (or ${npm})`;
  if (!('exitCode' in qrun)) {
    const its = 'here' in qrun ? qrun.here.version : qrun.version;
    if (its !== version) {
      return [problem('qrun', `version ${its} there, ${version} here: both must be the same`, install)];
    }
    if ('here' in qrun) return [];
    const says = 'it starts, but cannot say what is there';
    return [problem('qrun', says, `see what this prints: ${there(host, ...host.qrun, 'hosts', 'here')}`)];
  }
  const { exitCode, says } = qrun;
  const command = host.qrun.join(' ');
  if (node === '' && exitCode === 127) {
    const what = `neither Node nor ${command} is in the PATH that ssh gives`;
    return [
      problem('qrun', what, 'name both by their paths: qrun = ["/PATH/node", "/PATH/qrun.cjs"] of this host'),
    ];
  }
  const missing = exitCode === 127 || exitCode === 126;
  const what = missing ? `there is no ${command} there` : `${command} --version ended with ${exitCode}`;
  const mend = `${install}, or name it: qrun = "/PATH/qrun" of this host in qrun.toml`;
  return [problem('qrun', says === '' || missing ? what : `${what}: ${says}`, mend)];
}

function queueMissing(host: Host, { queue }: HostLook, { queue: name }: Asked): HostFinding[] {
  if (queue !== '') return [];
  const says = `${name} is not in the PATH that ssh gives`;
  return [
    problem(name, says, `${there(host, 'cargo', 'install', '--locked', name)}, and start its server there`),
  ];
}

function queueFindings(host: Host, { queue: { name, problem: says, mend } }: HereReport): HostFinding[] {
  if (says === null) return [];
  return [
    problem(name, says, mend === null ? `look there: ${there(host, name, 'status')}` : `there: ${mend}`),
  ];
}

function rootFindings(host: Host, look: HostLook, here: HereReport | undefined): HostFinding[] {
  const { root, nearest, writable } = look;
  const elsewhere = 'or name another root = "..." of this host in qrun.toml';
  if (root === 'file') {
    return [problem('root', `${host.root} is no directory`, `remove it there, ${elsewhere}`, 23)];
  }
  const found: HostFinding[] = [];
  if (!writable) {
    const user = '"$(id -un)"';
    const says =
      root === 'none'
        ? `${host.root} cannot be made in ${nearest}`
        : `nothing can be written in ${host.root}`;
    const mend = `${there(host, `sudo install -d -o ${user} ${pasteableCommand([host.root])}`)}, ${elsewhere}`;
    found.push(problem('root', says, mend, 23));
  }
  if (root === 'other') {
    const says = `${host.root} is not empty, and holds no qrun.toml: it is not the root of a sweep`;
    found.push(problem('root', says, `empty it, ${elsewhere}`, 23));
  }
  if (here?.problem != null) {
    found.push(
      problem('sweep', here.problem, `look there: ${there(host, ...host.qrun, 'config', host.root)}`),
    );
  }
  if (here !== undefined && here.locks === null) {
    found.push(problem('locks', 'no log can be locked there', there(host, 'npm', 'install', 'koffi'), 23));
  } else if (here?.locks === 'child') {
    found.push(
      note('locks', 'each lock starts the flock program, which is slow but safe', 'npm install koffi there'),
    );
  }
  return found;
}

function diskFindings({ freeBytes, nearest }: HostLook): HostFinding[] {
  if (freeBytes === undefined || freeBytes >= LITTLE_SPACE_BYTES) return [];
  const says = `${formatSize(freeBytes)} free on the disk of ${nearest}`;
  const mend = 'free space there, or name another root = "..." of this host in qrun.toml';
  return [freeBytes < NO_SPACE_BYTES ? problem('disk', says, mend, 23) : note('disk', says, mend)];
}

// Between the question and the answer every time is right.
function clockAhead({ clockS }: HostLook, { askedS, answeredS }: Asked): number | null {
  if (clockS === undefined) return null;
  if (clockS < Math.floor(askedS)) return Math.ceil(clockS - askedS);
  return clockS > answeredS ? Math.floor(clockS - answeredS) : 0;
}

function clockFindings(host: Host, ahead: number | null): HostFinding[] {
  if (ahead === null || Math.abs(ahead) < CLOCK_LIMIT_S) return [];
  const says = `its clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} the one here; results count all the same, times in logs mislead`;
  return [note('clock', says, there(host, 'sudo', 'timedatectl', 'set-ntp', 'true'))];
}

function rsyncFindings(host: Host, { rsync }: HostLook): HostFinding[] {
  if (rsync !== '') return [];
  const says = 'rsync is not in the PATH that ssh gives: nothing can be pushed or collected';
  return [problem('rsync', says, there(host, 'sudo', 'apt-get', 'install', '-y', 'rsync'))];
}

function sweepsOf({ tasks }: HereReport): HostCheck['sweeps'] {
  const found = new Map<string, { sweep: string; running: number; queued: number }>();
  for (const { sweep, phase } of tasks) {
    const counts = found.get(sweep) ?? { sweep, running: 0, queued: 0 };
    if (phase === 'running' || phase === 'paused') counts.running += 1;
    else counts.queued += 1;
    found.set(sweep, counts);
  }
  return [...found.values()];
}
