import { QrunError } from '../../core/errors.js';
import {
  decideSlots,
  type GroupLoad,
  type ScaleDecision,
  type ScaleLimits,
  WATCH_MS,
  watchViolations,
} from '../../core/machine/autoscale.js';
import { sweepInLabel } from '../../core/queue/labels.js';
import type { PueueState } from '../../core/queue/pueue-state.js';
import type { HostFacts } from '../../io/machine/host.js';
import type { Pueue } from '../../io/queue/pueue.js';

export interface AutoscaleRequest {
  readonly limits: ScaleLimits;
  /** Exactly these groups; without any, those of qrun (see {@link groupsOf}). */
  readonly groups: readonly string[];
  /** For ever, every `intervalMs`; otherwise one round. */
  readonly loop: boolean;
  readonly intervalMs: number;
  /** Decides and sets nothing. */
  readonly dryRun: boolean;
  /** Ends the loop at once. */
  readonly signal: AbortSignal;
}

export interface AutoscaleDeps {
  readonly pueue: Pick<Pueue, 'status' | 'setSlots'>;
  readonly host: (signal: AbortSignal) => Promise<HostFacts>;
  /** Queries that failed while they ran, in the last `seconds`; `undefined` where that cannot be known. */
  readonly exceptions: (seconds: number, signal: AbortSignal) => Promise<number | undefined>;
  readonly monotonicMs: () => number;
  /** Resolves after `ms`, and at once when `signal` aborts. */
  readonly delay: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onDecision: (decision: ScaleDecision, host: HostFacts) => void;
  /** A change that did not hold what {@link watchViolations} wants. */
  readonly onStepBack: (step: StepBack, host: HostFacts) => void;
  /** What a person should know beside decisions. */
  readonly onNotice: (text: string) => void;
}

/** A change of the last five minutes that was taken back by one slot. */
export interface StepBack {
  readonly group: GroupLoad;
  readonly from: number;
  readonly to: number;
  readonly violations: readonly string[];
}

// The last wait between two looks at a daemon that is away; the first is a second.
const MAX_BACKOFF_MS = 60_000;

/**
 * Moves the slots of pueue's groups with the load of the machine, one slot a round; see {@link decideSlots}. After a
 * step up a group is watched for five minutes, and stepped back by one on a violation; then it does not grow for as
 * long. What somebody else set in between, or what pueue forgot in a crash, is taken as the new base and said.
 *
 * A loop waits for a daemon that is away, with backoff; a single round rejects with `PUEUE_DOWN`. Rejects with the
 * reason of `signal` when that aborts; otherwise with QrunError `PUEUE_*`, or `USAGE` for a group that a single round
 * should move and that does not exist.
 */
export async function autoscale(deps: AutoscaleDeps, request: AutoscaleRequest): Promise<void> {
  const rounds = new Rounds(deps, request);
  const { signal, loop, intervalMs } = request;
  if (!loop) return await rounds.next(() => {});
  let waitMs = 1_000;
  let away = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      await rounds.next(() => {
        if (away) deps.onNotice('the pueue daemon answers again');
        away = false;
        waitMs = 1_000;
      });
      await deps.delay(intervalMs, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof QrunError) || error.code !== 'PUEUE_DOWN') throw error;
      if (!away) deps.onNotice(`${error.message}; waiting for it`);
      away = true;
      await deps.delay(waitMs, signal);
      waitMs = Math.min(MAX_BACKOFF_MS, waitMs * 2);
    }
  }
}

/** What is remembered of a group from one round to the next. */
interface Memory {
  /** What was set here last. */
  readonly slots: number;
  /** When it was last stepped up; `undefined` when nothing is to be watched. */
  readonly watchedSinceMs: number | undefined;
  /** It does not grow before this. */
  readonly settledAtMs: number;
}

class Rounds {
  readonly #deps: AutoscaleDeps;
  readonly #request: AutoscaleRequest;
  readonly #memory = new Map<string, Memory>();
  readonly #said = new Set<string>();

  constructor(deps: AutoscaleDeps, request: AutoscaleRequest) {
    this.#deps = deps;
    this.#request = request;
  }

  /** One round; `onAnswer` is told when pueue has answered, before anything is decided. */
  async next(onAnswer: () => void): Promise<void> {
    const { signal, limits } = this.#request;
    const state = await this.#deps.pueue.status();
    onAnswer();
    const host = await this.#deps.host(signal);
    const groups = this.#groups(state);
    for (const group of groups) this.#compare(group);
    const steppedBack = await this.#watch(groups, host);
    const nowMs = this.#deps.monotonicMs();
    const left = groups.filter(({ name }) => !steppedBack.has(name));
    // What other groups hold counts for the total, also of one that was dealt with already.
    const others = groups
      .filter(({ name }) => steppedBack.has(name))
      .reduce((sum, { name, slots }) => sum + (this.#memory.get(name)?.slots ?? slots), 0);
    const decisions = decideSlots(
      left,
      host,
      { ...limits, total: limits.total - others },
      name => nowMs >= (this.#memory.get(name)?.settledAtMs ?? Number.NEGATIVE_INFINITY),
    );
    for (const decision of decisions) {
      const { group, from, to } = decision;
      const change = { watchedSinceMs: to > from ? nowMs : undefined, settledAtMs: Number.NEGATIVE_INFINITY };
      // What is told has been done.
      if (to === from || (await this.#set(group.name, to, change))) this.#deps.onDecision(decision, host);
    }
  }

  #groups(state: PueueState): GroupLoad[] {
    const { groups: named, loop } = this.#request;
    const missing = named.filter(name => !state.groups.has(name));
    if (missing.length > 0 && !loop) {
      throw new QrunError('USAGE', `pueue has no group ${missing.join(', ')}`, {
        hint: 'pueue group lists those that it has',
      });
    }
    for (const name of missing) this.#sayOnce(`pueue has no group ${name} (yet)`);
    const names = named.length > 0 ? named.filter(name => state.groups.has(name)) : groupsOf(state);
    if (names.length === 0 && missing.length === 0) {
      this.#sayOnce('pueue has no group of qrun: none is called qrun-..., and none holds tasks of qrun');
    }
    if (named.length === 0 && holdsOurs(state, 'default')) {
      this.#sayOnce(
        "pueue's group default holds tasks of qrun; it is left alone unless --group default names it",
      );
    }
    return names.map(name => {
      const group = state.groups.get(name);
      const of = state.tasks.filter(task => task.group === name);
      return {
        name,
        slots: group?.slots ?? 0,
        paused: group?.paused === true,
        queued: of.filter(({ phase }) => phase === 'queued').length,
        running: of.filter(({ phase }) => phase === 'running').length,
      };
    });
  }

  // Somebody's own number counts, and so does what is left after a crash of a daemon that had not saved ours.
  #compare({ name, slots }: GroupLoad): void {
    const before = this.#memory.get(name);
    if (before === undefined || before.slots === slots) return;
    this.#memory.delete(name);
    this.#deps.onNotice(
      `${name}: ${before.slots} slots were set and ${slots} are there (changed by hand, or lost in a crash of pueued); going on from ${slots}`,
    );
  }

  async #watch(groups: readonly GroupLoad[], host: HostFacts): Promise<Set<string>> {
    const { limits, signal } = this.#request;
    const steppedBack = new Set<string>();
    for (const group of groups) {
      const { slots, watchedSinceMs } = this.#memory.get(group.name) ?? {};
      if (watchedSinceMs === undefined) continue;
      const nowMs = this.#deps.monotonicMs();
      const ageMs = nowMs - watchedSinceMs;
      if (ageMs > WATCH_MS) {
        this.#remember(group.name, { slots: group.slots, watchedSinceMs: undefined });
        continue;
      }
      const swap = host.swapPages;
      const violations = watchViolations({
        load1: host.load1,
        cores: host.cores,
        swapPages: swap === undefined ? undefined : swap.in + swap.out,
        exceptions: await this.#deps.exceptions(ageMs / 1000, signal),
      });
      if (violations.length === 0) continue;
      const from = slots ?? group.slots;
      const to = Math.max(limits.min, from - 1);
      steppedBack.add(group.name);
      if (await this.#set(group.name, to, { watchedSinceMs: undefined, settledAtMs: nowMs + WATCH_MS })) {
        this.#deps.onStepBack({ group, from, to, violations }, host);
      }
    }
    return steppedBack;
  }

  async #set(name: string, slots: number, more: Omit<Memory, 'slots'>): Promise<boolean> {
    if (this.#request.dryRun) return true;
    try {
      await this.#deps.pueue.setSlots(name, slots);
    } catch (error) {
      this.#request.signal.throwIfAborted();
      // The group was removed meanwhile, or pueue refuses in other words; the next round looks again.
      if (!this.#request.loop || !(error instanceof QrunError) || error.code !== 'PUEUE_FAILED') throw error;
      this.#memory.delete(name);
      this.#deps.onNotice(`${name}: ${error.message}`);
      return false;
    }
    this.#memory.set(name, { slots, ...more });
    return true;
  }

  #remember(name: string, change: Partial<Memory>): void {
    const before = this.#memory.get(name);
    if (before !== undefined) this.#memory.set(name, { ...before, ...change });
  }

  #sayOnce(text: string): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.#deps.onNotice(text);
  }
}

/** The groups that are qrun's: named `qrun-...`, or with tasks of qrun in them; never pueue's `default`. */
export function groupsOf(state: PueueState): string[] {
  return [...state.groups.keys()]
    .filter(name => name !== 'default' && (name.startsWith('qrun-') || holdsOurs(state, name)))
    .sort();
}

function holdsOurs(state: PueueState, group: string): boolean {
  return state.tasks.some(task => task.group === group && sweepInLabel(task.label) !== undefined);
}
