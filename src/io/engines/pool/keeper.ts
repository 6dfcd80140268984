import { randomUUID } from 'node:crypto';
import type { Clock } from '../../../core/clock.js';
import { type Failure, ownFailure } from '../../../core/engines/failure.js';
import { refusalOf } from '../../../core/engines/refusal.js';
import { backoffMs, PING_BACKOFF } from '../../../core/engines/retry.js';
import { QrunError } from '../../../core/errors.js';
import { formatDuration } from '../../../core/text/duration.js';
import { shownVersion } from '../answer-texts.js';
import { delayOf, difference, REPLICA_DELAY, type Traits, traitsOf, unevenTables } from './agreement.js';
import type { Member } from './member.js';

const LEAST_WAIT_MS = 50;
// After this many refusals of the user in a row, more would only lock the account.
const MOST_REFUSALS = 4;
// How often the replicas of a server are asked how far they lag.
const DELAY_PERIOD_MS = 10_000;

/** What a {@link Keeper} uses and whom it tells. */
export interface KeeperOptions {
  readonly members: readonly Member[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly maxReplicaDelayMs: number | undefined;
  /** Ends everything that goes on in the background. */
  readonly closing: AbortSignal;
  /** Called with what a person should know. */
  readonly onNotice: (message: string) => void;
  /** Called when a server has come in or gone. */
  readonly onChange: () => void;
}

/**
 * Knows which of several servers get queries: takes one out that does not answer or lags, and brings it back when it
 * answers, is what it was, and fits the others. Works in the background, one request at a time for each server.
 */
export class Keeper {
  readonly #options: KeeperOptions;
  readonly #checking = new Map<Member, Promise<boolean>>();
  readonly #returning = new Map<Member, Promise<Failure | undefined>>();
  readonly #watched = new Set<Member>();
  readonly #work = new Set<Promise<void>>();

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /**
   * Resolves with `true` if a server is away: after a failure that may be about the server it gets nothing new before
   * it has answered a ping. All who ask meanwhile share the answer.
   */
  check(member: Member): Promise<boolean> {
    if (member.state === 'away' || member.state === 'out') return Promise.resolve(true);
    let checking = this.#checking.get(member);
    if (checking === undefined) {
      member.state = 'checking';
      checking = this.#check(member).finally(() => this.#checking.delete(member));
      this.#checking.set(member, checking);
    }
    return checking;
  }

  async #check(member: Member): Promise<boolean> {
    const { closing, onChange } = this.#options;
    const failure = await member.server?.ping(closing);
    if (failure === undefined || closing.aborted) {
      if (member.state === 'checking') member.state = 'in';
      onChange();
      return false;
    }
    this.leave(member, failure);
    return true;
  }

  /** Takes a server out until it can be used again, and says so. */
  leave(member: Member, why: Failure): void {
    const { clock, onNotice, onChange } = this.#options;
    member.state = 'away';
    member.why = why;
    member.sinceMs = clock.monotonicMs();
    onNotice(`${member.target} gets no queries until ${untilWhen(why)}: ${why.message}`);
    this.watch(member);
    onChange();
  }

  /** Waits in the background until a server that is away can be used. */
  watch(member: Member): void {
    if (this.#watched.has(member)) return;
    this.#watched.add(member);
    this.#background(this.#watch(member));
  }

  async #watch(member: Member): Promise<void> {
    const { clock, random, closing } = this.#options;
    let refusals = 0;
    for (let attempt = 1; member.state === 'away' && !closing.aborted; attempt += 1) {
      const isLag = member.why?.name === REPLICA_DELAY;
      const waitMs = LEAST_WAIT_MS + backoffMs(attempt, random, PING_BACKOFF);
      await clock.delay(isLag ? DELAY_PERIOD_MS : waitMs, closing);
      if (member.state !== 'away' || closing.aborted) break;
      const failure = await this.retry(member);
      refusals = failure !== undefined && refusalOf(failure) === 'credentials' ? refusals + 1 : 0;
      if (failure !== undefined && refusals >= MOST_REFUSALS) this.#dismiss(member, failure.message, failure);
    }
    // In the same step as the last look at its state, so that whoever takes it out next finds nobody watching.
    this.#watched.delete(member);
  }

  /** Looks whether a server that is away can be used now; resolves with the reason if it cannot. Never rejects. */
  retry(member: Member): Promise<Failure | undefined> {
    let returning = this.#returning.get(member);
    if (returning === undefined) {
      returning = this.#retry(member).finally(() => this.#returning.delete(member));
      this.#returning.set(member, returning);
    }
    return returning;
  }

  async #retry(member: Member): Promise<Failure | undefined> {
    const { closing } = this.#options;
    if (member.state !== 'away') return member.state === 'out' ? member.why : undefined;
    const { server } = member;
    const isNew = server === undefined;
    const failure = isNew ? await this.#open(member) : await server.ping(closing);
    if (failure !== undefined) {
      member.why = failure;
      return failure;
    }
    return await this.#admit(member, isNew);
  }

  async #open(member: Member): Promise<Failure | undefined> {
    const { closing } = this.#options;
    try {
      const server = await member.open(closing);
      if (closing.aborted) await server.close();
      else member.server = server;
      return closing.aborted ? ownFailure('ABORTED', 'transient', 'the engine is closed') : undefined;
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
      if (error.code === 'CONFIG') this.#dismiss(member, error.message);
      return openFailure(error);
    }
  }

  // Lets a server in that answers, if it fits the others.
  async #admit(member: Member, isNew: boolean): Promise<Failure | undefined> {
    const { closing, clock, onNotice, onChange, maxReplicaDelayMs } = this.#options;
    const { server } = member;
    if (server === undefined) return member.why;
    const traits = await traitsOf(server, closing);
    if (!('database' in traits)) {
      member.why = traits;
      return traits;
    }
    // What it accepts was learnt from another version.
    if (!isNew && shownVersion(traits.version) !== server.info.version) {
      member.server = undefined;
      void server.close();
      return (await this.#open(member)) ?? (await this.#admit(member, true));
    }
    const lag =
      maxReplicaDelayMs === undefined ? undefined : await delayOf(server, maxReplicaDelayMs, closing);
    if (closing.aborted) return member.why;
    if (lag !== undefined) {
      if (member.why?.name !== lag.name) onNotice(`${member.target} gets no queries yet: ${lag.message}`);
      member.why = lag;
      return lag;
    }
    const unfit = await this.#unfit(member, traits);
    if (unfit !== undefined) {
      this.#dismiss(member, unfit);
      return member.why;
    }
    const afterMs = clock.monotonicMs() - member.sinceMs;
    member.enter(traits);
    const what = isNew ? 'answers now and takes part' : 'takes part again';
    onNotice(`${member.target} ${what}, after ${formatDuration(Math.max(1, Math.round(afterMs)))}`);
    onChange();
    return undefined;
  }

  // Why a server that comes in late cannot be one of the others; they have begun to work, so it is left out.
  async #unfit(member: Member, traits: Traits): Promise<string | undefined> {
    const { members, closing } = this.#options;
    const { server } = member;
    const other = members.find(one => one !== member && one.state === 'in');
    if (server === undefined || other?.server === undefined || other.traits === undefined) return undefined;
    const differs = difference(traits, other.traits);
    if (differs !== undefined) return `${differs} as on ${other.target}`;
    if (other.traits.supportsParameters && !traits.supportsParameters) {
      return `its version ${traits.version} does not know {name:Type} parameters`;
    }
    if (member.traits === undefined && (await isSameServer(server, other.server, closing))) {
      return `it is the same server as ${other.target}`;
    }
    if (traits.tables === undefined || traits.tables === member.traits?.tables) return undefined;
    const pair = [
      { target: member.target, server, traits },
      { target: other.target, server: other.server, traits: other.traits },
    ];
    const lacks = (await unevenTables(pair, closing)).find(({ lacking }) => lacking === member.target);
    return lacks === undefined
      ? undefined
      : `it lacks the table ${lacks.database}.${lacks.name}, which ${other.target} has`;
  }

  #dismiss(member: Member, why: string, failure = ownFailure('SERVER_UNFIT', 'transient', why)): void {
    if (member.state === 'out') return;
    member.state = 'out';
    member.why = { ...failure, neverStarted: true, serverGone: true };
    this.#options.onNotice(`${member.target} gets no queries in this run: ${why}`);
    this.#options.onChange();
  }

  /** Watches the replicas of all servers that are in, until the end. */
  watchReplicas(): void {
    const { maxReplicaDelayMs: limitMs, clock, closing, members } = this.#options;
    if (limitMs === undefined) return;
    const watch = async (): Promise<void> => {
      for (;;) {
        await clock.delay(DELAY_PERIOD_MS, closing);
        if (closing.aborted) return;
        await Promise.all(
          members.map(async member => {
            if (member.state !== 'in' || member.server === undefined) return;
            const failure = await delayOf(member.server, limitMs, closing);
            if (failure !== undefined && member.isIn && !closing.aborted) this.leave(member, failure);
          }),
        );
      }
    };
    this.#background(watch());
  }

  /** Resolves when nothing goes on in the background any more; after `closing`. */
  async ended(): Promise<void> {
    await Promise.all([...this.#work, ...this.#checking.values(), ...this.#returning.values()]);
  }

  #background(work: Promise<void>): void {
    this.#work.add(work);
    void work.finally(() => this.#work.delete(work));
  }
}

/** Returns whether two servers are one, reached by two URLs. */
export async function isSameServer(
  one: NonNullable<Member['server']>,
  other: NonNullable<Member['server']>,
  signal: AbortSignal,
): Promise<boolean> {
  const id = `qrun-mark-${randomUUID()}`;
  await one.mark(id, signal);
  return await other.hasMark(id, signal);
}

/** Returns the failure for which a server could not be opened, with the message of the error. */
export function openFailure({ message, cause }: QrunError): Failure {
  const failure = isFailure(cause) ? cause : ownFailure('CONNECTION_FAILED', 'transient', message);
  return { ...failure, message, neverStarted: true, serverGone: true };
}

function isFailure(cause: unknown): cause is Failure {
  return typeof cause === 'object' && cause !== null && 'neverStarted' in cause;
}

function untilWhen({ name }: Failure): string {
  return name === REPLICA_DELAY ? 'they have caught up' : 'it answers again';
}
