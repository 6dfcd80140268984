import { randomUUID } from 'node:crypto';
import type { Settings } from '../../../core/model.js';
import { literal } from '../../../core/sql/set-statement.js';
import type { HttpAnswer } from './http/call.js';

/** The column `v` of an opening request's answer, or why there is none. */
export type ProbeAnswer =
  | { readonly ok: true; readonly values: readonly string[] }
  | Extract<HttpAnswer, { ok: false }>;

type UrlParameters = Readonly<Record<string, string>>;

/** Asks the server over the same route that queries take. */
export type Ask = (sql: string, query: UrlParameters, queryId?: string) => Promise<ProbeAnswer>;

/** The names of the settings that do not reach the server, and of those for which it could not be verified. */
export interface OnTheWay {
  readonly lost: readonly string[];
  readonly unproven: readonly string[];
}

/**
 * Resolves with the names of those URL parameters, apart from settings, that do not reach the server. A proxy such as
 * chproxy drops or replaces parameters; the queries would run without them and appear to succeed. Each is proven by its
 * effect. Makes four or five small requests, most at the same time. None depends on what the server knows or allows.
 */
export async function lostParameters(ask: Ask, database: string | undefined): Promise<string[]> {
  const all = [lostWait(ask), lostSession(ask), lostQueryId(ask), lostDatabase(ask, database)];
  return (await Promise.all(all)).flat();
}

/**
 * Resolves with `true` if two requests prove that the server accepts all these settings at once and receives each of
 * them. `false` proves nothing. `url` holds what else is to be sent with them.
 */
export async function allInForce(ask: Ask, settings: Settings, url: UrlParameters = {}): Promise<boolean> {
  const names = Object.keys(settings);
  if (names.length === 0) return Object.keys(url).length === 0;
  const [byUrl, byClause] = await Promise.all([
    valuesOf(ask, { ...settings, ...url }, {}, names),
    valuesOf(ask, settings, settings, names),
  ]);
  return names.every(name => {
    const value = byUrl?.get(name)?.value;
    return value !== undefined && value === byClause?.get(name)?.value;
  });
}

/**
 * Resolves with the settings that are lost on the way, among those that the server knows and the user may set.
 *
 * A setting in the URL must have the same value on the server as the same setting in the statement itself. So the
 * server normalises `1`, `true`, `10G` and `0.50`, and a value that is in force anyway does not count as lost.
 * `unproven` are settings that neither `system.settings` nor `getSetting` shows, because the user may not ask, or
 * because the setting has no value (`profile`).
 */
export async function lostSettings(ask: Ask, settings: Settings): Promise<OnTheWay> {
  if (await allInForce(ask, settings)) return { lost: [], unproven: [] };
  // One is lost, or affects even such a query (max_rows_to_read, limit, readonly), or is not allowed in a statement.
  const names = Object.keys(settings);
  const verdicts = await Promise.all(names.map(name => verdictOf(ask, name, settings[name] ?? '')));
  const those = (verdict: Verdict) => names.filter((_, index) => verdicts[index] === verdict);
  return { lost: those('lost'), unproven: those('unproven') };
}

type Verdict = 'lost' | 'in force' | 'unproven';

async function verdictOf(ask: Ask, name: string, value: string): Promise<Verdict> {
  const [bare, byUrl, byClause] = await Promise.all([
    valuesOf(ask, {}, {}, [name]),
    valuesOf(ask, { [name]: value }, {}, [name]),
    valuesOf(ask, {}, { [name]: value }, [name]),
  ]);
  const before = bare?.get(name);
  const after = byUrl?.get(name);
  if (before === undefined) return 'unproven';
  // The server answers without it, but not with it: it has arrived.
  if (after === undefined) return 'in force';
  const wanted = byClause?.get(name)?.value;
  if (wanted !== undefined) return wanted === after.value ? 'in force' : 'lost';
  const isSeen = after.value !== before.value || after.isChanged || after.value === value;
  return isSeen ? 'in force' : 'lost';
}

interface InForce {
  readonly value: string;
  /** Somebody has set it: it is not the server's default. */
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
  let answer = await ask(table + settingsClause(clause), url);
  if (!answer.ok && answer.failure.code === ACCESS_DENIED) {
    const each = names.map(
      name => `concat(${literal(name)}, '\\t1\\t', toString(getSetting(${literal(name)})))`,
    );
    answer = await ask(`SELECT arrayJoin([${each.join(', ')}]) AS v${settingsClause(clause)}`, url);
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
  const current = await ask('SELECT currentDatabase() AS v', { database });
  return current.ok && current.values.length === 1 && current.values[0] !== database ? ['database'] : [];
}

// A query cannot be cancelled without its id.
async function lostQueryId(ask: Ask): Promise<string[]> {
  const id = `qrun-open-${randomUUID()}`;
  const seen = await ask(
    `SELECT query_id AS v FROM system.processes WHERE query_id = ${literal(id)}`,
    {},
    id,
  );
  if (seen.ok) return seen.values[0] === id ? [] : ['query_id'];
  // The user may not read the list. The function exists since 21.x.
  const told = await ask('SELECT queryID() AS v', {}, id);
  return told.ok && told.values[0] !== id ? ['query_id'] : [];
}

// A session that does not exist must not be found.
async function lostSession(ask: Ask): Promise<string[]> {
  const session = { session_id: `qrun-open-${randomUUID()}`, session_timeout: '1' };
  const absent = await ask('SELECT 1 AS v', { ...session, session_check: '1' });
  if (!absent.ok) return [];
  // What the session remembers shows which of the two was lost.
  await ask('SET max_block_size = 12345', session);
  const kept = await valuesOf(ask, session, {}, ['max_block_size']);
  return [kept?.get('max_block_size')?.value === '12345' ? 'session_check' : 'session_id'];
}

// 1.2 MB and then an exception: 18.16 sends what exceeds the buffer and 1 MiB unless it waits for the end. In RowBinary
// the server copies the data, in a tenth of the time that escaping would take.
const LATE_EXCEPTION =
  "SELECT toFixedString('', 300000) AS v, throwIf(number = 4) AS t FROM (SELECT number FROM system.numbers LIMIT 5) FORMAT RowBinary";
const THROWN = 395;

async function lostWait(ask: Ask): Promise<string[]> {
  const answer = await ask(LATE_EXCEPTION, { max_block_size: '1', buffer_size: '65536' });
  if (answer.ok || answer.status !== 200) return [];
  const { code, name } = answer.failure;
  return code === THROWN || name === 'ANSWER_TOO_LARGE' ? ['wait_end_of_query'] : [];
}
