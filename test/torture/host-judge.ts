import { existsSync, readFileSync } from 'node:fs';
import { check, checkKept, sideFiles } from './checker.js';

/** A query of a sweep over hosts, as it is when the trial ends. */
export interface JudgedQuery {
  readonly kind: 'normal' | 'skipped' | 'error';
  /** Of its present text; each row of a result holds that of the text it is of, as `v`. */
  readonly version: number;
  readonly rowsOf: (version: number) => readonly string[];
}

/** What is judged: a unit's log here, and those of the hosts. */
export interface HostClaim {
  readonly unit: string;
  readonly log: string;
  readonly queries: ReadonlyMap<string, JudgedQuery>;
  readonly hostLogs: readonly string[];
  /** What was in each of these logs at some time: no byte of it may ever get lost. */
  readonly seen: readonly { readonly log: string; readonly bytes: Buffer }[];
}

interface Group {
  readonly query: string;
  readonly fingerprint: string;
  readonly outcome: string;
  /** Of the text that its rows are of; `undefined` without rows. */
  readonly version: number | undefined;
  readonly bytes: string;
}

/**
 * Judges a unit after everything has been collected, with a reader of its own. Holds when, in the log here,
 *
 * - every query has a result of its present text, the last one, and exactly one of each text;
 * - what fails by design stands as error, and never as a result;
 * - each group has the bytes that a host has recorded, and none is there twice;
 * - no byte that was in a log, here or on a host, has been lost.
 */
export function judgeUnit(claim: HostClaim): string[] {
  const { unit, log, queries, hostLogs, seen } = claim;
  const groups = groupsOf(log);
  const versions = new Map(
    groups.map(({ query, fingerprint, version }) => [`${query} ${fingerprint}`, version]),
  );
  const present = new Map<string, string>();
  const final = new Map<string, Group>();
  for (const group of groups) {
    const query = queries.get(group.query);
    if (query?.kind !== 'normal' || group.version === query.version)
      present.set(group.query, group.fingerprint);
    final.set(group.query, group);
  }
  const names = [...queries].filter(([, { kind }]) => kind !== 'error').map(([name]) => name);
  const { violations: found } = check({
    log,
    unit,
    acks: [],
    rows: (name, fingerprint) => queries.get(name)?.rowsOf(versions.get(`${name} ${fingerprint}`) ?? 0) ?? [],
    settled: names,
    fingerprint: name => present.get(name) ?? '',
  });
  const violations = [...found, ...doubles(groups)];
  for (const [name, { kind, version }] of queries) {
    const last = final.get(name);
    if (last === undefined) violations.push(`nothing is there of ${name}`);
    else if ((last.outcome === 'error') !== (kind === 'error'))
      violations.push(`${name} stands as ${last.outcome}, ${kind} was due`);
    else if (kind === 'normal' && last.version !== version)
      violations.push(
        `the last result of ${name} is of text ${last.version}, and ${version} is the present one`,
      );
  }
  const recorded = new Set(hostLogs.flatMap(path => groupsOf(path).map(({ bytes }) => bytes)));
  for (const { query, bytes } of groups)
    if (!recorded.has(bytes)) violations.push(`a group of ${query} is none that a host has recorded`);
  for (const { log: path, bytes } of seen)
    violations.push(...checkKept(bytes, contentOf(path), existsSync(path) ? sideFiles(path) : []));
  return violations.map(text => `${unit}: ${text}`);
}

// One result of each text; an error may be there as often as a host has met it.
function doubles(groups: readonly Group[]): string[] {
  const times = new Map<string, number>();
  for (const { query, fingerprint, outcome } of groups) {
    const key = `${query} of ${fingerprint}`;
    if (outcome !== 'error') times.set(key, (times.get(key) ?? 0) + 1);
  }
  return [...times].filter(([, n]) => n > 1).map(([key, n]) => `${n} results are there of ${key}`);
}

/** The content of a log; empty if there is none. */
export function contentOf(log: string): Buffer {
  return existsSync(log) ? readFileSync(log) : Buffer.alloc(0);
}

// The whole groups of a log; a torn end is left out, and `check` says what else is wrong.
function groupsOf(log: string): Group[] {
  const lines = contentOf(log).toString('utf8').split('\n').slice(0, -1);
  const groups: Group[] = [];
  for (let at = 0; at < lines.length; ) {
    const first = parsed(lines[at]);
    const end = at + Math.max(1, first?.parts ?? 1);
    const whole = lines.slice(at, end);
    const records = whole.map(parsed);
    const isWhole =
      first !== undefined &&
      whole.length === first.parts &&
      records.every(
        (record, n) =>
          record?.part === n + 1 &&
          record.query === first.query &&
          record.attempt === first.attempt &&
          record.run === first.run,
      );
    if (isWhole) {
      const { query, fingerprint, outcome, row } = first;
      groups.push({ query, fingerprint, outcome, version: row?.v, bytes: whole.join('\n') });
    }
    at = isWhole ? end : at + 1;
  }
  return groups;
}

interface Line {
  readonly query: string;
  readonly part: number;
  readonly parts: number;
  readonly outcome: string;
  readonly fingerprint: string;
  readonly attempt: number;
  readonly run: string;
  readonly row?: { readonly v?: number };
}

function parsed(line: string | undefined): Line | undefined {
  try {
    return JSON.parse(line ?? '') as Line;
  } catch {
    return undefined;
  }
}
