import { setTimeout as sleep } from 'node:timers/promises';
import { HTTP_PARAMETERS } from '../../../core/engines/engine-settings.js';
import { type Failure, ownFailure } from '../../../core/engines/failure.js';
import { literal } from '../../../core/sql/set-statement.js';
import { NO_SUCH_ANSWER, textsOf } from '../answer-texts.js';
import type { StopSignal } from '../stop.js';
import { SMALL_ANSWER } from './http/ask.js';
import type { RequestSignal } from './http/call.js';
import type { ControlClient } from './http/control.js';
import type { ServerIdentity } from './http/identity.js';

// A query ends at its next block, and a block takes seconds at most.
const CANCEL_LIMIT_MS = 5000;
const FIRST_WAIT_MS = 25;
const LONGEST_WAIT_MS = 400;
// As long as no KILL has met a query, the next one follows soon: the balancer may lead it to another server.
const SEARCH_ROUNDS = 12;
// A balancer that prefers the server with the fewest connections leads several at once to different ones.
const MOST_AT_ONCE = 8;

/**
 * The request of one statement. It is not cut as soon as its attempt must stop. The statement is cancelled first, and
 * its own answer is awaited, because only that proves that it has ended: KILL QUERY goes over another connection, which
 * a balancer may lead to another server, and a proxy may hold back a request that no server knows yet.
 *
 * It is also the signal of the request. {@link outcome} is set from the moment of the stop.
 */
export class HeldRequest implements RequestSignal {
  readonly #stop: StopSignal;
  readonly #cancel: (held: HeldRequest) => Promise<Failure | undefined>;
  readonly #onStop = (): void => this.#stopped();
  #cut: (() => void) | undefined;
  #isAborted = false;
  #isSent = false;
  #isAnswered = false;
  #isOver = false;
  /** Called when ClickHouse answers, and when the request is over. */
  onEnd: (() => void) | undefined;
  /** What happened to it after the stop; `undefined` before. */
  outcome: Promise<StopOutcome> | undefined;

  constructor(stop: StopSignal, cancel: (held: HeldRequest) => Promise<Failure | undefined>) {
    this.#stop = stop;
    this.#cancel = cancel;
    stop.addEventListener('abort', this.#onStop, { once: true });
  }

  get aborted(): boolean {
    return this.#isAborted;
  }

  /** Whether the server has answered. The statement has then ended: the server answers only after its end. */
  get isAnswered(): boolean {
    return this.#isAnswered;
  }

  /** Whether no answer can come over the connection any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  // One listener at a time: first the connection's, then the body's when the headers have arrived.
  addEventListener(_type: 'abort', listener: () => void): void {
    this.#cut = listener;
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    if (this.#cut === listener) this.#cut = undefined;
  }

  sent(): void {
    this.#isSent = true;
  }

  answered(): void {
    this.#isAnswered = true;
    this.onEnd?.();
  }

  /** Call it when the request is over, whatever its result. */
  over(): void {
    this.#isOver = true;
    this.#stop.removeEventListener('abort', this.#onStop);
    this.onEnd?.();
  }

  #stopped(): void {
    // A request that waits for a connection must not begin.
    const cancelling = this.#isSent ? this.#cancel(this) : Promise.resolve(undefined);
    // The rest of an answer is of no more use.
    if (this.#isAnswered || !this.#isSent) this.#abort();
    this.outcome = cancelling.then(notEnded => {
      this.#abort();
      return { wasSent: this.#isSent, notEnded };
    });
  }

  #abort(): void {
    this.#isAborted = true;
    this.#cut?.();
  }
}

/** What happened to a statement that had to stop. */
export interface StopOutcome {
  /** If `false`, not a single byte of it was sent. */
  readonly wasSent: boolean;
  /** Why it may still run; `undefined` if it has certainly ended. */
  readonly notEnded: Failure | undefined;
}

interface Entry {
  readonly held: HeldRequest;
  readonly settle: (notEnded: Failure | undefined) => void;
  /** How often it has been looked for. */
  rounds: number;
  /** A KILL has met it. */
  met: boolean;
  /** KILLs in a row that did not meet it. */
  absent: number;
  reason: Failure;
}

/**
 * Cancels queries on the server.
 *
 * All queries that are to be cancelled at the same time go into one KILL QUERY. On a busy server each KILL takes about
 * 200 ms, and Ctrl-C cancels all running queries. A KILL never waits for the query that it ends. Each goes over a
 * connection of its own, so a balancer leads them to all of its servers in turn.
 */
export class Canceller {
  readonly #control: ControlClient;
  readonly #identity: ServerIdentity;
  readonly #entries = new Map<string, Entry>();
  #looping = false;

  constructor(control: ControlClient, identity: ServerIdentity) {
    this.#control = control;
    this.#identity = identity;
  }

  /**
   * Cancels a query and waits for its own answer. Resolves with `undefined` when that has come, otherwise with the
   * reason why the query may still run. Never rejects, and takes at most 5 seconds.
   */
  cancel(queryId: string, held: HeldRequest): Promise<Failure | undefined> {
    return new Promise(resolve => {
      const seconds = CANCEL_LIMIT_MS / 1000;
      const unanswered = ownFailure('TIMEOUT', 'unknown', `KILL QUERY had no answer within ${seconds} s`);
      const entry: Entry = {
        held,
        rounds: 0,
        met: false,
        absent: 0,
        reason: { ...unanswered, serverGone: true },
        settle: notEnded => {
          clearTimeout(timer);
          held.onEnd = undefined;
          this.#entries.delete(queryId);
          resolve(notEnded);
        },
      };
      const timer = setTimeout(() => entry.settle(entry.reason), CANCEL_LIMIT_MS);
      // If the answer had begun before the stop, a KILL checks as well.
      if (!held.isAnswered) {
        held.onEnd = () => {
          if (held.isAnswered) entry.settle(undefined);
        };
      }
      this.#entries.set(queryId, entry);
      if (!this.#looping) void this.#loop();
    });
  }

  async #loop(): Promise<void> {
    this.#looping = true;
    // Queries that are cancelled by the same event arrive in the same turn of the event loop.
    await sleep(0);
    for (let round = 1; this.#entries.size > 0; round += 1) {
      const asked = [...this.#entries];
      let rounds = 0;
      let searched = 0;
      for (const [, entry] of asked) {
        entry.rounds += 1;
        rounds = Math.max(rounds, entry.rounds);
        if (!entry.met) searched = Math.max(searched, entry.rounds);
      }
      const atOnce = Math.max(1, Math.min(searched, MOST_AT_ONCE));
      await Promise.all(Array.from({ length: atOnce }, (_, index) => this.#kill(asked, `${round}-${index}`)));
      const isSearching = searched > 0 && searched < SEARCH_ROUNDS;
      if (this.#entries.size > 0) {
        await sleep(
          isSearching ? FIRST_WAIT_MS : Math.min(FIRST_WAIT_MS * 2 ** (rounds - 1), LONGEST_WAIT_MS),
        );
      }
    }
    this.#looping = false;
  }

  async #kill(asked: readonly (readonly [string, Entry])[], name: string): Promise<void> {
    const ids = asked.map(([id]) => id);
    // KILL is also the check: it answers with the queries that it met, and is exempt from the server's limit on
    // queries. ASYNC returns at once; SYNC would wait without a limit.
    const call = {
      sql: `KILL QUERY WHERE query_id IN (${ids.map(literal).join(', ')}) ASYNC`,
      queryId: `${ids[0]}-kill-${name}`,
      query: HTTP_PARAMETERS,
      ...SMALL_ANSWER,
    };
    const answer = await this.#control.call(call, AbortSignal.timeout(CANCEL_LIMIT_MS));
    let met: ReadonlySet<string>;
    if (answer.ok) {
      const rows = await textsOf(answer.body, ['query_id']);
      if (rows === undefined) {
        // The time limit of each entry continues.
        const message = `KILL QUERY failed: ${NO_SUCH_ANSWER}`;
        for (const [, entry] of asked) entry.reason = ownFailure('KILL_FAILED', 'unknown', message);
        return;
      }
      met = new Set(rows.map(({ query_id: id }) => id));
    } else if (answer.failure.name === 'ANSWER_TOO_LARGE') {
      // It holds the text of each query that was met, which may be long.
      met = new Set(ids);
    } else {
      for (const [id, entry] of asked) {
        if (this.#entries.get(id) !== entry) continue;
        entry.reason = answer.failure;
        if (entry.held.isAnswered) entry.settle(undefined);
        // Behind a balancer, the next KILL may reach the server that runs the query.
        const isFinal = answer.failure.serverGone || answer.failure.kind === 'permanent';
        if (isFinal && !this.#identity.isSeveral) entry.settle(answer.failure);
      }
      return;
    }
    for (const [id, entry] of asked) {
      if (this.#entries.get(id) !== entry) continue;
      entry.met ||= met.has(id);
      entry.absent = met.has(id) ? 0 : entry.absent + 1;
      entry.reason = this.#whyNotEnded(entry);
      // Its answer had begun when it had to stop, so it has normally ended. This covers a server that answers before
      // the end.
      if (entry.held.isAnswered && entry.absent > 0) entry.settle(undefined);
      // Twice, because a request that was cut may reach the server after the first KILL.
      if (entry.held.isOver && entry.absent >= 2) entry.settle(entry.reason);
    }
  }

  #whyNotEnded({ met, absent, held }: Entry): Failure {
    const seconds = CANCEL_LIMIT_MS / 1000;
    const unconfirmed = (why: string) =>
      ownFailure('END_UNKNOWN', 'unknown', `its end could not be confirmed: ${why}`);
    if (met && absent === 0) {
      return ownFailure('STILL_RUNNING', 'unknown', `it did not end within ${seconds} s`);
    }
    const { servers } = this.#identity;
    if (servers.length > 1) {
      return unconfirmed(
        `more than one server answers at this URL (${servers.slice(0, 4).join(', ')}), and the one that runs it did not answer`,
      );
    }
    const how = held.isOver ? 'its connection broke before it answered' : 'its answer did not come';
    return unconfirmed(met ? how : `KILL QUERY does not find it, and ${how}`);
  }
}
