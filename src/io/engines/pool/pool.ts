import type { Clock } from '../../../core/clock.js';
import {
  isOfEndpoint,
  isSuspicious,
  lostWithServer,
  mildest,
  needsRest,
  nextEndpoint,
} from '../../../core/engines/endpoints.js';
import type { Failure } from '../../../core/engines/failure.js';
import { refusalOf } from '../../../core/engines/refusal.js';
import { unlessAborted } from '../../../core/unless-aborted.js';
import { notSent, PING_CANCELLED } from '../attempts.js';
import type { Engine, EngineInfo, EngineRequest, EngineResult, UnevenTable } from '../engine.js';
import { unevenTables } from './agreement.js';
import { Keeper } from './keeper.js';
import type { Member } from './member.js';

export interface EnginePoolOptions {
  readonly info: EngineInfo;
  /** In the order in which they were named. */
  readonly members: readonly Member[];
  readonly maxReplicaDelayMs: number | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onNotice: (message: string) => void;
  /** Aborted by `close`. */
  readonly closing: AbortController;
}

// What an attempt gets in place of a server.
const NOBODY = 'nobody';
const STOPPED = 'stopped';
type Taken = Member | typeof NOBODY | typeof STOPPED;

interface Waiter {
  readonly refused: ReadonlySet<Member>;
  readonly take: (taken: Taken) => void;
}

const NONE: ReadonlySet<Member> = new Set();

/**
 * Several servers as one engine: each attempt runs whole on one of them, with the contract of {@link Engine}.
 *
 * - The server is chosen when an attempt begins, by how busy each is ({@link nextEndpoint}). An attempt waits for its
 *   place in order if every server is at its limit.
 * - A file stays on its server, and so does its KILL: both belong to the engine of that server.
 * - What never started for a reason of the server goes to another one at once. Everything else is returned, and the
 *   caller's rules for retries apply.
 * - A server that does not answer a ping after a suspicious failure gets nothing until it does ({@link Keeper}). One
 *   that is full rests. `ping` fails only if all are away.
 */
export class EnginePool implements Engine {
  readonly info: EngineInfo;
  readonly #options: EnginePoolOptions;
  readonly #members: readonly Member[];
  readonly #keeper: Keeper;
  #waiting: Waiter[] = [];
  #last = -1;
  #timer: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: EnginePoolOptions) {
    this.info = options.info;
    this.#options = options;
    this.#members = options.members;
    this.#keeper = new Keeper({
      ...options,
      closing: options.closing.signal,
      onChange: () => this.#serve(),
    });
    for (const member of this.#members) if (member.state === 'away') this.#keeper.watch(member);
    this.#keeper.watchReplicas();
  }

  async run(request: EngineRequest): Promise<EngineResult> {
    const { clock, random } = this.#options;
    let refused: Set<Member> | undefined;
    let refusal: (EngineResult & { readonly ok: false }) | undefined;
    let durationMs = 0;
    for (;;) {
      const taking = this.#take(request.signal, refused ?? NONE);
      const member = taking instanceof Promise ? await taking : taking;
      if (member === STOPPED) return refusal ?? notSent(this.#closed !== undefined);
      if (member === NOBODY) {
        if (refusal !== undefined) return refusal;
        const failure = await this.ping(request.signal);
        if (failure === undefined) continue;
        return { ok: false, failure: { ...failure, neverStarted: true }, durationMs };
      }
      let result: EngineResult;
      try {
        // It has begun already if it was refused before.
        result = await (member.server as Engine).run(
          refusal === undefined ? request : { ...request, begin: () => true },
        );
      } finally {
        member.running -= 1;
        this.#serve();
      }
      durationMs += result.durationMs;
      const server = member.target;
      if (result.ok) {
        member.answered();
        return { ...result, durationMs, server };
      }
      let { failure } = result;
      if (needsRest(failure)) member.rest(clock.monotonicMs(), random);
      else if (failure.code > 0) member.answered();
      if (isSuspicious(failure) && (await this.#keeper.check(member))) failure = lostWithServer(failure);
      const ended = { ok: false, failure, durationMs, server } as const;
      if (!isOfEndpoint(failure) || request.signal.aborted) return ended;
      refused ??= new Set();
      refused.add(member);
      // Of several reasons, that a server is full says more than that another one is away.
      if (refusal === undefined || refusalOf(failure) === 'full') refusal = ended;
    }
  }

  async ping(signal: AbortSignal): Promise<Failure | undefined> {
    if (signal.aborted || this.#closed !== undefined) return PING_CANCELLED;
    if (this.#members.some(member => member.isIn)) return undefined;
    const asked = this.#members.map(async member => {
      if (member.state === 'checking') await this.#keeper.check(member);
      return await this.#keeper.retry(member);
    });
    const failures = await unlessAborted(untilOneIsIn(asked), signal);
    if (failures === undefined) return PING_CANCELLED;
    const failure = mildest(failures);
    if (failure === undefined) return undefined;
    const reasons = this.#members.map(({ target, why }) => `${target}: ${why?.message ?? 'not known'}`);
    return { ...failure, message: `no server takes queries: ${reasons.join('; ')}`, serverGone: true };
  }

  members(): readonly Engine[] {
    return this.#members.flatMap(({ state, server }) =>
      server === undefined || state === 'away' || state === 'out' ? [] : [server],
    );
  }

  async uneven(signal: AbortSignal): Promise<readonly UnevenTable[]> {
    const asked = this.#members.flatMap(({ target, server, traits, state }) =>
      state !== 'in' || server === undefined || traits === undefined ? [] : [{ target, server, traits }],
    );
    const isSame = new Set(asked.map(({ traits }) => traits.tables)).size <= 1;
    if (isSame) return [];
    const tables = await unevenTables(asked, signal);
    signal.throwIfAborted();
    return tables;
  }

  close(): Promise<void> {
    this.#closed ??= (async () => {
      const { closing } = this.#options;
      closing.abort();
      clearTimeout(this.#timer);
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const { take } of waiting) take(STOPPED);
      await Promise.all(this.#members.map(member => member.server?.close()));
      await this.#keeper.ended();
    })();
    return this.#closed;
  }

  // A place on a server: at once if one is free, otherwise as a promise.
  #take(signal: AbortSignal, refused: ReadonlySet<Member>): Taken | Promise<Taken> {
    if (signal.aborted || this.#closed !== undefined) return STOPPED;
    // Nobody overtakes.
    const member = this.#waiting.length === 0 || refused.size > 0 ? this.#next(refused) : undefined;
    if (member !== undefined) return member;
    if (this.#isHopeless(refused)) return NOBODY;
    return new Promise(resolve => {
      const waiter: Waiter = {
        refused,
        take: taken => {
          signal.removeEventListener('abort', leave);
          resolve(taken);
        },
      };
      const leave = (): void => {
        this.#waiting = this.#waiting.filter(one => one !== waiter);
        resolve(STOPPED);
      };
      signal.addEventListener('abort', leave, { once: true });
      this.#waiting.push(waiter);
      this.#serve();
    });
  }

  #next(refused: ReadonlySet<Member>): Member | undefined {
    const nowMs = this.#options.clock.monotonicMs();
    const isExcluded = (index: number): boolean => refused.has(this.#members[index] as Member);
    const index = nextEndpoint(this.#members, this.#last, nowMs, refused.size === 0 ? undefined : isExcluded);
    if (index === undefined) return undefined;
    this.#last = index;
    const member = this.#members[index] as Member;
    member.running += 1;
    return member;
  }

  // No server is left that could take it, now or after a check.
  #isHopeless(refused: ReadonlySet<Member>): boolean {
    return this.#members.every(
      member => refused.has(member) || member.state === 'away' || member.state === 'out',
    );
  }

  // Gives places to those who wait, in order; called whenever a place may have become free or has gone for good.
  #serve(): void {
    if (this.#waiting.length === 0) return;
    const left: Waiter[] = [];
    for (const waiter of this.#waiting) {
      const taken = this.#next(waiter.refused) ?? (this.#isHopeless(waiter.refused) ? NOBODY : undefined);
      if (taken === undefined) left.push(waiter);
      else waiter.take(taken);
    }
    this.#waiting = left;
    if (left.length > 0) this.#wakeAfterRest();
  }

  #wakeAfterRest(): void {
    const nowMs = this.#options.clock.monotonicMs();
    const rests = this.#members.map(({ restsUntilMs }) => restsUntilMs - nowMs).filter(ms => ms > 0);
    clearTimeout(this.#timer);
    if (rests.length > 0) this.#timer = setTimeout(() => this.#serve(), Math.min(...rests) + 1);
  }
}

// Resolves with no failures as soon as one has none, otherwise with those of all.
function untilOneIsIn(asked: readonly Promise<Failure | undefined>[]): Promise<readonly Failure[]> {
  return new Promise((resolve, reject) => {
    const failures: Failure[] = [];
    for (const one of asked) {
      one.then(failure => {
        if (failure === undefined) resolve([]);
        else failures.push(failure);
        if (failures.length === asked.length) resolve(failures);
      }, reject);
    }
  });
}
