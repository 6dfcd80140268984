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
import type { QueueState, TaskQueue } from '../../core/queue/queue.js';
import type { HostFacts } from '../../io/machine/host.js';

export interface AutoscaleRequest {
  readonly limits: ScaleLimits;
  /** Exactly these groups; if empty, those of qrun (see {@link groupsOf}). */
  readonly groups: readonly string[];
  /** Forever, every `intervalMs`; otherwise one round. */
  readonly loop: boolean;
  readonly intervalMs: number;
  /** Decides, but sets nothing. */
  readonly dryRun: boolean;
  /** Ends the loop at once. */
  readonly signal: AbortSignal;
}

export interface AutoscaleDeps {
  readonly queue: TaskQueue;
  readonly host: (signal: AbortSignal) => Promise<HostFacts>;
  /** Queries that failed while running in the last `seconds`; `undefined` where that cannot be known. */
  readonly exceptions: (seconds: number, signal: AbortSignal) => Promise<number | undefined>;
  readonly monotonicMs: () => number;
  /** Resolves after `ms`, and at once when `signal` aborts. */
  readonly delay: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly onDecision: (decision: ScaleDecision, host: HostFacts) => void;
  /** Called with a change that did not satisfy {@link watchViolations}. */
  readonly onStepBack: (step: StepBack, host: HostFacts) => void;
  /** Called with what a person should know besides decisions. */
  readonly onNotice: (text: string) => void;
}

/** A change of the last five minutes that was reverted by one slot. */
export interface StepBack {
  readonly group: GroupLoad;
  readonly from: number;
  readonly to: number;
  readonly violations: readonly string[];
}

// The longest wait between two looks at a queue that is away; the first is a second.
const MAX_BACKOFF_MS = 60_000;

/**
 * Adapts the slots of a queue's groups to the load of the machine, one slot a round; see {@link decideSlots}. After a
 * step up, a group is watched for five minutes. On a violation it is stepped back by one, and then does not grow for
 * five minutes. What somebody else set in between, or what the queue forgot in a crash, becomes the new base and is
 * reported.
 *
 * A loop waits for a queue that is away, with backoff; a single round rejects with `QUEUE_DOWN`. Rejects with the
 * reason of `signal` when that aborts; otherwise with QrunError `QUEUE_*`, or with `USAGE` for a queue without
 * adjustable slots, and for a group that a single round should adjust and that does not exist.
 */
export async function autoscale(deps: AutoscaleDeps, request: AutoscaleRequest): Promise<void> {
  const { kind, setSlots } = deps.queue;
  if (setSlots === undefined) {
    throw new QrunError('USAGE', `${kind.name} has no slots that can be moved while tasks run`, {
      hint: 'set how many tasks run at a time where that queue is set up',
    });
  }
  const rounds = new Rounds(deps, request, setSlots.bind(deps.queue));
  const { signal, loop, intervalMs } = request;
  if (!loop) return await rounds.next(() => {});
  let waitMs = 1_000;
  let away = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      await rounds.next(() => {
        if (away) deps.onNotice(`${deps.queue.kind.server} answers again`);
        away = false;
        waitMs = 1_000;
      });
      await deps.delay(intervalMs, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof QrunError) || error.code !== 'QUEUE_DOWN') throw error;
      if (!away) deps.onNotice(`${error.message}; waiting for it`);
      away = true;
      await deps.delay(waitMs, signal);
      waitMs = Math.min(MAX_BACKOFF_MS, waitMs * 2);
    }
  }
}

/** What is remembered of a group from one round to the next. */
interface Memory {
  /** The last number set here. */
  readonly slots: number;
  /** When it was last stepped up; `undefined` when there is nothing to watch. */
  readonly watchedSinceMs: number | undefined;
  /** It does not grow before this time. */
  readonly settledAtMs: number;
}

type SetSlots = NonNullable<TaskQueue['setSlots']>;

class Rounds {
  readonly #setSlots: SetSlots;
  readonly #deps: AutoscaleDeps;
  readonly #request: AutoscaleRequest;
  readonly #memory = new Map<string, Memory>();
  readonly #said = new Set<string>();

  constructor(deps: AutoscaleDeps, request: AutoscaleRequest, setSlots: SetSlots) {
    this.#setSlots = setSlots;
    this.#deps = deps;
    this.#request = request;
  }

  /** One round; `onAnswer` is called when the queue has answered, before anything is decided. */
  async next(onAnswer: () => void): Promise<void> {
    const { signal, limits } = this.#request;
    const state = await this.#deps.queue.state();
    onAnswer();
    const host = await this.#deps.host(signal);
    const groups = this.#groups(state);
    for (const group of groups) this.#compare(group);
    const steppedBack = await this.#watch(groups, host);
    const nowMs = this.#deps.monotonicMs();
    const left = groups.filter(({ name }) => !steppedBack.has(name));
    // Slots held by other groups count towards the total, including those of groups already handled in this round.
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
      // A decision is reported only after it was carried out.
      if (to === from || (await this.#set(group.name, to, change))) this.#deps.onDecision(decision, host);
    }
  }

  #groups(state: QueueState): GroupLoad[] {
    const { groups: named, loop } = this.#request;
    const { name: queue, usersGroup, commands } = this.#deps.queue.kind;
    const missing = named.filter(name => !state.groups.has(name));
    if (missing.length > 0 && !loop) {
      const { listGroups: list } = commands;
      throw new QrunError('USAGE', `${queue} has no group ${missing.join(', ')}`, {
        ...(list === undefined ? {} : { hint: `${list.join(' ')} lists those that it has` }),
      });
    }
    for (const name of missing) this.#sayOnce(`${queue} has no group ${name} (yet)`);
    const names =
      named.length > 0 ? named.filter(name => state.groups.has(name)) : groupsOf(state, usersGroup);
    if (names.length === 0 && missing.length === 0) {
      this.#sayOnce(`${queue} has no group of qrun: none is called qrun-..., and none holds tasks of qrun`);
    }
    if (named.length === 0 && usersGroup !== undefined && holdsOurs(state, usersGroup)) {
      this.#sayOnce(
        `${queue}'s group ${usersGroup} holds tasks of qrun; it is left alone unless --group ${usersGroup} names it`,
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

  // A number set by somebody else counts, and so does what is left after a crash of a daemon that had not saved ours.
  #compare({ name, slots }: GroupLoad): void {
    const before = this.#memory.get(name);
    if (before === undefined || before.slots === slots) return;
    this.#memory.delete(name);
    this.#deps.onNotice(
      `${name}: ${before.slots} slots were set, but ${slots} are there (changed by hand, or lost in a crash of ${this.#deps.queue.kind.server}); continuing from ${slots}`,
    );
  }

  async #watch(groups: readonly GroupLoad[], host: HostFacts): Promise<Set<string>> {
    const { limits, signal } = this.#request;
    const steppedBack = new Set<string>();
    for (const group of groups) {
      const before = this.#memory.get(group.name);
      if (before?.watchedSinceMs === undefined) continue;
      const nowMs = this.#deps.monotonicMs();
      const ageMs = nowMs - before.watchedSinceMs;
      if (ageMs > WATCH_MS) {
        this.#memory.set(group.name, { ...before, slots: group.slots, watchedSinceMs: undefined });
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
      const from = before.slots;
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
      await this.#setSlots(name, slots);
    } catch (error) {
      this.#request.signal.throwIfAborted();
      // The group was removed meanwhile, or the queue refuses for another reason; the next round looks again.
      if (!this.#request.loop || !(error instanceof QrunError) || error.code !== 'QUEUE_FAILED') throw error;
      this.#memory.delete(name);
      this.#deps.onNotice(`${name}: ${error.message}`);
      return false;
    }
    this.#memory.set(name, { slots, ...more });
    return true;
  }

  #sayOnce(text: string): void {
    if (this.#said.has(text)) return;
    this.#said.add(text);
    this.#deps.onNotice(text);
  }
}

/** Returns the groups that belong to qrun: named `qrun-...`, or with tasks of qrun in them; never the user's own. */
export function groupsOf(state: QueueState, usersGroup: string | undefined): string[] {
  return [...state.groups.keys()]
    .filter(name => name !== usersGroup && (name.startsWith('qrun-') || holdsOurs(state, name)))
    .sort();
}

function holdsOurs(state: QueueState, group: string): boolean {
  return state.tasks.some(task => task.group === group && sweepInLabel(task.label) !== undefined);
}
