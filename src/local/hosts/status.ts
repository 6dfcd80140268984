import { setTimeout as delay } from 'node:timers/promises';
import type { SweepWatch } from '../../app/sweep/status.js';
import type { Host } from '../../core/hosts/host.js';
import { placeUnits } from '../../core/hosts/placement.js';
import type { HostProblem } from '../../core/hosts/ssh-failure.js';
import { type HostView, mergeStatus } from '../../core/sweep/merge-status.js';
import type { SweepStatus } from '../../core/sweep/status.js';
import { unlessAborted } from '../../core/unless-aborted.js';
import type { SshOptions } from '../../io/hosts/ssh.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { type SweepHosts, withHosts } from './sweep-hosts.js';

// A host that has been reached, and hangs: a dead network disk, a queue that does not answer.
const LOOK_LIMIT_MS = 30_000;
// The first view waits so long for hosts; later ones show what is known.
const FIRST_VIEW_MS = 1_000;

/**
 * Returns one look at a sweep and its hosts: what each says of its queue and its logs, and what the logs here say. All
 * are asked at once, with one login each. A host that does not answer is in the status.
 *
 * Errors: those of the sweep's logs; as `withHosts`; the reason of the signal.
 */
export async function lookAtHosts(
  sweep: ResolvedSweep,
  names: readonly string[],
  options: Omit<SshOptions, 'shared'>,
): Promise<SweepStatus> {
  return await withHosts(sweep, names, { ...options, shared: false }, async hosts => {
    const watch = new HostsWatch(sweep, hosts);
    // ssh logs in while what reads logs is loaded, and the logs here are read.
    const asked = watch.askAll();
    asked.catch(() => {});
    const here = await watch.lookHere();
    await asked;
    return watch.merged(here);
  });
}

/**
 * Calls `work` with a function that returns a look at a sweep and its hosts, as often as it is called. Each host is
 * asked again and again, `intervalMs` after its last answer, over one connection: a host that is silent delays neither
 * the others nor a look, which shows what is known by then. Errors: as {@link lookAtHosts}.
 */
export async function watchHosts<T>(
  sweep: ResolvedSweep,
  names: readonly string[],
  options: Omit<SshOptions, 'shared' | 'signal'> & { readonly signal: AbortSignal },
  intervalMs: number,
  work: (look: () => Promise<SweepStatus>) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const signal = AbortSignal.any([options.signal, end.signal]);
  return await withHosts(sweep, names, { ...options, signal }, async hosts => {
    const watch = new HostsWatch(sweep, hosts);
    const first = watch.askForever(intervalMs, signal);
    let isFirst = true;
    try {
      return await work(async () => {
        const here = await watch.lookHere();
        if (isFirst) await Promise.race([first, unlessAborted(delay(FIRST_VIEW_MS), signal)]);
        isFirst = false;
        return watch.merged(here);
      });
    } finally {
      end.abort();
    }
  });
}

interface Known {
  status?: SweepStatus;
  answeredAtMs?: number;
  problem?: HostProblem | undefined;
}

class HostsWatch {
  readonly #sweep: ResolvedSweep;
  #here: SweepWatch | undefined;
  readonly #hosts: SweepHosts;
  readonly #units: readonly string[];
  readonly #placed: ReadonlyMap<string, Host>;
  readonly #known = new Map<string, Known>();
  readonly #askedAtMs = Date.now();

  constructor(sweep: ResolvedSweep, hosts: SweepHosts) {
    this.#sweep = sweep;
    this.#hosts = hosts;
    this.#units = sweep.units.map(({ unit }) => unit);
    this.#placed = placeUnits(this.#units, sweep.config.hosts);
  }

  /** Returns what the logs on this machine say. */
  async lookHere(): Promise<SweepStatus> {
    const { logWatch } = await import('../sweep/status.js');
    this.#here ??= logWatch(this.#sweep);
    return await this.#here.look();
  }

  /** Asks each host once. */
  async askAll(): Promise<void> {
    await Promise.all(this.#hosts.hosts.map(host => this.#ask(host)));
  }

  /** Asks each host until the signal; resolves when each has been asked once. */
  async askForever(intervalMs: number, signal: AbortSignal): Promise<void> {
    const firsts = this.#hosts.hosts.map(async host => {
      await this.#ask(host);
      void this.#goOn(host, intervalMs, signal);
    });
    // The signal ends the questions; whoever waits for the first ones learns it from the signal itself.
    await Promise.all(firsts).catch(error => {
      if (!signal.aborted) throw error;
    });
  }

  async #goOn(host: Host, intervalMs: number, signal: AbortSignal): Promise<void> {
    try {
      for (;;) {
        await delay(intervalMs, undefined, { signal });
        await this.#ask(host);
      }
    } catch {
      // The signal, or there is no ssh any more: what was known stays.
    }
  }

  merged(here: SweepStatus): SweepStatus {
    const views = this.#hosts.hosts.map(({ name }): HostView => {
      const { status, answeredAtMs, problem } = this.#known.get(name) ?? {};
      return { name, status, answeredAtMs, problem, askedAtMs: this.#askedAtMs };
    });
    return mergeStatus(here, views, unit => this.#placed.get(unit)?.name);
  }

  async #ask(host: Host): Promise<void> {
    const { name } = host;
    const question = { units: null, ask: { units: this.#units } };
    const answer = await this.#hosts.askOne(host, 'status', question, LOOK_LIMIT_MS);
    const known = this.#known.get(name) ?? {};
    if ('returns' in answer) {
      this.#known.set(name, { status: answer.returns, answeredAtMs: Date.now() });
    } else {
      this.#known.set(name, { ...known, problem: answer.problem });
    }
  }
}
