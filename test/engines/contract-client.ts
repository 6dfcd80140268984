import type { Failure } from '../../src/core/engines/failure.js';
import { parseQuery } from '../../src/core/sql/parse.js';
import type { Engine, EngineRequest, EngineResult } from '../../src/io/engines/engine.js';

/** A query without an end, that is quick to notice that it is cancelled. */
export const ENDLESS = 'select sum(sipHash64(number)) as s from system.numbers';

let lastId = 0;

/** Runs SQL on an engine that is opened and closed in the course of the tests. */
export class ContractClient {
  #engine: Engine | undefined;

  get engine(): Engine {
    if (this.#engine === undefined) throw new Error('no engine is open');
    return this.#engine;
  }

  set engine(engine: Engine) {
    this.#engine = engine;
  }

  readonly run = (sql: string, overrides: Partial<EngineRequest> = {}): Promise<EngineResult> => {
    lastId += 1;
    return this.engine.run({
      query: parseQuery(sql),
      queryId: `contract-${process.pid}-${lastId}`,
      parameters: {},
      settings: {},
      timeoutMs: 20_000,
      signal: new AbortController().signal,
      ...overrides,
    });
  };

  /** The bytes of the result; rejects when the query fails. */
  readonly rows = async (sql: string, overrides?: Partial<EngineRequest>): Promise<string> =>
    await bytesOf(await this.run(sql, overrides));

  /** The failure of the query; rejects when it succeeds. */
  readonly failure = async (sql: string, overrides?: Partial<EngineRequest>): Promise<Failure> =>
    await failureOf(await this.run(sql, overrides));

  /** The bytes of the result of a statement that is run on each server of the engine, one after the other. */
  readonly onEach = async (sql: string): Promise<readonly string[]> => {
    const results: string[] = [];
    for (const server of this.engine.members?.() ?? [this.engine]) {
      lastId += 1;
      const request = { query: parseQuery(sql), queryId: `contract-${process.pid}-${lastId}` };
      const rest = { parameters: {}, settings: {}, timeoutMs: 20_000, signal: new AbortController().signal };
      results.push(await bytesOf(await server.run({ ...request, ...rest })));
    }
    return results;
  };

  /** How many queries that hold `mark` the engine is running. */
  readonly running = async (mark: string): Promise<number> => {
    const sql = `select toUInt32(count()) as n from system.processes
      where position(query, '${mark}') > 0 and position(query, 'system.processes') = 0`;
    const counts = await this.onEach(sql);
    return counts.reduce((sum, count) => sum + (JSON.parse(count) as { n: number }).n, 0);
  };
}

/** The bytes of a result, which is disposed; rejects for a failure. */
export async function bytesOf(result: EngineResult): Promise<string> {
  if (!result.ok) throw new Error(`the query failed: ${result.failure.name}: ${result.failure.message}`);
  const chunks: Buffer[] = [];
  for await (const chunk of result.body.chunks()) chunks.push(chunk);
  await result.body.dispose();
  return Buffer.concat(chunks).toString('utf8');
}

/** The failure; rejects for a result. */
export async function failureOf(result: EngineResult): Promise<Failure> {
  if (result.ok) throw new Error(`the query succeeded: ${(await bytesOf(result)).slice(0, 200)}`);
  return result.failure;
}
