import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import type { Context, Row } from './tally.js';
import type { UnitTrialOptions } from './unit-trial.js';

/** Makes rows wide. */
export const PAD = 'abcdefghijklmnopqrstuvwxyz0123456789'.repeat(3);

/** A query for a real server, and its rows. */
export interface ServerQuery {
  readonly sql: string;
  readonly rows: readonly string[];
}

/** A query that is there for a while without work: it sleeps in each block. */
export function slowQuery(name: string, rows: number, seconds: number): ServerQuery {
  return {
    sql:
      `SELECT '${name}' AS q, number AS i, '${PAD}' AS pad FROM ` +
      `(SELECT number FROM system.numbers LIMIT ${rows}) WHERE sleep(${seconds}) = 0`,
    rows: Array.from({ length: rows }, (_, i) => JSON.stringify({ q: name, i, pad: PAD })),
  };
}

/** The queries as files and expected rows. */
export function unitOf(queries: ReadonlyMap<string, ServerQuery>): Pick<UnitTrialOptions, 'sql' | 'rows'> {
  return {
    sql: Object.fromEntries([...queries].map(([name, { sql }]) => [name, sql])),
    rows: name => queries.get(name)?.rows ?? [],
  };
}

/** So many of them, named s0000 and on. */
export function slowQueries(count: number, rows: number, seconds: number): Map<string, ServerQuery> {
  const names = Array.from({ length: count }, (_, n) => `s${String(n).padStart(4, '0')}`);
  return new Map(names.map(name => [name, slowQuery(name, rows, seconds)]));
}

/** Runs `work` with a server that is its own, or leaves the line out where there is none. */
export async function withServer(
  context: Context,
  fault: string,
  options: { maxQueries?: number },
  work: (row: Row, server: ClickHouseServer) => Promise<void>,
): Promise<void> {
  const row = context.row(fault);
  if (!clickHouseServerAvailable()) row.leaveOut('needs clickhouse-server');
  else {
    const server = await startClickHouseServer(options);
    try {
      if (server.external) row.leaveOut('QRUN_TEST_URL names a server that is not ours to break');
      else await work(row, server);
    } finally {
      await server.stop();
    }
  }
  row.end();
}

/** What the server answers, as text. */
export async function ask(server: ClickHouseServer, sql: string): Promise<string> {
  const answer = await fetch(server.url, { method: 'POST', body: sql });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text.trim();
}
