import type { Candidate } from '../../../core/engines/endpoints.js';
import type { Failure } from '../../../core/engines/failure.js';
import { backoffMs } from '../../../core/engines/retry.js';
import type { Server } from '../engine.js';
import type { Traits } from './agreement.js';

/** How one of several servers is reached. */
export interface MemberOptions {
  /** Its URL without user and password. */
  readonly target: string;
  /** The most attempts that run there at once. */
  readonly permits: number;
  /** Errors: as `ServerEngine.open`. */
  readonly open: (signal: AbortSignal) => Promise<Server>;
}

/**
 * Whether a server gets queries. `in`: yes. `checking`: not before it has answered a ping. `away`: not before it has
 * come back. `out`: not in this run any more.
 */
export type MemberState = 'in' | 'checking' | 'away' | 'out';

// A full server refuses at once; asking it again sooner would not be answered differently.
const REST = { baseMs: 100, capMs: 5_000 };
const LEAST_REST_MS = 50;

/** One of several servers, with all that changes about it during a run. */
export class Member implements Candidate {
  readonly target: string;
  readonly open: MemberOptions['open'];
  permits: number;
  state: MemberState = 'away';
  running = 0;
  restsUntilMs = 0;
  /** `undefined` as long as it has never answered. */
  server: Server | undefined;
  /** What it was like when it last came in. */
  traits: Traits | undefined;
  /** Why it is not in. */
  why: Failure | undefined;
  /** Since when it is not in (monotonic). */
  sinceMs: number;
  #rests = 0;

  constructor({ target, permits, open }: MemberOptions, nowMs: number) {
    this.target = target;
    this.permits = permits;
    this.open = open;
    this.sinceMs = nowMs;
  }

  get isIn(): boolean {
    return this.state === 'in';
  }

  /** Lets it have queries. */
  enter(traits: Traits): void {
    this.traits = traits;
    this.permits = Math.min(this.permits, traits.maxQueries ?? this.permits);
    this.state = 'in';
    this.why = undefined;
  }

  /** Gives it no queries for a moment, which is longer each time until it has answered one. */
  rest(nowMs: number, random: () => number): void {
    // What was sent before the rest began says nothing new.
    if (this.restsUntilMs > nowMs) return;
    this.#rests += 1;
    this.restsUntilMs = nowMs + LEAST_REST_MS + backoffMs(this.#rests, random, REST);
  }

  /** It has answered a query, whatever the answer was. */
  answered(): void {
    this.#rests = 0;
  }
}
