import { setTimeout as sleep } from 'node:timers/promises';
import { encodeParameter, HTTP_PARAMETERS } from '../../../core/engines/engine-settings.js';
import { type Failure, failureOfQuery, ownFailure } from '../../../core/engines/failure.js';
import type { QueryStats, Settings } from '../../../core/model.js';
import { setStatement } from '../../../core/sql/set-statement.js';
import type { Statement } from '../../../core/sql/statement.js';
import { stoppedBetween, stoppedFailure } from '../attempts.js';
import type { EngineOutcome, EngineRequest } from '../engine.js';
import { ResultChoice } from '../result-choice.js';
import { SessionChanges } from '../session-changes.js';
import type { Stop } from '../stop.js';
import { type Canceller, HeldRequest } from './cancel.js';
import type { HttpAnswer, HttpCall } from './http/call.js';
import { HttpChannel } from './http/channel.js';
import type { ParameterPlace } from './http/form.js';
import type { ClickHouseOptions, ServerProfile } from './open.js';
import { refusesSetting } from './readonly.js';
import type { SettingAliases } from './setting-aliases.js';

/** What an attempt works with. */
export interface AttemptContext {
  readonly options: ClickHouseOptions;
  readonly profile: ServerProfile;
  readonly queries: HttpChannel;
  /** The same route, with a new connection for each request; it does not queue behind queries. */
  readonly others: HttpChannel;
  readonly canceller: Canceller;
  readonly parameterPlace: ParameterPlace;
  /** Shared by all attempts. */
  readonly limits: RefusedSettings;
  readonly aliases: SettingAliases;
  /** What the URL contained for the last query that needed nothing of its own there. */
  url: UrlParameters | undefined;
}

interface UrlParameters {
  readonly settings: Settings;
  readonly limitS: number | undefined;
  readonly parameters: Readonly<Record<string, string>>;
}

/** What the server has refused, and what is therefore not sent again. */
export interface RefusedSettings {
  /** Versions before 20.7 do not accept strings for settings that are numbers. */
  numbersAreBare?: boolean;
  /** Some users may not set max_execution_time, or not as high as the deadline requires. */
  executionTimeRefused: boolean;
}

// There is no pause between the statements of a file. This is the server's own default, and limits how long the
// temporary tables of a lost session stay in its memory.
const SESSION_TIMEOUT_S = '60';
// The server needs a moment to free a session after it has answered.
const SESSION_IS_LOCKED = 373;
const SESSION_LOCKED_LIMIT_MS = 2000;
const END_SESSION_LIMIT_MS = 1000;
// Behind a balancer a statement may reach a server that does not have its session; it is not executed there. It is sent
// again until it reaches the session: for this long if several servers are known. Otherwise up to this many times: two
// servers of one name look like one, and each try finds the right one of them with a probability of a half.
const SESSION_NOT_FOUND = 372;
const SESSION_TRIES = 40;
const SESSION_SEARCH_LIMIT_MS = 3000;
// The server's own limit comes later than ours, so that the failure is always named TIMEOUT. It ends the query if qrun
// has died or could not cancel it.
const SERVER_LIMIT_MARGIN_S = 1;
// CANNOT_CONVERT_TYPE, TYPE_MISMATCH and BAD_GET.
const WRONG_TYPE: ReadonlySet<number> = new Set([70, 53, 170]);
// Affects only the form of an exception, never that of rows. With qrun's value an exception cannot look like a row.
const ALWAYS_SENT = 'http_write_exception_in_output_format';

/**
 * One run of one query: its statements one after the other, in a session of their own if they need one.
 *
 * `run` has the contract of `Engine.run`; call it once.
 */
export class Attempt {
  readonly #request: EngineRequest;
  readonly #stop: Stop;
  readonly #context: AttemptContext;
  // What the file has set in its session takes precedence over what would go into the URL.
  readonly #changes = new SessionChanges();
  // The settings of qrun and of the user are set in the session too.
  #areSettingsInSession = false;
  // `readonly` is set in the session, so the URL may not contain settings.
  #isReadOnly = false;
  #usedDatabase = false;
  // One connection for all statements of the session, used if a balancer could lead each to another server.
  #ownChannel: HttpChannel | undefined;

  constructor(request: EngineRequest, stop: Stop, context: AttemptContext) {
    this.#request = request;
    this.#stop = stop;
    this.#context = context;
  }

  async run(): Promise<EngineOutcome> {
    const { statements } = this.#request.query;
    const choice = new ResultChoice(statements);
    const stats: QueryStats[] = [];
    let changedBefore = false;
    try {
      for (let index = 0; index < statements.length; index += 1) {
        const statement = statements[index] as Statement;
        const answer = await this.#execute(statement, index, choice.mayBe(index));
        const changes = !(statement.readOnly || this.#request.query.readOnly);
        if (!answer.ok) {
          await this.#endSession(index, answer.failure);
          return { ok: false, failure: failureOfQuery(answer.failure, { changedBefore, changes }) };
        }
        changedBefore ||= changes;
        if (answer.stats !== undefined) stats.push(answer.stats);
        await choice.take(index, answer.body);
      }
      return { ok: true, body: await choice.finish(), stats: totalOf(stats) };
    } finally {
      // Something is still held only if a later statement failed.
      await choice.dispose();
      await this.#ownChannel?.close();
    }
  }

  async #execute(statement: Statement, index: number, isResult: boolean): Promise<HttpAnswer> {
    const { queryId } = this.#request;
    if (this.#stop.why !== undefined) return this.#stopped(index === 0, undefined);
    if (index > 0 && this.#request.drain?.aborted) {
      return { ok: false, failure: stoppedBetween() };
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
    if (statement.sets?.others && !this.#areSettingsInSession) {
      const answer = await this.#putSettingsInSession(index);
      if (!answer.ok) return answer;
    }
    const ownId = index === 0 ? queryId : `${queryId}-${index}`;
    const shape = this.#changes.shapeOf(statement);
    const send = () =>
      this.#call(
        {
          sql: statement.text,
          data: statement.data,
          queryId: ownId,
          query: this.#urlParameters(statement, index),
          ...(isResult ? { spool: this.#context.options.spool } : {}),
          ...(shape === undefined ? {} : { shape }),
        },
        index,
        statement.parameters.length > 0,
      );
    let answer = await send();
    if (!answer.ok && this.#mayGoWithoutSetting(answer.failure)) answer = await send();
    if (answer.ok && this.#request.query.needsSession) await this.#remember(statement);
    return answer;
  }

  // Called before a statement that may forbid sending settings later, or change settings that it does not name.
  async #putSettingsInSession(index: number): Promise<HttpAnswer> {
    const { limits } = this.#context;
    const queryId = `${this.#request.queryId}-set`;
    const send = () =>
      this.#call(
        {
          sql: setStatement(new Map(Object.entries(this.#settings(this.#limitS()))), limits.numbersAreBare),
          queryId,
          query: { ...this.#sessionParameters(index, false), ...HTTP_PARAMETERS },
        },
        index,
      );
    let answer = await send();
    if (!answer.ok && WRONG_TYPE.has(answer.failure.code) && limits.numbersAreBare !== true) {
      limits.numbersAreBare = true;
      answer = await send();
    }
    if (!answer.ok && this.#refusesExecutionTime(answer.failure)) answer = await send();
    this.#areSettingsInSession = answer.ok;
    return answer;
  }

  // A refused statement was not executed, so it can be sent again.
  #mayGoWithoutSetting(failure: Failure): boolean {
    if (this.#areSettingsInSession && !this.#isReadOnly && refusesSetting(failure)) {
      // A profile may set readonly. Its other settings then take precedence over those that cannot be sent any more.
      this.#isReadOnly = true;
      return true;
    }
    return this.#refusesExecutionTime(failure);
  }

  // The limit is only a safety net after our own deadline: the query can run without it.
  #refusesExecutionTime(failure: Failure): boolean {
    const { limits } = this.#context;
    if (limits.executionTimeRefused || !refusesSetting(failure)) return false;
    limits.executionTimeRefused = failure.message.includes('max_execution_time');
    return limits.executionTimeRefused;
  }

  // Only a statement of a session that has begun can find it locked or missing; the statement was then not executed.
  async #call(call: HttpCall, index: number, hasParameters = false): Promise<HttpAnswer> {
    const placed = hasParameters ? this.#context.parameterPlace.of(call, this.#stop) : call;
    const sent = placed instanceof Promise ? await placed : placed;
    if (call.query.session_check === undefined) return await this.#send(this.#channel(0), sent, index);
    const { identity } = this.#context.profile;
    const lockedMs = performance.now() + SESSION_LOCKED_LIMIT_MS;
    const searchMs = performance.now() + SESSION_SEARCH_LIMIT_MS;
    let misses = 0;
    for (let waitMs = 2; ; ) {
      const answer = await this.#send(this.#channel(misses), sent, index);
      if (answer.ok || this.#stop.why !== undefined) return answer;
      const { code } = answer.failure;
      if (code === SESSION_NOT_FOUND) {
        misses += 1;
        if (identity.isSeveral ? performance.now() > searchMs : misses > SESSION_TRIES) return answer;
      } else if (code === SESSION_IS_LOCKED && performance.now() < lockedMs) {
        await sleep(waitMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
        waitMs *= 2;
      } else return answer;
    }
  }

  async #send(channel: HttpChannel, call: HttpCall, index: number): Promise<HttpAnswer> {
    if (this.#stop.why !== undefined) return this.#stopped(index === 0, undefined);
    const held = new HeldRequest(this.#stop, request =>
      this.#context.canceller.cancel(call.queryId, request),
    );
    const answer = await channel.call(call, held);
    if (!answer.ok && answer.isUnread === true) await this.#context.canceller.cancel(call.queryId, held);
    held.over();
    if (held.outcome === undefined) return answer;
    const { wasSent, notEnded } = await held.outcome;
    // A result that arrived after the stop is too late.
    if (answer.ok) await answer.body.dispose();
    return this.#stopped(index === 0 && !wasSent, notEnded, wasSent);
  }

  // A balancer leads either each connection or each request to another server. In the first case a session keeps its
  // connection. In the second it sends again, every other time over a new connection, in case its own has been renewed.
  #channel(misses: number): HttpChannel {
    const { profile, queries, others } = this.#context;
    if (!this.#request.query.needsSession) return queries;
    if (misses % 2 === 1) return others;
    if (!profile.identity.isSeveral) return queries;
    this.#ownChannel ??= new HttpChannel(profile.endpoint, 1, profile.identity);
    return this.#ownChannel;
  }

  #urlParameters(statement: Statement, index: number): Readonly<Record<string, string>> {
    const { options, url: last } = this.#context;
    const { parameters, query, settings } = this.#request;
    const limitS = this.#limitS();
    const isPlain = !query.needsSession && statement.parameters.length === 0;
    // Most queries of a run differ only in their text.
    if (isPlain && last !== undefined && last.settings === settings && last.limitS === limitS) {
      return last.parameters;
    }
    const url: Record<string, string> = this.#isReadOnly ? {} : this.#settings(limitS);
    for (const { name, type } of statement.parameters) {
      const value = parameters[name];
      if (value !== undefined) url[`param_${name}`] = encodeParameter(value, type);
    }
    // After USE the session knows the database; a parameter would override it.
    if (options.database !== undefined && !this.#usedDatabase) url.database = options.database;
    if (query.needsSession) {
      Object.assign(url, this.#sessionParameters(index, index === query.statements.length - 1));
    }
    Object.assign(url, HTTP_PARAMETERS);
    if (isPlain) this.#context.url = { settings, limitS, parameters: url };
    return url;
  }

  #limitS(): number | undefined {
    const leftMs = this.#context.limits.executionTimeRefused ? undefined : this.#stop.leftMs();
    return leftMs === undefined ? undefined : Math.max(1, Math.ceil(leftMs / 1000)) + SERVER_LIMIT_MARGIN_S;
  }

  // The settings of qrun, overridden by those of the user, without those that the file has set itself.
  #settings(limitS: number | undefined): Record<string, string> {
    const { options, profile } = this.#context;
    const settings: Record<string, string> = { ...profile.settings };
    if (limitS !== undefined) settings.max_execution_time = String(limitS);
    Object.assign(settings, options.settings, this.#request.settings);
    for (const name of this.#changes.names) if (name !== ALWAYS_SENT) delete settings[name];
    return settings;
  }

  // A session ends with its file, so that its temporary tables do not stay in the server's memory. Old servers cannot
  // close a session, but apply the timeout of the last request.
  #sessionParameters(index: number, last: boolean): Record<string, string> {
    const session = {
      session_id: this.#request.queryId,
      // Without this, a server that does not have the session (restart, another server behind a load balancer) would
      // begin a new one, and run the rest of the file without its SETs.
      ...(index > 0 || this.#areSettingsInSession ? { session_check: '1' } : {}),
    };
    if (last && this.#context.profile.closesSessions) return { ...session, close_session: '1' };
    return { ...session, session_timeout: last ? '1' : SESSION_TIMEOUT_S };
  }

  async #remember(statement: Statement): Promise<void> {
    if (statement.keyword === 'USE') this.#usedDatabase = true;
    const { sets } = statement;
    if (sets === undefined) return;
    this.#changes.note(statement);
    if (sets.names.includes('readonly')) this.#isReadOnly = true;
    const { aliases, options } = this.#context;
    // qrun's settings have one name each; those of the user may have aliases.
    if (Object.keys(options.settings).length + Object.keys(this.#request.settings).length === 0) return;
    for (const name of await aliases.of(sets.names, this.#stop.signal)) this.#changes.names.add(name);
  }

  /** Frees what the session of a failed file holds on the server (best effort). */
  async #endSession(index: number, failure: Failure): Promise<void> {
    if (!this.#request.query.needsSession || failure.serverGone || (index === 0 && failure.neverStarted))
      return;
    const query = { ...HTTP_PARAMETERS, ...this.#sessionParameters(1, true) };
    const call = { sql: 'SELECT 1', queryId: `${this.#request.queryId}-end`, query };
    const limit = AbortSignal.timeout(END_SESSION_LIMIT_MS);
    for (let tries = 1; tries <= SESSION_TRIES; tries += 1) {
      const answer = await this.#channel(tries).call(call, limit);
      if (answer.ok || answer.failure.code !== SESSION_NOT_FOUND) return;
    }
  }

  #stopped(neverStarted: boolean, notCancelled: Failure | undefined, wasSent = !neverStarted): HttpAnswer {
    const ended = wasSent ? 'it has ended on the server' : 'it was not sent';
    const now =
      notCancelled === undefined ? ended : `it may still run on the server: ${notCancelled.message}`;
    const failure = stoppedFailure(this.#stop, this.#request.timeoutMs, now);
    const serverGone = notCancelled?.serverGone ?? false;
    return { ok: false, failure: { ...failure, neverStarted, serverGone } };
  }
}

// The cost of a query is the cost of all its statements.
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
