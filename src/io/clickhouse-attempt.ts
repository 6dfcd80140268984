import { setTimeout as sleep } from 'node:timers/promises';
import { encodeParameter, HTTP_PARAMETERS } from '../core/engine-settings.js';
import { type Failure, failureOfQuery, ownFailure } from '../core/failure.js';
import type { QueryStats, Settings } from '../core/model.js';
import type { Statement } from '../core/sql/statement.js';
import type { Canceller } from './clickhouse-cancel.js';
import type { ClickHouseOptions, ServerProfile } from './clickhouse-connect.js';
import type { HttpAnswer, HttpCall, HttpChannel } from './clickhouse-http.js';
import type { EngineRequest, EngineResult } from './engine.js';
import { type ResultBody, ResultWriter } from './result-body.js';
import type { Stop } from './stop.js';

/** What an attempt works with. */
export interface AttemptContext {
  readonly options: ClickHouseOptions;
  readonly profile: ServerProfile;
  readonly queries: HttpChannel;
  /** For what must not queue behind queries. */
  readonly control: HttpChannel;
  readonly canceller: Canceller;
  /** Shared by all attempts. */
  readonly limits: ServerLimits;
  /** What stood in the URL of the last query that needed nothing of its own there. */
  url: UrlParameters | undefined;
}

interface UrlParameters {
  readonly settings: Settings;
  readonly limitS: number | undefined;
  readonly parameters: Readonly<Record<string, string>>;
}

/** What the server has refused and is therefore not sent again. */
export interface ServerLimits {
  /** Some users may not set max_execution_time, or not as high as the deadline asks. */
  executionTimeRefused: boolean;
}

// Nothing pauses between the statements of a file. This is the server's own default, and bounds how long the
// temporary tables of a lost session stay in its memory.
const SESSION_TIMEOUT_S = '60';
// The server needs a moment to free a session after it has answered.
const SESSION_IS_LOCKED = 373;
const SESSION_LOCKED_LIMIT_MS = 2000;
const END_SESSION_LIMIT_MS = 1000;
// The server's own limit lies behind ours, so that the failure is always named TIMEOUT; it ends the query of a
// qrun that has died or could not cancel it.
const SERVER_LIMIT_MARGIN_S = 1;
// READONLY and SETTING_CONSTRAINT_VIOLATION.
const SETTING_REFUSED: ReadonlySet<number> = new Set([164, 452]);

/**
 * One run of one query: its statements one after the other, in one session of their own where they need one.
 *
 * `run` keeps the promises of `Engine.run`; call it once.
 */
export class Attempt {
  readonly #request: EngineRequest;
  readonly #stop: Stop;
  readonly #context: AttemptContext;
  // What SET has changed in the session so far: it wins over what would go into the URL.
  readonly #setInSession = new Set<string>();
  #usedDatabase = false;

  constructor(request: EngineRequest, stop: Stop, context: AttemptContext) {
    this.#request = request;
    this.#stop = stop;
    this.#context = context;
  }

  async run(): Promise<EngineResult> {
    const { statements } = this.#request.query;
    const resultIndex = statements.findLastIndex(statement => statement.returnsRows);
    const stats: QueryStats[] = [];
    let result: ResultBody | undefined;
    let changedBefore = false;
    try {
      for (let index = 0; index < statements.length; index += 1) {
        const statement = statements[index] as Statement;
        const answer = await this.#execute(statement, index, index === resultIndex);
        const changes = !(statement.readOnly || this.#request.query.readOnly);
        if (!answer.ok) {
          await this.#endSession(index, answer.failure);
          return { ok: false, failure: failureOfQuery(answer.failure, { changedBefore, changes }) };
        }
        changedBefore ||= changes;
        if (answer.stats !== undefined) stats.push(answer.stats);
        if (index === resultIndex) result = answer.body;
        else await answer.body.dispose();
      }
      const body = result ?? (await emptyBody());
      result = undefined;
      return { ok: true, body, stats: totalOf(stats) };
    } finally {
      // Still held only when a later statement failed.
      await result?.dispose();
    }
  }

  async #execute(statement: Statement, index: number, isResult: boolean): Promise<HttpAnswer> {
    const { queryId } = this.#request;
    if (this.#stop.why !== undefined) return this.#stopped(index === 0, undefined);
    if (index > 0 && this.#request.drain?.aborted) {
      return { ok: false, failure: ownFailure('ABORTED', 'transient', 'stopped between two statements') };
    }
    const { supportsParameters, version } = this.#context.profile;
    const parameter = statement.parameters[0];
    if (parameter !== undefined && !supportsParameters) {
      const { name, type } = parameter;
      const message = `ClickHouse ${version} has no parameters such as {${name}:${type}}; 19.14 and later have them`;
      return {
        ok: false,
        failure: { ...ownFailure('PARAMETERS', 'permanent', message), neverStarted: true },
      };
    }
    const ownId = index === 0 ? queryId : `${queryId}-${index}`;
    const send = () =>
      this.#call(
        {
          sql: statement.text,
          data: statement.data,
          queryId: ownId,
          query: this.#urlParameters(statement, index),
          ...(isResult ? { spool: this.#context.options.spool } : {}),
        },
        index,
      );
    let answer = await send();
    if (!answer.ok && this.#refusesExecutionTime(answer.failure)) answer = await send();
    if (answer.ok) {
      if (this.#request.query.needsSession) this.#remember(statement);
      return answer;
    }
    if (this.#stop.why === undefined) return answer;
    return this.#stopped(false, await this.#context.canceller.cancel(ownId));
  }

  // The limit is only a safety net behind our own deadline: without it the query can still run.
  #refusesExecutionTime({ code, message }: Failure): boolean {
    const { limits } = this.#context;
    if (limits.executionTimeRefused || !SETTING_REFUSED.has(code)) return false;
    limits.executionTimeRefused = message.includes('max_execution_time');
    return limits.executionTimeRefused;
  }

  // Only a statement that follows another in the session can meet it locked, and was then not executed.
  async #call(call: HttpCall, index: number): Promise<HttpAnswer> {
    const limitMs = performance.now() + SESSION_LOCKED_LIMIT_MS;
    for (let waitMs = 2; ; waitMs *= 2) {
      const answer = await this.#context.queries.call(call, this.#stop);
      const locked = index > 0 && !answer.ok && answer.failure.code === SESSION_IS_LOCKED;
      if (!locked || this.#stop.why !== undefined || performance.now() > limitMs) return answer;
      await sleep(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  #urlParameters(statement: Statement, index: number): Readonly<Record<string, string>> {
    const { options, profile } = this.#context;
    const { parameters, query, settings } = this.#request;
    const leftMs = this.#context.limits.executionTimeRefused ? undefined : this.#stop.leftMs();
    const limitS =
      leftMs === undefined ? undefined : Math.max(1, Math.ceil(leftMs / 1000)) + SERVER_LIMIT_MARGIN_S;
    const { url: last } = this.#context;
    const isPlain = !query.needsSession && statement.parameters.length === 0;
    // Most queries of a run differ in their text alone.
    if (isPlain && last !== undefined && last.settings === settings && last.limitS === limitS) {
      return last.parameters;
    }
    const url: Record<string, string> = { ...profile.settings };
    if (limitS !== undefined) url.max_execution_time = String(limitS);
    Object.assign(url, options.settings, settings);
    for (const name of this.#setInSession) delete url[name];
    for (const { name, type } of statement.parameters) {
      const value = parameters[name];
      if (value !== undefined) url[`param_${name}`] = encodeParameter(value, type);
    }
    // After USE the session knows the database; a parameter would override it.
    if (options.database !== undefined && !this.#usedDatabase) url.database = options.database;
    if (query.needsSession) {
      Object.assign(url, this.#sessionParameters(index === query.statements.length - 1));
      // Without this a server that has lost the session (restart, another server behind a load balancer) would
      // begin a new one, and run the rest without its SETs.
      if (index > 0) url.session_check = '1';
    }
    Object.assign(url, HTTP_PARAMETERS);
    if (isPlain) this.#context.url = { settings, limitS, parameters: url };
    return url;
  }

  // A session ends with its file, so that its temporary tables do not stay in the server's memory. Old servers
  // cannot close one, but take the timeout of the last request.
  #sessionParameters(last: boolean): Record<string, string> {
    const session = { session_id: this.#request.queryId };
    if (last && this.#context.profile.closesSessions) return { ...session, close_session: '1' };
    return { ...session, session_timeout: last ? '1' : SESSION_TIMEOUT_S };
  }

  #remember(statement: Statement): void {
    if (statement.keyword === 'USE') this.#usedDatabase = true;
    if (statement.keyword === 'SET')
      for (const name of namesInSet(statement.text)) this.#setInSession.add(name);
  }

  /** Frees what the session of a failed file holds on the server; best effort. */
  async #endSession(index: number, failure: Failure): Promise<void> {
    if (!this.#request.query.needsSession || failure.serverGone || (index === 0 && failure.neverStarted))
      return;
    const query = { ...HTTP_PARAMETERS, ...this.#sessionParameters(true), session_check: '1' };
    const call = { sql: 'SELECT 1', queryId: `${this.#request.queryId}-end`, query };
    await this.#context.control.call(call, AbortSignal.timeout(END_SESSION_LIMIT_MS));
  }

  #stopped(neverStarted: boolean, notCancelled: Failure | undefined): HttpAnswer {
    const timedOut = this.#stop.why === 'TIMEOUT';
    const what = timedOut ? `no result within ${this.#request.timeoutMs} ms` : 'cancelled by qrun';
    const now =
      notCancelled === undefined
        ? neverStarted
          ? 'it was not sent'
          : 'it has ended on the server'
        : `it may still run on the server: ${notCancelled.message}`;
    const failure = ownFailure(
      timedOut ? 'TIMEOUT' : 'ABORTED',
      timedOut ? 'permanent' : 'transient',
      `${what}; ${now}`,
    );
    const serverGone = notCancelled?.serverGone ?? false;
    return { ok: false, failure: { ...failure, neverStarted, serverGone } };
  }
}

// `SET a = 1, b = 'x, c = 2'` names a and b.
function namesInSet(text: string): string[] {
  const withoutStrings = text.replace(/'(?:\\.|''|[^'\\])*'/gs, "''");
  return [...withoutStrings.matchAll(/(?:^\s*SET\s+|,\s*)([A-Za-z_]\w*)/gi)].map(match => match[1] ?? '');
}

async function emptyBody(): Promise<ResultBody> {
  const body = await new ResultWriter(undefined).finish();
  if ('reason' in body) throw new Error('no bytes were taken for rows that are not whole');
  return body;
}

// The cost of a query is that of all its statements.
function totalOf(all: readonly QueryStats[]): QueryStats | undefined {
  const total: { -readonly [name in keyof QueryStats]: number } = {};
  for (const stats of all) {
    for (const [name, value] of Object.entries(stats) as [keyof QueryStats, number][]) {
      const before = total[name] ?? 0;
      total[name] = name === 'memory_bytes' ? Math.max(before, value) : before + value;
    }
  }
  return all.length === 0 ? undefined : total;
}
