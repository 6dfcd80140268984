import type { EmbeddedAccess } from '../../../core/engines/embedded/access.js';
import { explained, refusedFailure } from '../../../core/engines/embedded/refusal.js';
import { encodeParameter } from '../../../core/engines/engine-settings.js';
import { type Failure, failureOfQuery, ownFailure } from '../../../core/engines/failure.js';
import type { Settings } from '../../../core/model.js';
import { outsideUse } from '../../../core/sql/guard/outside.js';
import { escapeRawBytes, hasRawBytes } from '../../../core/sql/lexer/encoding.js';
import { literal, setStatement } from '../../../core/sql/set-statement.js';
import type { Statement } from '../../../core/sql/statement.js';
import { stoppedBetween, stoppedFailure } from '../attempts.js';
import type { EngineOutcome, EngineRequest } from '../engine.js';
import type { Place } from '../permits.js';
import { notRows, type ResultBody, ResultWriter, type RowShape, type SpoolOptions } from '../result-body.js';
import { ResultChoice } from '../result-choice.js';
import { SessionChanges } from '../session-changes.js';
import type { Stop } from '../stop.js';
import { type CallAnswer, type Connections, NO_OUTPUT } from './connections.js';
import type { ResultPipe } from './pipe.js';
import { Session, type SettingsMap } from './session.js';

/** The place that one query at a time runs in. */
export interface EmbeddedPlace extends Place {
  readonly pipe: ResultPipe;
  /** Kept for the next query only if nothing of the last one is left in it. */
  session: Session | undefined;
}

/** What all attempts of an engine share. */
export interface EmbeddedContext {
  readonly connections: Connections;
  readonly spool: SpoolOptions;
  /** How long a cancel may take, in milliseconds. */
  readonly cancelLimitMs: number;
  /** The settings of qrun, overridden by those of the user for all queries. */
  readonly settings: Settings;
  readonly access: EmbeddedAccess;
}

// The engine's own limit comes later than ours, so that the failure is always named TIMEOUT. It ends a query that could
// not be cancelled.
const ENGINE_LIMIT_MARGIN_S = 1;
// These can return any number of rows, so their results go through the pipe. Those of SHOW, EXPLAIN and the like are
// small.
const LARGE_RESULTS: ReadonlySet<string> = new Set(['SELECT', 'WITH', 'FROM']);
const SYNTAX_ERROR = 62;

type Answer<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly failure: Failure };

/** One run of one query in a place. `run` has the contract of `Engine.run`; call it once. */
export class EmbeddedAttempt {
  readonly #request: EngineRequest;
  readonly #stop: Stop;
  readonly #place: EmbeddedPlace;
  readonly #context: EmbeddedContext;
  // Resolves when the running call must stop: because of the deadline, an abort, a spool that cannot be written, or a
  // result that is too large.
  readonly #halted: Promise<undefined>;
  #halt: () => void = () => undefined;
  #wasSent = false;
  #elapsedMs = 0;
  readonly #changes = new SessionChanges();
  // A call that could not be cancelled and is still running.
  #lost: Promise<CallAnswer> | undefined;

  constructor(request: EngineRequest, stop: Stop, place: EmbeddedPlace, context: EmbeddedContext) {
    this.#request = request;
    this.#stop = stop;
    this.#place = place;
    this.#context = context;
    this.#halted = new Promise(resolve => {
      this.#halt = () => resolve(undefined);
    });
    stop.addEventListener('abort', this.#halt, { once: true });
    if (stop.why !== undefined) this.#halt();
  }

  async run(): Promise<EngineOutcome> {
    const { query } = this.#request;
    let mayStay = false;
    try {
      const result = await this.#run();
      mayStay = result.ok && query.readOnly && !query.needsSession;
      return result;
    } finally {
      if (!mayStay) this.#discardSession();
    }
  }

  async #run(): Promise<EngineOutcome> {
    const { statements, readOnly } = this.#request.query;
    const choice = new ResultChoice(statements);
    let changedBefore = false;
    try {
      if (this.#stop.why !== undefined) return this.#failed(undefined);
      const opened = await this.#openSession();
      if (!opened.ok) return this.#failed({ ...opened.failure, neverStarted: true });
      for (const [index, statement] of statements.entries()) {
        if (index > 0 && this.#request.drain?.aborted) return this.#failed(stoppedBetween());
        const answer = await this.#execute(opened.session, statement, choice.mayBe(index));
        if (answer.ok && answer.body !== undefined) await choice.take(index, answer.body);
        const changes = !(statement.readOnly || readOnly);
        if (!answer.ok)
          return this.#failed(failureOfQuery(explained(answer.failure), { changedBefore, changes }));
        if (this.#stop.why !== undefined) return this.#failed(undefined);
        changedBefore ||= changes;
      }
      const stats = { elapsed_ms: Math.round(this.#elapsedMs * 1000) / 1000 };
      return { ok: true, body: await choice.finish(), stats };
    } finally {
      // Something is still held only if a later statement failed.
      await choice.dispose();
    }
  }

  // Returns a session with the settings that the query needs: the place's, or a new one.
  async #openSession(): Promise<Answer<{ session: Session }>> {
    const { query, parameters, settings: ofRequest, timeoutMs } = this.#request;
    const names = query.statements.flatMap(statement => statement.parameters.map(({ name }) => name));
    const kept = this.#place.session;
    if (names.length === 0 && kept?.isFor(ofRequest, timeoutMs)) return { ok: true, session: kept };
    const settings = new Map([
      ...this.#settings(),
      ...query.statements.flatMap(each => [...this.#parametersOf(each)]),
    ]);
    const withoutValue = names.filter(name => parameters[name] === undefined);
    if (kept?.accepts(settings, withoutValue)) {
      const answer = await this.#set(kept, settings);
      if (answer.ok || this.#stop.why !== undefined) return answer.ok ? { ok: true, session: kept } : answer;
      // `readonly` is set in it, so nothing can be changed any more.
    }
    this.#discardSession();
    try {
      this.#place.session = new Session(this.#context.connections.open());
    } catch (error) {
      return { ok: false, failure: ownFailure('ENGINE_FAILED', 'transient', (error as Error).message) };
    }
    const session = this.#place.session;
    const answer = await this.#set(session, settings);
    return answer.ok ? { ok: true, session } : answer;
  }

  #settings(): SettingsMap {
    const { settings, timeoutMs } = this.#request;
    const limitS = timeoutMs > 0 ? Math.ceil(timeoutMs / 1000) + ENGINE_LIMIT_MARGIN_S : 0;
    const own = { max_execution_time: String(limitS) };
    return new Map(Object.entries({ ...own, ...this.#context.settings, ...settings }));
  }

  async #set(session: Session, settings: SettingsMap): Promise<CallAnswer | { ok: true }> {
    const missing = session.missing(settings);
    if (missing.size === 0) return { ok: true };
    const answer = await this.#call(session, setStatement(missing), NO_OUTPUT);
    if (answer.ok) session.note(missing, this.#request);
    return answer;
  }

  async #execute(
    session: Session,
    statement: Statement,
    isResult: boolean,
  ): Promise<Answer<{ body: ResultBody | undefined }>> {
    const { parameters, settings } = this.#request;
    const sent = { parameters, settings: [settings, this.#context.settings] };
    const outside = outsideUse(statement, this.#context.access, sent);
    if (outside !== undefined) return { ok: false, failure: refusedFailure(outside) };
    if (statement.parameters.length > 0) {
      // Already set, unless two statements name a parameter with different types.
      const set = await this.#set(session, this.#parametersOf(statement));
      if (!set.ok) return set;
    }
    const sql = this.#sqlOf(session, statement);
    if (typeof sql !== 'string') return { ok: false, failure: sql };
    this.#wasSent = true;
    if (isResult) {
      const shape = this.#changes.shapeOf(statement);
      // Only these accept INTO OUTFILE, and only in ClickHouse's own dialect.
      const isQuery = statement.rows === 'yes' && LARGE_RESULTS.has(statement.keyword);
      if (!isQuery) return await this.#resultInMemory(session, sql, shape);
      const answer = await this.#resultByPipe(session, sql, shape);
      // The parser may have failed on the clause that names the pipe, and the message then contains that clause.
      if (answer.ok || answer.failure.code !== SYNTAX_ERROR || !statement.readOnly) return answer;
      return await this.#resultInMemory(session, sql, shape);
    }
    const answer = await this.#call(session, sql, NO_OUTPUT);
    if (!answer.ok) return answer;
    this.#changes.note(statement);
    return { ok: true, body: undefined };
  }

  // If the file sets a log_comment of its own, the mark goes into the SQL.
  #sqlOf(session: Session, statement: Statement): string | Failure {
    const { text, data } = statement;
    if (data !== undefined && hasRawBytes(data) && !/\bvalues[`"]?$/i.test(text)) {
      const message = 'the embedded engine takes inline data of this format only in UTF-8';
      return ownFailure('SQL_INVALID', 'permanent', `${message}: save the file as UTF-8, or use VALUES`);
    }
    // The engine reads the format up to a line end, so one comes before the data. VALUES ignores it.
    const sql = escapeRawBytes(data === undefined ? text : `${text}\n${data}`);
    return this.#changes.mayHaveSet(statement, 'log_comment') ? `${markComment(session)}${sql}` : sql;
  }

  #parametersOf(statement: Statement): SettingsMap {
    const values = new Map<string, string>();
    for (const { name, type } of statement.parameters) {
      const value = this.#request.parameters[name];
      if (value !== undefined) values.set(`param_${name}`, encodeParameter(value, type));
    }
    return values;
  }

  async #resultByPipe(
    session: Session,
    sql: string,
    shape: RowShape | undefined,
  ): Promise<Answer<{ body: ResultBody }>> {
    const { pipe } = this.#place;
    const writer = new ResultWriter(this.#context.spool, shape);
    pipe.collect(writer, this.#halt);
    const answer = await this.#call(session, `${sql}\n${intoPipe(pipe)}`, NO_OUTPUT);
    if (this.#lost !== undefined) {
      pipe.drop();
      await writer.discard();
    } else {
      await pipe.end();
    }
    if (answer.ok || writer.isRefused) {
      const rowCount = answer.ok ? answer.result.rowsRead : 0;
      const result = await proven(writer, rowCount);
      if (result.ok || this.#lost === undefined) return result;
      return { ok: false, failure: { ...result.failure, mayStillRun: true } };
    }
    await writer.discard();
    return answer;
  }

  async #resultInMemory(
    session: Session,
    sql: string,
    shape: RowShape | undefined,
  ): Promise<Answer<{ body: ResultBody }>> {
    const answer = await this.#call(session, sql, 'JSONEachRow');
    if (!answer.ok) return answer;
    const writer = new ResultWriter(this.#context.spool, shape);
    const bytes = answer.result.bytes();
    await writer.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    return await proven(writer, answer.result.rowsRead);
  }

  async #call(session: Session, sql: string, format: string): Promise<CallAnswer> {
    const call = this.#context.connections.run(session.connection, sql, format);
    const answer = (await Promise.race([call, this.#halted])) ?? (await this.#cancel(session, call));
    if (answer === undefined) {
      this.#lost = call;
      this.#place.busyUntil = call.then(() => this.#place.pipe.end());
      return { ok: false, failure: ownFailure('STILL_RUNNING', 'unknown', 'it could not be cancelled') };
    }
    if (answer.ok && this.#wasSent) this.#elapsedMs += answer.result.elapsed * 1000;
    return answer;
  }

  #cancel(session: Session, call: Promise<CallAnswer>): Promise<CallAnswer | undefined> {
    const byText = `endsWith(query, ${literal(intoPipe(this.#place.pipe))}) OR startsWith(query, ${literal(markComment(session))})`;
    const which = `Settings['log_comment'] = ${literal(session.mark)} OR ${byText}`;
    return this.#context.connections.cancel(call, which, this.#context.cancelLimitMs);
  }

  #discardSession(): void {
    if (this.#place.session !== undefined) this.#context.connections.discard(this.#place.session.connection);
    this.#place.session = undefined;
  }

  // Why the attempt was stopped takes precedence over how the engine ended it.
  #failed(failure: Failure | undefined): EngineOutcome {
    const { why } = this.#stop;
    if (why === undefined && failure !== undefined) return { ok: false, failure };
    const now = !this.#wasSent ? 'it was not sent' : this.#lost ? 'it may still run' : 'it has ended';
    const stopped = stoppedFailure(this.#stop, this.#request.timeoutMs, now);
    const mayStillRun = this.#lost !== undefined;
    return { ok: false, failure: { ...stopped, neverStarted: !this.#wasSent, mayStillRun } };
  }
}

function intoPipe(pipe: ResultPipe): string {
  return `INTO OUTFILE ${literal(pipe.target)} APPEND FORMAT JSONEachRow`;
}

function markComment(session: Session): string {
  return `/* ${session.mark} */ `;
}

/**
 * Returns the rows if they are rows and as many as the engine counted. The count matters because the engine does not
 * report a failed write.
 */
async function proven(writer: ResultWriter, rowCount: number): Promise<Answer<{ body: ResultBody }>> {
  const result = await writer.finish();
  if ('reason' in result) {
    return { ok: false, failure: result.failure ?? notRows(result) };
  }
  if (result.rows === rowCount) return { ok: true, body: result };
  await result.dispose();
  const message = `the result is not whole: ${result.rows} of ${rowCount} rows arrived`;
  return { ok: false, failure: ownFailure('RESULT_CUT', 'unknown', message) };
}
