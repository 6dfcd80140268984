import { type Failure, ownFailure } from '../../../core/engines/failure.js';
import type { Engine, Server, UnevenTable } from '../engine.js';
import { type Answer, askServer } from './ask.js';

// What servers that share the queries of a run must have in common, and how each is asked for it.

/** What decides about a server whether queries mean the same there. */
export interface Traits {
  readonly version: string;
  readonly user: string | undefined;
  /** The database that queries run in. */
  readonly database: string;
  /** The time zone of dates without one. */
  readonly timeZone: string;
  readonly supportsParameters: boolean;
  /** The names of all its tables as one number; `undefined` if the user may not see them. */
  readonly tables: string | undefined;
  /** `max_concurrent_queries`; `undefined` if it does not say, or has no limit. */
  readonly maxQueries: number | undefined;
}

const WHO = 'SELECT version() AS version, currentDatabase() AS database, timezone() AS zone';
// Names that begin with a dot are those of what materialized views keep, and differ on every server.
const TABLES = `FROM system.tables WHERE database NOT IN ('system', 'information_schema', 'INFORMATION_SCHEMA',
  '_temporary_and_external_tables') AND substring(name, 1, 1) != '.'`;
const MAX_QUERIES =
  "SELECT toString(value) AS v FROM system.server_settings WHERE name = 'max_concurrent_queries'";
const DELAY = 'SELECT toString(max(absolute_delay)) AS v FROM system.replicas';

/** Asks a server for its traits; returns the failure if it does not even say who it is. */
export async function traitsOf(server: Server, signal: AbortSignal): Promise<Traits | Failure> {
  // Before the first question, which would be an answer of another database if it was sent somewhere else.
  const who = await askServer(server, WHO, ['version', 'database', 'zone'], signal);
  if (!who.ok) return who.failure;
  const hash = `SELECT concat(toString(count()), ' ', toString(sum(cityHash64(database, name)))) AS v ${TABLES}`;
  const [tables, limit] = [
    await askServer(server, hash, ['v'], signal),
    await askServer(server, MAX_QUERIES, ['v'], signal),
  ];
  const { version = '', database = '', zone = '' } = who.rows[0] ?? {};
  const { user, supportsParameters, parametersLost } = server.info;
  const maxQueries = Number(firstOf(limit) ?? 0);
  return {
    version,
    user,
    database,
    timeZone: zone,
    supportsParameters: supportsParameters && parametersLost !== true,
    tables: firstOf(tables),
    maxQueries: maxQueries > 0 ? maxQueries : undefined,
  };
}

function firstOf(answer: Answer<'v'>): string | undefined {
  return answer.ok ? answer.rows[0]?.v : undefined;
}

/** Returns what makes queries mean something else on one server than on another; `undefined` if nothing does. */
export function difference(one: Traits, other: Traits): string | undefined {
  const pairs: [string, string | undefined, string | undefined][] = [
    ['user', one.user, other.user],
    ['database', one.database, other.database],
    ['time zone', one.timeZone, other.timeZone],
  ];
  const found = pairs.find(([, a, b]) => a !== b);
  return found === undefined ? undefined : `its ${found[0]} is "${found[1]}", not "${found[2]}"`;
}

/**
 * Returns why a server gets no queries because of its replicas: one of its tables lags by more than `limitMs`, or it
 * does not say. `undefined` if it may be used.
 */
export async function delayOf(
  server: Server,
  limitMs: number,
  signal: AbortSignal,
): Promise<Failure | undefined> {
  const answer = await askServer(server, DELAY, ['v'], signal);
  if (!answer.ok) {
    const message = `it does not say how far its replicas lag: ${answer.failure.message}`;
    return { ...answer.failure, message };
  }
  const seconds = Number(answer.rows[0]?.v);
  if (seconds * 1000 <= limitMs) return undefined;
  const message = `its replicas lag by ${seconds} s, more than --max-replica-delay ${limitMs / 1000}s`;
  return {
    ...ownFailure(REPLICA_DELAY, 'transient', message),
    neverStarted: true,
    serverGone: true,
  };
}

/** The name of the failure that says that the replicas of a server lag. */
export const REPLICA_DELAY = 'REPLICA_DELAY';

// More names help nobody.
const MOST_TABLES = 1_000;

/**
 * Returns by how many seconds the replicas of a server lag, those that lag most; `undefined` if it does not say, as to a
 * user who may not ask.
 */
export async function replicaLag(server: Engine, signal: AbortSignal): Promise<number | undefined> {
  const answer = await askServer(server, DELAY, ['v'], signal);
  return answer.ok ? Number(answer.rows[0]?.v) : undefined;
}

/** Returns the tables that some of the servers have and others lack, as far as they say; see `Engine.uneven`. */
export async function unevenTables(
  servers: readonly { readonly target: string; readonly server: Server; readonly traits: Traits }[],
  signal: AbortSignal,
): Promise<UnevenTable[]> {
  const lists = await Promise.all(
    servers.map(async one => ({
      ...one,
      answer: await askServer(one.server, `SELECT database, name ${TABLES}`, ['database', 'name'], signal),
    })),
  );
  const known = lists.flatMap(({ target, traits, answer }) =>
    answer.ok
      ? [{ target, traits, names: new Map(answer.rows.map(row => [`${row.database}.${row.name}`, row])) }]
      : [],
  );
  const all = new Map(known.flatMap(({ names }) => [...names]));
  return known
    .flatMap(({ target, traits, names }) =>
      [...all]
        .filter(([name]) => !names.has(name))
        .map(([, { database, name }]) => ({
          database,
          name,
          isCurrent: database === traits.database,
          lacking: target,
        })),
    )
    .slice(0, MOST_TABLES);
}
