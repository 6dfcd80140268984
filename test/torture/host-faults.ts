import { setTimeout as sleep } from 'node:timers/promises';
import type { HostProcess, SshHost } from '../services/ssh-hosts.js';
import type { HostPair } from './host-pair.js';
import type { HostSweep } from './host-sweep.js';
import type { Random } from './random.js';

/** What a fault works on. */
export interface Ground {
  readonly sweep: HostSweep;
  readonly pair: HostPair;
  readonly random: Random;
}

/** A fault: does it, and gives whether it took place. */
export type Fault = (ground: Ground) => Promise<boolean>;

// So long is waited for something to hit.
const AIM_LIMIT_MS = 1_500;

/** All faults, by what the report calls them. What a fault has broken is whole again when it resolves. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  'unit killed': async ground => await hit(ground, (pid, kill) => kill(pid, 'SIGKILL')),
  'group killed': async ground => await hit(ground, (pid, kill) => kill(-pid, 'SIGKILL')),
  'unit stopped': async ground => await hit(ground, (pid, kill) => kill(pid, 'SIGTERM')),
  'queue killed': async ({ pair, random }) => {
    const host = random.pick(pair.hosts);
    await host.killQueue();
    await sleep(random.int(0, 800));
    await host.startQueue();
    return true;
  },
  'link cut': async ground => {
    const host = ground.random.pick(ground.pair.hosts);
    host.link('down');
    try {
      await whileAway(ground);
    } finally {
      host.link('up');
    }
    return true;
  },
  'server cut off': async ({ pair, random }) => {
    const host = random.pick(pair.hosts);
    host.serverLink('down');
    await sleep(random.int(50, 1500));
    host.serverLink('up');
    return true;
  },
  'host died': async ground => {
    const host = ground.random.pick(ground.pair.hosts);
    await host.crash();
    try {
      await whileAway(ground);
    } finally {
      await host.boot();
    }
    return true;
  },
  'command killed': async ({ sweep, random }) => {
    const command = sweep.qrun(...random.pick(KILLED));
    await Promise.race([sleep(random.int(200, 1200)), command.ended]);
    command.kill('SIGKILL');
    const { signal, hung } = await command.ended;
    return signal === 'SIGKILL' && !hung;
  },
  'login killed': async ({ sweep, pair, random }) => {
    const command = sweep.qrun(...random.pick(COMMANDS));
    await Promise.race([sleep(random.int(300, 1200)), command.ended]);
    const logins = random.pick(pair.hosts).processes().filter(isOfLogin);
    for (const { pid } of logins) kill(pid);
    await command.ended;
    return logins.length > 0;
  },
  'commands at once': async ({ sweep, random }) => {
    const commands = random.shuffled([...COMMANDS, ...COMMANDS]).slice(0, 3);
    await Promise.all(commands.map(words => sweep.qrun(...words).ended));
    return true;
  },
  'text changed': async ({ sweep, random }) => {
    const changed = sweep.change(random.pick(sweep.units as [string, ...string[]]));
    // It may be refused, because the unit runs.
    await sweep.qrun('hosts', 'push', '.').ended;
    return changed > 0;
  },
  cancelled: async ({ sweep, random }) => {
    const unit = random.pick(sweep.units as [string, ...string[]]);
    await sweep.qrun('cancel', '.', ...(random.chance(0.5) ? [] : ['--include', unit])).ended;
    return true;
  },
};

/** Those that always take place. */
export const CERTAIN = ['queue killed', 'link cut', 'server cut off', 'host died'] as const;

type Words = readonly string[];

const COMMANDS: readonly [Words, ...Words[]] = [
  ['submit-all', '.', '-P2', '--resume-group'],
  ['hosts', 'push', '.'],
  ['collect', '.'],
  ['audit-all', '.'],
];
// The last ones may wait for long, and so are only killed.
const KILLED: readonly [Words, ...Words[]] = [
  ...COMMANDS,
  ['audit-all', '.', '--when-ended'],
  ['status', '.', '--watch'],
];

// The session of an sshd, or a copy that goes over it; not what a queue has started.
function isOfLogin({ words: [first = '', second] }: HostProcess): boolean {
  return /^sshd: \w+(@| \[)/.test(first) || (first === 'rsync' && second === '--server');
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

// Nobody reaches the host meanwhile: for a moment, or for as long as a command takes that finds it gone.
async function whileAway({ sweep, random }: Ground): Promise<void> {
  await sleep(random.int(100, 1500));
  if (random.chance(0.4)) await sweep.qrun('submit-all', '.', '-P2', '--resume-group').ended;
}

// A process that runs a unit, on any host.
async function hit(
  { sweep, pair, random }: Ground,
  act: (pid: number, kill: typeof process.kill) => void,
): Promise<boolean> {
  const deadline = performance.now() + AIM_LIMIT_MS;
  for (;;) {
    const running = pair.hosts.flatMap((host: SshHost) => sweep.runsOn(host));
    const [first, ...rest] = running;
    if (first !== undefined) {
      try {
        act(random.pick([first, ...rest]).pid, process.kill);
        return true;
      } catch {
        // It has just ended.
      }
    }
    if (performance.now() > deadline) return false;
    await sleep(20);
  }
}
