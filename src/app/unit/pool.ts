import { setMaxListeners } from 'node:events';
import { AMPLE_DESCRIPTORS } from '../../core/engines/descriptors.js';
import { isSuspicious } from '../../core/engines/endpoints.js';
import {
  excerpt,
  type Failure,
  isForeignPage,
  localFailure,
  ownFailure,
} from '../../core/engines/failure.js';
import { quotaEndsInMs, refusalOf } from '../../core/engines/refusal.js';
import { backoffMs, mayRetry } from '../../core/engines/retry.js';
import { shortageCode, shortageHint } from '../../core/engines/shortage.js';
import { QrunError } from '../../core/errors.js';
import type { GroupHead } from '../../core/log/record.js';
import type { QueryError } from '../../core/model.js';
import { redactFailure } from '../../core/text/redact.js';
import type { RunSummary } from '../../core/unit/events.js';
import { type HaltPolicy, haltThreshold, likelyReason, SameFailures } from '../../core/unit/halt.js';
import { unlessAborted } from '../../core/unless-aborted.js';
import type { EngineResult } from '../../io/engines/engine.js';
import type { ResultBody } from '../../io/engines/result-body.js';
import type { GroupContent } from '../../io/log/result-log.js';
import type { PlannedQuery } from './due-queries.js';
import { Outage, REFUSED_LIMIT_MS } from './outage.js';
import type { ReadQuery } from './plan.js';
import type { RunDeps, RunOptions } from './run-options.js';
import { Shortage } from './shortage.js';
import { SummaryBuilder } from './summary.js';
import { Turnstile } from './turnstile.js';

const NO_HALT: HaltPolicy = { errors: undefined, same: undefined };

// Full jitter may mean no wait at all, and a full server must not be asked again immediately over and over.
const FULL_WAIT_MS = 50;

/**
 * Runs the due queries of a plan, at most `concurrency` at a time, and records each result exactly once.
 *
 * A query counts as recorded only when the log has acknowledged it. Files are opened one by one as workers become
 * free. Failed attempts are retried by the rules of `core/retry`. While the engine is away nothing is attempted, and
 * refusals by a full server are waited out for the same time. A server that refuses the user, or refuses all queries
 * for longer than that, ends the run: what it refused stays due. Resolves with the summary, and the exit code for the
 * process, when every query is recorded, or after a drain, an abort or a halt.
 *
 * Errors: QrunError of the log (`LOG_*`), after the queries in flight were cancelled.
 */
export function runUnit(deps: RunDeps, options: RunOptions): Promise<RunSummary> {
  return new UnitRun(deps, options).run();
}

// How many results for each worker may wait for the disk. They are in memory up to the spool threshold (1 MiB), and
// are what kill -9 can cost besides the queries in flight.
const RECORDING_FOR_EACH_WORKER = 2;

// Both stops of the caller, and those that the run itself decides on.
interface Stops {
  readonly drain: AbortController;
  readonly abort: AbortController;
}

class UnitRun {
  readonly #deps: RunDeps;
  readonly #options: RunOptions;
  readonly #stops: Stops = { drain: new AbortController(), abort: new AbortController() };
  readonly #outage: Outage;
  readonly #shortage: Shortage;
  readonly #turnstile = new Turnstile();
  // Results whose record is not confirmed yet, as a number: a Set that changes with each query makes the garbage
  // collector keep what passed through it.
  #recording = 0;
  readonly #waitingForDisk: (() => void)[] = [];
  readonly #summary: SummaryBuilder;
  readonly #haltAt: number;
  readonly #same = new SameFailures();
  // When an answer was last about a query itself, and not only a refusal to take it.
  #answeredMs = Number.NEGATIVE_INFINITY;
  #failure: unknown;
  #lost: QrunError | undefined;
  #halted = false;
  #sequence = 0;
  // Queries that must not run, because they kill the process.
  readonly #convicted: { readonly head: GroupHead; readonly verdict: Failure }[] = [];
  // A query that could not be cancelled may still run beside any other.
  #hasStray = false;
  // Whether a query of this run may change data.
  #changesData = false;

  constructor(deps: RunDeps, options: RunOptions) {
    this.#deps = deps;
    this.#options = options;
    // Each running query listens: as many listeners as workers are not a leak.
    setMaxListeners(0, this.#stops.drain.signal, this.#stops.abort.signal);
    this.#summary = new SummaryBuilder(
      options,
      deps.log.path,
      deps.engine.info.servers?.map(({ target }) => target),
    );
    this.#haltAt = haltThreshold(options.halt ?? NO_HALT, options.plan.due.total);
    this.#shortage = new Shortage({
      clock: deps.clock,
      random: deps.random,
      limitMs: options.outageLimitMs,
      onShort: failure =>
        deps.emit({
          type: 'warning',
          message: `this process is short of file descriptors, memory or disk space, queries wait: ${failure.message}`,
        }),
    });
    this.#outage = new Outage({
      ping: deps.engine.ping.bind(deps.engine),
      clock: deps.clock,
      random: deps.random,
      limitMs: options.outageLimitMs,
      onLost: failure => deps.emit({ type: 'engine_lost', reason: failure.message }),
      onBack: afterMs => deps.emit({ type: 'engine_back', after_ms: Math.round(afterMs) }),
      onGaveUp: (failure, afterMs) => this.#giveUp(failure, afterMs),
    });
  }

  async run(): Promise<RunSummary> {
    const startedMs = this.#deps.clock.monotonicMs();
    const unlink = [
      follow(this.#options.drain, reason => this.#drain(String(reason))),
      follow(this.#options.abort, reason => this.#abort(String(reason))),
    ];
    try {
      await this.#feed();
    } finally {
      for (const undo of unlink) undo();
    }
    if (this.#failure !== undefined) throw this.#failure;
    const elapsedMs = this.#deps.clock.monotonicMs() - startedMs;
    const stopped = this.#lost?.message ?? (this.#stops.drain.signal.reason as string | undefined);
    const ownExit = this.#lost !== undefined ? 24 : this.#halted ? 25 : undefined;
    return this.#summary.build({
      records: this.#deps.log.records,
      elapsedMs,
      stopped,
      exitCode: (this.#options.drain.aborted ? this.#options.stopExitCode?.() : undefined) ?? ownExit,
    });
  }

  // Each worker takes the next query when it is free, so that a unit of any size waits as names, not as promises.
  async #feed(): Promise<void> {
    const { concurrency, plan } = this.#options;
    const { due } = plan;
    const { signal } = this.#stops.drain;
    const work = async (): Promise<void> => {
      for (;;) {
        // When results come faster than the disk confirms them.
        while (this.#recording >= RECORDING_FOR_EACH_WORKER * concurrency) await this.#oneRecorded();
        const planned = signal.aborted ? undefined : due.take();
        if (planned === undefined) return;
        try {
          await this.#runQuery(planned);
        } catch (error) {
          this.#fail(error);
        }
      }
    };
    const length = Math.min(concurrency, due.total);
    await Promise.all(Array.from({ length }, work));
    while (this.#recording > 0) await this.#oneRecorded();
    // Nothing runs after these: if the process died once more, the next run would retry what is recorded here.
    for (const { head, verdict } of this.#convicted) {
      if (signal.aborted) return;
      await this.#record(head, { outcome: 'error', error: verdict }).catch(error => this.#fail(error));
    }
  }

  #oneRecorded(): Promise<void> {
    return new Promise(resolve => this.#waitingForDisk.push(resolve));
  }

  async #runQuery(planned: PlannedQuery): Promise<void> {
    const { emit, read, fingerprint } = this.#deps;
    const number = ++this.#sequence;
    let query: ReadQuery | undefined;
    try {
      const reading = read(planned.name);
      query = reading instanceof Promise ? await unlessAborted(reading, this.#stops.drain.signal) : reading;
      // Given up because of a drain: the query had not begun.
      if (query === undefined && this.#stops.drain.signal.aborted) return;
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
      const short = shortageCode(error);
      if (short !== undefined) {
        const failure = localFailure(short, `${planned.name}.sql ${error.message}`);
        if (await this.#waitForMore(failure, { mayTryAgain: true, alone: false }))
          await this.#runQuery(planned);
        return;
      }
      if (this.#options.skipBad === true) {
        this.#summary.leftOut(planned.name, error.message);
        emit({ type: 'warning', message: `${planned.name}.sql is left out: ${error.message}` });
        return;
      }
      const head = this.#head(planned, planned.fingerprint, number, 1);
      const failure = ownFailure(error.code, 'permanent', error.message);
      await this.#record(head, { outcome: 'error', error: failure });
      return;
    }
    if (query === undefined) {
      this.#summary.noQuery(planned.name);
      emit({ type: 'warning', message: `${planned.name}.sql holds no statement any more, and is left out` });
      return;
    }
    // The file may have changed since it was planned: what is recorded is what is sent.
    const print = query.asPlanned === true ? planned.fingerprint : fingerprint(query.bytes);
    if (print !== planned.fingerprint) {
      emit({
        type: 'warning',
        message: `${planned.name}.sql changed after the run began; its present text runs`,
      });
    }
    const verdict = this.#deps.suspects?.verdict(planned.name, print);
    if (verdict !== undefined) {
      this.#convicted.push({ head: this.#head(planned, print, number, 1), verdict });
      return;
    }
    await this.#attempts(planned, query, print, number);
  }

  async #attempts(
    planned: PlannedQuery,
    read: ReadQuery,
    fingerprint: string,
    number: number,
  ): Promise<void> {
    const { clock, emit, inflight, suspects } = this.#deps;
    const { drain, abort } = this.#stops;
    const { query } = read;
    const isSuspect = suspects?.has(planned.name, fingerprint) === true;
    const retries = query.overrides.retries ?? this.#options.retries;
    this.#changesData ||= !query.readOnly;
    let lostTimes = 0;
    let sawOutage = false;
    let isRetry = false;
    let wasShort = false;
    // Consecutive refusals by a full server, and when the first of them came.
    let refusals = 0;
    let fullSinceMs = 0;
    for (let attempt = 1, tries = 1; ; attempt += 1) {
      const alone =
        isSuspect || wasShort || this.#mustBeAlone({ lostTimes, sawOutage, isLast: tries > retries });
      const leave = await this.#admission(alone);
      if (leave === undefined) return;
      // If it kills the process, no other result may be lost.
      if (isSuspect) while (this.#recording > 0) await this.#oneRecorded();
      if (isRetry) this.#summary.retried();
      isRetry = false;
      let head = this.#head(planned, fingerprint, number, attempt);
      let result: EngineResult;
      let away = false;
      let place: number | undefined;
      let hasBegun = false;
      // The engine may have queued it.
      const begin = (): boolean => {
        if (drain.signal.aborted) return false;
        hasBegun = true;
        head = { ...head, startedAtMs: clock.nowMs() };
        place = inflight?.begin(planned.name, fingerprint, alone && !this.#hasStray);
        emit({ type: 'query_started', query: planned.name, attempt, query_id: head.queryId });
        return true;
      };
      try {
        const request = {
          query,
          queryId: head.queryId,
          begin,
          parameters: this.#options.parameters,
          settings: this.#options.settings,
          timeoutMs: query.overrides.timeoutMs ?? this.#options.timeoutMs,
          signal: abort.signal,
        };
        result = await this.#deps.engine.run(request);
        // Before anybody else sees it: log, events, progress and summary all show this one message.
        if (!result.ok && this.#options.redact !== false) {
          result = { ...result, failure: redactFailure(result.failure, request) };
        }
        if (!result.ok && result.failure.mayStillRun === true) this.#hasStray = true;
        // Before it leaves, so that no waiting query starts on the engine that this one killed.
        if (!result.ok && isSuspicious(result.failure)) {
          away = await this.#outage.report(result.failure, drain.signal);
        }
      } finally {
        if (place !== undefined) inflight?.end(place);
        leave();
      }
      if (!hasBegun && drain.signal.aborted) return;
      const { durationMs, server } = result;
      const ended: GroupHead =
        server === undefined ? { ...head, durationMs } : { ...head, durationMs, server };
      if (result.ok) {
        this.#answeredMs = clock.monotonicMs();
        this.#shortage.over();
        const recorded = this.#recordResult(ended, result);
        // One at a time means one after the other, each recorded before the next begins.
        if (this.#options.concurrency === 1) await recorded;
        return;
      }
      // What an engine that is away answers does not count as a result of the query; nor does a timeout then.
      const failure: Failure =
        away && result.failure.kind === 'permanent' ? { ...result.failure, kind: 'unknown' } : result.failure;
      if (failure.name === 'ABORTED' && abort.signal.aborted) return;
      if (failure.serverGone || away) {
        // A proxy's error page in front of a server that answers is not a sign of a query that kills it.
        if (!failure.neverStarted && (away || failure.name === 'HTTP_502' || !isForeignPage(failure))) {
          lostTimes += 1;
          sawOutage ||= away;
        }
        if (this.#lost !== undefined && mayRetry(failure, query.readOnly)) return;
        // Nothing was sent to a server that is away: this is not an attempt of this query.
        if (failure.neverStarted && (away || drain.signal.aborted)) continue;
      }
      if (failure.shortage !== undefined && !(alone && this.#needsTooMuch())) {
        const mayTryAgain = mayRetry(failure, query.readOnly);
        if (!(await this.#waitForMore(failure, { mayTryAgain, alone }))) return;
        wasShort = true;
        continue;
      }
      const nowMs = clock.monotonicMs();
      const isRefused = saysNothingOfQuery(failure);
      if (!isRefused && failure.code > 0) this.#answeredMs = nowMs;
      refusals = isRefused ? refusals + 1 : 0;
      if (refusals === 1) fullSinceMs = nowMs;
      // Not an attempt of this query either, for as long as a lost server is waited for. After that it counts as an
      // attempt if other queries were taken meanwhile; if none was, the server is of no use to this run.
      const noneTaken = this.#answeredMs < fullSinceMs;
      const isFree = refusals > 0 && nowMs - fullSinceMs < this.#refusalLimitMs(failure, noneTaken);
      if (refusals > 0 && !isFree && noneTaken) {
        this.#giveUp(failure, nowMs - fullSinceMs);
        return;
      }
      if (!isFree && (tries > retries || !mayRetry(failure, query.readOnly))) {
        await this.#record(ended, { outcome: 'error', error: failure });
        return;
      }
      if (drain.signal.aborted) return;
      const waitMs = isFree ? FULL_WAIT_MS + this.#waitMs(failure, refusals) : this.#waitMs(failure, tries);
      if (!isFree) tries += 1;
      isRetry = true;
      emit({
        type: 'query_retry',
        query: planned.name,
        attempt,
        wait_ms: Math.round(waitMs),
        error: errorOf(failure),
      });
      await clock.delay(waitMs, drain.signal);
    }
  }

  // When the user is refused for every query, the wait is shorter than for a full server.
  #refusalLimitMs(failure: Failure, noneTaken: boolean): number {
    const { outageLimitMs } = this.#options;
    return noneTaken && refusalOf(failure) === 'credentials'
      ? Math.min(REFUSED_LIMIT_MS, outageLimitMs)
      : outageLimitMs;
  }

  // Returns whether to try again. Nothing is recorded. The run ends if nothing works for too long, or if what was
  // begun cannot be begun again.
  async #waitForMore(failure: Failure, how: { mayTryAgain: boolean; alone: boolean }): Promise<boolean> {
    const { drain } = this.#stops;
    const { shortage = '', message } = failure;
    // File descriptors of this process: a query that runs alone in it cannot wait for others to release any.
    const isLast = how.alone && shortage === 'EMFILE';
    const forMs = how.mayTryAgain ? await this.#shortage.wait(failure, isLast, drain.signal) : 0;
    if (forMs === undefined) return !drain.signal.aborted;
    const what = how.mayTryAgain
      ? `nothing could run for ${Math.round(forMs / 1000)} s`
      : 'a query could not be finished, and cannot be run again';
    this.#lost ??= new QrunError('LOCAL_SHORTAGE', `${what}: ${message}; ${shortageHint(shortage)}`);
    this.#drain(this.#lost.message);
    return false;
  }

  // Whether a query that ran alone in this process failed although the process had enough for any other query.
  #needsTooMuch(): boolean {
    const { engine, freeDescriptors } = this.#deps;
    if (!engine.info.facts.inProcess) return false;
    return (freeDescriptors?.() ?? Number.POSITIVE_INFINITY) >= AMPLE_DESCRIPTORS;
  }

  // A query that may have killed the engine must not do so twice beside others. So it runs alone if it was in flight
  // both times, in its last attempt, and whenever a lost answer of a query beside it cannot be asked for again. One
  // loss by itself says little: after a restart, the queries that were in flight run together again.
  #mustBeAlone(seen: { lostTimes: number; sawOutage: boolean; isLast: boolean }): boolean {
    const { lostTimes, sawOutage, isLast } = seen;
    return lostTimes >= 2 || (lostTimes > 0 && isLast) || (sawOutage && this.#changesData);
  }

  // Waits until an attempt may start; `undefined` when the run stops before that. A drain lets a running attempt end,
  // but begins no other, whatever that one has waited for.
  async #admission(alone: boolean): Promise<(() => void) | undefined> {
    const { drain } = this.#stops;
    for (;;) {
      await this.#outage.ready();
      if (drain.signal.aborted) return undefined;
      const leave = await this.#turnstile.enter(alone);
      if (!drain.signal.aborted && this.#outage.ready() === undefined) return leave;
      leave();
    }
  }

  // No server is waited for longer than a lost one, whatever it asks for.
  #waitMs(failure: Failure, tries: number): number {
    const asked = Math.min(failure.retryAfterMs ?? 0, this.#options.outageLimitMs);
    return Math.max(asked, backoffMs(tries, this.#deps.random));
  }

  // The worker does not wait until the disk has confirmed a result, because the engine would be idle meanwhile. It
  // does wait for an error, after which --halt may require that nothing more starts.
  #recordResult(head: GroupHead, { body, stats }: EngineResult & { ok: true }): Promise<void> {
    const content: GroupContent =
      body.rows > 0 ? { outcome: 'normal', body, stats } : { outcome: 'skipped', stats };
    this.#recording += 1;
    return (body.rows > 0 ? this.#record(head, content) : this.#recordSkipped(head, content, body))
      .catch(error => this.#fail(error))
      .then(() => {
        this.#recording -= 1;
        this.#waitingForDisk.shift()?.();
      });
  }

  async #recordSkipped(head: GroupHead, content: GroupContent, body: ResultBody): Promise<void> {
    await body.dispose();
    await this.#record(head, content);
  }

  async #record(head: GroupHead, content: GroupContent): Promise<void> {
    const rows = content.outcome === 'normal' ? content.body.rows : 0;
    const recorded = await this.#deps.log.append(head, content);
    if (!recorded) {
      this.#summary.recordedElsewhere();
      this.#deps.emit({ type: 'warning', message: `${head.query}: another process recorded it meanwhile` });
      return;
    }
    const error = content.outcome === 'error' ? errorOf(content.error) : undefined;
    const { query, durationMs, server } = head;
    const errors = this.#summary.recorded(query, content.outcome, durationMs, error, server);
    this.#deps.emit({
      type: 'query_recorded',
      query: head.query,
      outcome: content.outcome,
      rows,
      attempt: head.attempt,
      duration_ms: Math.round(head.durationMs * 10) / 10,
      error: error ?? null,
    });
    if (error !== undefined && errors >= this.#haltAt && !this.#halted) {
      this.#halted = true;
      this.#drain(`halted: ${errors} ${errors === 1 ? 'query has' : 'queries have'} failed (--halt)`);
    }
    // What ends the process is not a setting or table that all queries lack.
    if (error?.name === 'ENGINE_DIED') return;
    const same = this.#same.next(error);
    if (error !== undefined && same === this.#options.halt?.same) this.#haltSame(same, error);
  }

  #head(planned: PlannedQuery, fingerprint: string, number: number, attempt: number): GroupHead {
    const { run, unit, parameters } = this.#options;
    return {
      unit,
      query: planned.name,
      fingerprint,
      attempt,
      run,
      rerun: planned.reason === 'rerun',
      queryId: `qrun-${run}-${number}-${attempt}`,
      startedAtMs: this.#deps.clock.nowMs(),
      durationMs: 0,
      parameters,
    };
  }

  #drain(reason: string): void {
    if (this.#stops.drain.signal.aborted) return;
    this.#stops.drain.abort(reason);
    this.#deps.emit({ type: 'stopping', how: 'drain', reason });
  }

  #abort(reason: string): void {
    if (this.#stops.abort.signal.aborted) return;
    this.#stops.drain.abort(reason);
    this.#stops.abort.abort(reason);
    this.#deps.emit({ type: 'stopping', how: 'abort', reason });
  }

  // If all queries fail in the same way from the first on, the reason is not in the queries.
  #haltSame(count: number, error: QueryError): void {
    const { setupNotRun = [], database } = this.#options;
    const { target, version, user } = this.#deps.engine.info;
    const reason = likelyReason(error, { setupNotRun, target, version, user, database });
    const first =
      count === 1 ? 'the first query has failed' : `the first ${count} queries have failed in the same way`;
    const text = `${first}: ${excerpt(error.message)}. ${reason}`.trimEnd();
    if (this.#options.plan.due.left === 0) {
      this.#deps.emit({ type: 'warning', message: text });
      return;
    }
    this.#halted = true;
    this.#drain(`halted: ${text} (--halt same=${count}; same=off goes on)`);
  }

  #giveUp(failure: Failure, afterMs: number): void {
    if (this.#lost !== undefined) return;
    const refusal = refusalOf(failure);
    this.#lost = new QrunError(
      refusal === 'credentials' || refusal === 'quota' ? 'ENGINE_REFUSED' : 'ENGINE_LOST',
      this.#whyGivenUp(failure, Math.round(afterMs / 1000)),
    );
    this.#drain(this.#lost.message);
  }

  #whyGivenUp(failure: Failure, seconds: number): string {
    const { target, user = 'default' } = this.#deps.engine.info;
    const { message } = failure;
    const refusal = refusalOf(failure);
    if (refusal === 'credentials') {
      return (
        `${target} refuses the user "${user}" in the middle of the run: ${message}. ` +
        'Check the user and the password; what was not run stays due'
      );
    }
    if (refusal === 'quota') {
      const endsInMs = quotaEndsInMs(message, this.#deps.clock.nowMs());
      const when =
        endsInMs === undefined
          ? ''
          : ` The run can go on in ${Math.ceil(endsInMs / 1000)} s (at ${new Date(this.#deps.clock.nowMs() + endsInMs).toISOString()})`;
      return `the quota of the user "${user}" on ${target} is used up: ${message.replace(/\.$/, '')}.${when}`;
    }
    if (refusal === 'full') return `${target} took no query for ${seconds} s: ${message}`;
    return `the engine did not answer for ${seconds} s: ${message}`;
  }

  // A failure of the log, or a bug: nothing that is still running could be recorded.
  #fail(error: unknown): void {
    this.#failure ??= error;
    // The error itself is reported once, by whoever receives it.
    this.#abort(error instanceof QrunError ? `the run failed (${error.code})` : 'an unexpected failure');
  }
}

// What events and the summary show of a failure.
function errorOf({ code, name, kind, message }: QueryError): QueryError {
  return { code, name, kind, message };
}

// Refused before it began, whatever it asks for. A login page does not count: a firewall may return it for a single
// statement.
function saysNothingOfQuery(failure: Failure): boolean {
  const refusal = refusalOf(failure);
  return failure.neverStarted && (refusal === 'full' || (refusal !== undefined && failure.code > 0));
}

/** Calls `act` when a signal is aborted, at once if it already is; returns what ends that. */
export function follow(signal: AbortSignal, act: (reason: unknown) => void): () => void {
  const listener = (): void => act(signal.reason);
  if (signal.aborted) listener();
  else signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}
