import { randomUUID } from 'node:crypto';
import type { Failure } from '../core/failure.js';
import type { Settings } from '../core/model.js';
import { literal } from '../core/sql/set-statement.js';
import type { ServerIdentity } from './clickhouse-identity.js';

/** The column `v` of a first request, or why there is none. */
export type ProbeAnswer =
  | { readonly ok: true; readonly values: readonly string[] }
  | { readonly ok: false; readonly failure: Failure; readonly status?: number | undefined };

type UrlParameters = Readonly<Record<string, string>>;

/** How the server is asked, over the same way that queries take. */
export interface Ask {
  rows(sql: string, query: UrlParameters, queryId?: string): Promise<ProbeAnswer>;
  /** As `rows`, over a connection of its own. */
  fresh(sql: string, query: UrlParameters): Promise<ProbeAnswer>;
}

/** What is asked for with each query. */
export interface AskedFor {
  readonly settings: Settings;
  readonly database: string | undefined;
}

/** What of it does not reach the server, by name, and what could not be proven. */
export interface OnTheWay {
  readonly lost: readonly string[];
  readonly unproven: readonly string[];
}

/**
 * Resolves with the names of what qrun asks for in the URL and the server does not get: a proxy such as chproxy drops
 * or replaces parameters, and the queries would run without them and look well.
 *
 * Each is proven by what it does, so that a value which is in force anyway is no loss. `unproven` are settings that
 * neither `system.settings` nor `getSetting` shows: of a user who may not ask, or of a kind that has no value
 * (`profile`). A dozen small requests, most at the same time.
 */
export async function lostOnTheWay(ask: Ask, asked: AskedFor): Promise<OnTheWay> {
  const unproven: string[] = [];
  const all = await Promise.all([
    lostSettings(ask, asked.settings, unproven),
    lostDatabase(ask, asked.database),
    lostQueryId(ask),
    lostSession(ask),
    lostWait(ask),
  ]);
  return { lost: all.flat(), unproven };
}

// What the server gives for each setting when it stands in the statement itself is what the URL must give as well; so
// the server itself brings `1`, `true`, `10G` and `0.50` into one form.
async function lostSettings(ask: Ask, settings: Settings, unproven: string[]): Promise<string[]> {
  const names = Object.keys(settings);
  if (names.length === 0) return [];
  const [byUrl, byClause] = await Promise.all([
    valuesOf(ask, settings, {}, names),
    valuesOf(ask, settings, settings, names),
  ]);
  if (byUrl !== undefined && byClause !== undefined && names.every(name => byUrl.has(name))) {
    return names.filter(name => byUrl.get(name)?.value !== byClause.get(name)?.value);
  }
  // One of them changes even such a query (max_rows_to_read, limit, readonly), or cannot stand in a statement.
  const verdicts = await Promise.all(names.map(name => verdictOf(ask, name, settings[name] ?? '')));
  unproven.push(...names.filter((_, index) => verdicts[index] === 'unproven'));
  return names.filter((_, index) => verdicts[index] === 'lost');
}

async function verdictOf(ask: Ask, name: string, value: string): Promise<'lost' | 'in force' | 'unproven'> {
  const [bare, byUrl, byClause] = await Promise.all([
    valuesOf(ask, {}, {}, [name]),
    valuesOf(ask, { [name]: value }, {}, [name]),
    valuesOf(ask, {}, { [name]: value }, [name]),
  ]);
  const before = bare?.get(name);
  const after = byUrl?.get(name);
  if (before === undefined) return 'unproven';
  // Without it the server answers, with it not: it is there.
  if (after === undefined) return 'in force';
  const wanted = byClause?.get(name)?.value;
  if (wanted !== undefined) return wanted === after.value ? 'in force' : 'lost';
  const isSeen = after.value !== before.value || after.isChanged || after.value === value;
  return isSeen ? 'in force' : 'lost';
}

interface InForce {
  readonly value: string;
  /** It was set by somebody, and is not the server's default. */
  readonly isChanged: boolean;
}

const ACCESS_DENIED = 497;

async function valuesOf(
  ask: Ask,
  url: Settings,
  clause: Settings,
  names: readonly string[],
): Promise<ReadonlyMap<string, InForce> | undefined> {
  const list = names.map(literal).join(', ');
  const table = `SELECT concat(name, '\\t', toString(changed), '\\t', value) AS v FROM system.settings WHERE name IN (${list})`;
  let answer = await ask.rows(table + settingsClause(clause), url);
  if (!answer.ok && answer.failure.code === ACCESS_DENIED) {
    const each = names.map(
      name => `concat(${literal(name)}, '\\t1\\t', toString(getSetting(${literal(name)})))`,
    );
    answer = await ask.rows(`SELECT arrayJoin([${each.join(', ')}]) AS v${settingsClause(clause)}`, url);
  }
  if (!answer.ok) return undefined;
  return new Map(
    answer.values.map(line => {
      const [name = '', changed = '', ...value] = line.split('\t');
      return [name, { value: value.join('\t'), isChanged: changed !== '0' }];
    }),
  );
}

function settingsClause(settings: Settings): string {
  const all = Object.entries(settings);
  if (all.length === 0) return '';
  const written = (value: string) => (/^-?\d+(\.\d+)?$/.test(value) ? value : literal(value));
  return ` SETTINGS ${all.map(([name, value]) => `${name} = ${written(value)}`).join(', ')}`;
}

async function lostDatabase(ask: Ask, database: string | undefined): Promise<string[]> {
  if (database === undefined) return [];
  const current = await ask.rows('SELECT currentDatabase() AS v', { database });
  return current.ok && current.values.length === 1 && current.values[0] !== database ? ['database'] : [];
}

// Without its id a query cannot be cancelled.
async function lostQueryId(ask: Ask): Promise<string[]> {
  const id = `qrun-open-${randomUUID()}`;
  const seen = await ask.rows(
    `SELECT query_id AS v FROM system.processes WHERE query_id = ${literal(id)}`,
    {},
    id,
  );
  if (seen.ok) return seen.values[0] === id ? [] : ['query_id'];
  // The user may not read the list; the function came with 21.x.
  const told = await ask.rows('SELECT queryID() AS v', {}, id);
  return told.ok && told.values[0] !== id ? ['query_id'] : [];
}

// A session that does not exist must not be found.
async function lostSession(ask: Ask): Promise<string[]> {
  const session = { session_id: `qrun-open-${randomUUID()}`, session_timeout: '1' };
  const absent = await ask.rows('SELECT 1 AS v', { ...session, session_check: '1' });
  if (!absent.ok) return [];
  // Which of the two got lost shows in what the session remembers.
  await ask.rows('SET max_block_size = 12345', session);
  const kept = await valuesOf(ask, session, {}, ['max_block_size']);
  return [kept?.get('max_block_size')?.value === '12345' ? 'session_check' : 'session_id'];
}

// 1.5 MB of rows and then an exception: 18.16 sends what is beyond the buffer and 1 MiB unless it waits for the end.
const LATE_EXCEPTION =
  "SELECT toFixedString('', 5000) AS v, throwIf(number = 50) AS t FROM (SELECT number FROM system.numbers LIMIT 51)";
const THROWN = 395;

async function lostWait(ask: Ask): Promise<string[]> {
  const answer = await ask.rows(LATE_EXCEPTION, { max_block_size: '8', buffer_size: '65536' });
  if (answer.ok || answer.status !== 200) return [];
  const { code, name } = answer.failure;
  return code === THROWN || name === 'ANSWER_TOO_LARGE' ? ['wait_end_of_query'] : [];
}

// So many connections of their own are opened to see whether they end at one server.
const LOOKS = 4;

/**
 * Resolves with what is to be said of a balancer in front of several servers; asks over new connections, so that the
 * identity sees the names of those that answer.
 */
export async function severalServers(ask: Ask, identity: ServerIdentity): Promise<string[]> {
  await Promise.all(Array.from({ length: LOOKS }, () => ask.fresh('SELECT 1 AS v', {})));
  if (!identity.isSeveral) return [];
  return [
    `several servers answer at this URL (${identity.servers.join(', ')}): each query goes to any of them, so all must hold the same data`,
  ];
}
