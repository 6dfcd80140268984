import { pasteableCommand } from '../../core/text/shell.js';
import { about, type Finding } from './finding.js';

/** What is known about one of several servers. */
export interface ServerFacts {
  readonly target: string;
  /** `undefined` if it does not answer. */
  readonly version: string | undefined;
  /** Why it would get no queries. */
  readonly away?: string | undefined;
  /** By how many seconds its replicas lag; `undefined` if it does not say. */
  readonly lagS?: number | undefined;
}

/** A table that one of several servers lacks. */
export interface LackingTable {
  readonly database: string;
  readonly name: string;
  /** The server that lacks it. */
  readonly lacking: string;
}

// A lag below this is that of every replica that works.
const LITTLE_LAG_S = 5;

/** Returns what is found about one of several servers. */
export function serverFinding({ target, version, away, lagS = 0 }: ServerFacts): Finding {
  const { ok, note } = about('server', 'engine');
  if (away !== undefined) {
    const look = pasteableCommand(['curl', '-sS', `${target}/ping`], true);
    return note(`${target} would get no queries: ${away}`, `start it, or leave out its --url; see ${look}`);
  }
  if (lagS <= LITTLE_LAG_S) return ok(`${target}: ClickHouse ${version}`);
  const says = `${target}: its replicas lag by ${lagS} s, and what it returns would be recorded all the same`;
  return note(says, '--max-replica-delay 5s, or max_replica_delay in qrun.toml');
}

const MOST_TABLES = 5;

/** Returns which servers lack tables that others have. */
export function unevenFindings(uneven: readonly LackingTable[]): Finding[] {
  const { note } = about('tables', 'engine');
  return [...new Set(uneven.map(({ lacking }) => lacking))].map(target => {
    const tables = uneven.filter(({ lacking }) => lacking === target);
    const names = tables.slice(0, MOST_TABLES).map(({ database, name }) => `${database}.${name}`);
    const more = tables.length > MOST_TABLES ? ` and ${tables.length - MOST_TABLES} more` : '';
    const says = `${target} lacks ${names.join(', ')}${more}: a run of queries that name them is refused`;
    return note(says, 'make them there too, or leave out its --url');
  });
}
