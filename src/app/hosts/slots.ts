import { isInterruption } from '../../core/errors.js';
import type { HostAsk, HostReturn } from '../../core/hosts/order.js';
import { type HostSlots, isMoreSlots, slotsToReturnTo } from '../../core/hosts/slots/report.js';
import {
  type HostSample,
  type SlotsHarm,
  SlotsWatch,
  type WatchLimits,
} from '../../core/hosts/slots/watch.js';
import type { HostProblem } from '../../core/hosts/ssh-failure.js';

/** What a host answered, or why it did not. */
export type SlotsReply<T> = { readonly returns: T } | { readonly problem: HostProblem };

/** A host whose slots are changed. Both reject with the reason of the signal alone. */
export interface SlotsHost {
  readonly name: string;
  /** What qrun.toml says about it; `null` if it says nothing. */
  readonly configured: number | null;
  measure(ask: HostAsk<'measure'>): Promise<SlotsReply<HostReturn<'measure'>>>;
  set(ask: HostAsk<'slots'>): Promise<SlotsReply<HostReturn<'slots'>>>;
}

export interface SlotsRequest {
  /** `undefined`: only show them. */
  readonly slots: number | undefined;
  /** What they are set back to; `undefined`: what they are before the change. */
  readonly from: number | undefined;
  /** `undefined`: watch nothing. */
  readonly watchMs: number | undefined;
  /** Whether slots that became fewer, or stayed, are watched too. */
  readonly watchAll: boolean;
  readonly limits: WatchLimits;
}

/** What a person is told while it goes on. */
export type SlotsEvent =
  | { readonly type: 'set'; readonly from: number | null; readonly to: number; readonly watched: boolean }
  | { readonly type: 'look'; readonly sample: HostSample; readonly leftMs: number }
  | { readonly type: 'silent'; readonly says: string }
  | { readonly type: 'back' }
  | { readonly type: 'harm'; readonly harms: readonly SlotsHarm[] };

export interface SlotsDeps {
  readonly monotonicMs: () => number;
  /** Resolves after `ms`, and at once when `signal` aborts. */
  readonly delay: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  readonly onEvent: (host: string, event: SlotsEvent) => void;
}

// The load average changes every five seconds, and a look costs the host a start of qrun.
const LOOK_MS = 10_000;
// A short watch has as many looks as it needs to find what lasts.
const LEAST_LOOKS = 10;
// How often a step back is tried on a host that does not answer, beyond the end of the watch.
const LEAST_TRIES = 3;
/**
 * Sets how many units run at a time on a host, and watches what that does: a look every ten seconds, judged by
 * {@link SlotsWatch} against the one before the change. At the first limit that is passed the slots are set back to
 * what they were, once, unless somebody else has changed them meanwhile: whatever they are then stays, and nothing is
 * watched any more. Slots that became fewer are never set back. A host that is silent keeps its slots and is asked
 * again until the end; what it recorded meanwhile counts when it answers.
 *
 * When `signal` aborts, the slots stay as they are. Never rejects for what a host does.
 */
export async function changeSlots(
  host: SlotsHost,
  request: SlotsRequest,
  deps: SlotsDeps,
): Promise<HostSlots> {
  const change = new Change(host, request, deps);
  try {
    return await change.run();
  } catch (error) {
    if (!isInterruption(error, deps.signal)) throw error;
    return change.report('interrupted');
  }
}

class Change {
  readonly #host: SlotsHost;
  readonly #request: SlotsRequest;
  readonly #deps: SlotsDeps;
  #baseline: HostSample | null = null;
  #ends: HostReturn<'measure'>['ends'] = {};
  #watch: SlotsWatch | undefined;
  #samples = 0;
  #before: number | null = null;
  #slots: number | null = null;

  constructor(host: SlotsHost, request: SlotsRequest, deps: SlotsDeps) {
    this.#host = host;
    this.#request = request;
    this.#deps = deps;
  }

  async run(): Promise<HostSlots> {
    const { slots, from, watchMs, watchAll } = this.#request;
    const first = await this.#answer(this.#host.measure({ since: null }));
    if ('problem' in first) return this.report('failed', first.problem);
    const { sample, ends } = first.returns;
    this.#baseline = sample;
    this.#ends = ends;
    this.#before = sample.slots;
    this.#slots = sample.slots;
    if (slots === undefined) return this.report('shown');
    const set = await this.#answer(this.#host.set({ slots, expected: null }));
    if ('problem' in set) return this.report('failed', set.problem);
    this.#before = from ?? set.returns.before;
    this.#slots = slots;
    const raised = isMoreSlots(slots, this.#before);
    const watched = watchMs !== undefined && (raised || watchAll);
    this.#tell({ type: 'set', from: this.#before, to: slots, watched });
    if (!watched) return this.report('set');
    return await this.#watched(new SlotsWatch(sample, this.#request.limits), slots, watchMs, raised);
  }

  report(outcome: HostSlots['outcome'], problem?: Pick<HostProblem, 'says' | 'mend'>): HostSlots {
    return {
      host: this.#host.name,
      outcome,
      before: this.#before,
      slots: this.#slots,
      configured: this.#host.configured,
      says: problem?.says ?? '',
      mend: problem?.mend ?? null,
      samples: this.#samples,
      baseline: this.#baseline,
      last: this.#samples === 0 || this.#watch === undefined ? null : this.#watch.last,
      harms: this.#watch?.harms ?? [],
    };
  }

  async #watched(watch: SlotsWatch, slots: number, watchMs: number, raised: boolean): Promise<HostSlots> {
    this.#watch = watch;
    const { monotonicMs, delay, signal } = this.#deps;
    const endMs = monotonicMs() + watchMs;
    let silent: HostProblem | undefined;
    let lastMs = monotonicMs();
    for (let leftMs = watchMs; leftMs > 0; leftMs = endMs - monotonicMs()) {
      await delay(Math.min(LOOK_MS, watchMs / LEAST_LOOKS, leftMs), signal);
      signal.throwIfAborted();
      const look = await this.#answer(this.#host.measure({ since: this.#ends }));
      if ('problem' in look) {
        if (silent === undefined) this.#tell({ type: 'silent', says: look.problem.says });
        silent = look.problem;
        continue;
      }
      if (silent !== undefined) this.#tell({ type: 'back' });
      silent = undefined;
      const { sample, ends } = look.returns;
      this.#ends = ends;
      this.#slots = sample.slots;
      if (sample.slots !== slots) return this.report('overruled');
      this.#samples += 1;
      const nowMs = monotonicMs();
      const harms = watch.see(sample, nowMs - lastMs);
      lastMs = nowMs;
      this.#tell({ type: 'look', sample: watch.last, leftMs: Math.max(0, endMs - nowMs) });
      if (harms.length === 0) continue;
      this.#tell({ type: 'harm', harms });
      return raised ? await this.#stepBack(slots, endMs) : this.report('harmed');
    }
    return silent === undefined ? this.report('kept') : this.report('silent', silent);
  }

  async #stepBack(slots: number, endMs: number): Promise<HostSlots> {
    const { monotonicMs, delay, signal } = this.#deps;
    const to = slotsToReturnTo(this.#before);
    for (let tries = 1; ; tries += 1) {
      const set = await this.#answer(this.#host.set({ slots: to, expected: slots }));
      if ('returns' in set) {
        this.#slots = set.returns.slots;
        return this.report(set.returns.changed ? 'stepped_back' : 'overruled');
      }
      if (tries >= LEAST_TRIES && monotonicMs() >= endMs) return this.report('failed', set.problem);
      if (tries === 1) this.#tell({ type: 'silent', says: set.problem.says });
      await delay(LOOK_MS, signal);
      signal.throwIfAborted();
    }
  }

  // Ctrl-C in a terminal ends ssh as well, which then says that the host is gone.
  async #answer<T>(reply: Promise<SlotsReply<T>>): Promise<SlotsReply<T>> {
    const answer = await reply;
    if ('problem' in answer) this.#deps.signal.throwIfAborted();
    return answer;
  }

  #tell(event: SlotsEvent): void {
    this.#deps.onEvent(this.#host.name, event);
  }
}
