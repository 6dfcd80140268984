import { createHash } from 'node:crypto';
import { jsonObject } from '../text/json.js';
import { type FinalState, isSettled } from './plan.js';

/**
 * Bytes per line of the journal of queries in flight. A divisor of the page size: SIGKILL cuts a write(2) only at a
 * page boundary, so a line is whole or untouched.
 */
export const INFLIGHT_LINE_BYTES = 512;

// How every journal begins, whatever its version.
const MAGIC = '{"qrun_inflight":';
const VERSION = 1;
// Leaves 150 bytes for everything else in the line.
const LONGEST_NAME_BYTES = 360;
const NEWLINE = 10;
const SPACE = 32;

/** A query that was in flight when the process of a run died, and of which the log has had no result since. */
export interface Suspect {
  /** The query's {@link inflightName}. */
  readonly query: string;
  readonly fingerprint: string;
  /** How many processes have died while it was in flight. */
  readonly deaths: number;
  /** Whether the last of them died while the query ran alone, not for the first time, with nothing recorded since. */
  readonly proven: boolean;
  /** The run of the query's final state when this was noted, `''` if there was none: another run there is news. */
  readonly seen: string;
}

/** A query in flight. */
export interface Inflight {
  readonly query: string;
  readonly fingerprint: string;
  /** It ran with no other query at the same time. */
  readonly alone: boolean;
}

/** What a journal says about the run that wrote it. */
export interface InflightHeader {
  readonly run: string;
  /** Identifies this boot of the machine; `''` if the system does not report one. */
  readonly boot: string;
  /** Somebody had asked the run to stop. */
  readonly stopping: boolean;
}

/** The content of a journal. */
export interface InflightJournalText extends InflightHeader {
  readonly suspects: readonly Suspect[];
  readonly inflight: readonly Inflight[];
}

/** Returns a query's name as the journal holds it: the name itself, or its hash if it is too long for a line. */
export function inflightName(query: string): string {
  if (query.length <= LONGEST_NAME_BYTES / 6) return query;
  if (Buffer.byteLength(JSON.stringify(query)) <= LONGEST_NAME_BYTES) return query;
  return `sha256:${createHash('sha256').update(query).digest('hex')}`;
}

/** Returns the first line. */
export function headerLine({ run, boot, stopping }: InflightHeader): Buffer {
  return lineOf({ qrun_inflight: VERSION, run, boot, stopping });
}

/** Returns the line of a suspect. */
export function suspectLine({ query, fingerprint, deaths, proven, seen }: Suspect): Buffer {
  return lineOf({ suspect: query, fingerprint, deaths, proven, seen });
}

/** Returns a line with nothing in it. */
export function idleLine(): Buffer {
  const line = Buffer.alloc(INFLIGHT_LINE_BYTES, SPACE);
  line[INFLIGHT_LINE_BYTES - 1] = NEWLINE;
  return line;
}

function lineOf(value: object): Buffer {
  const line = idleLine();
  line.write(JSON.stringify(value));
  return line;
}

/** Overwrites a line with a query in flight. */
export function fillInflightLine(line: Buffer, { query, fingerprint, alone }: Inflight): void {
  const name = JSON.stringify(inflightName(query));
  const end = line.write(`{"query":${name},"fingerprint":"${fingerprint}","alone":${alone}}`);
  line.fill(SPACE, end, INFLIGHT_LINE_BYTES - 1);
}

/**
 * Reads a journal. Returns `undefined` if the bytes are not a journal of qrun, `'unknown'` if they are one that this
 * version cannot read. Lines that make no sense are left out: a journal is advice.
 */
export function parseInflight(bytes: Buffer): InflightJournalText | 'unknown' | undefined {
  const lines = bytes.toString('utf8').split('\n');
  const first = lines[0] ?? '';
  // Empty, or what a power loss leaves of a file that was just written.
  if (bytes.length === 0 || bytes[0] === 0) return 'unknown';
  if (!first.startsWith(MAGIC)) return undefined;
  const header = jsonObject(first);
  if (header?.qrun_inflight !== VERSION || typeof header.run !== 'string' || typeof header.boot !== 'string')
    return 'unknown';
  const suspects: Suspect[] = [];
  const inflight: Inflight[] = [];
  for (const text of lines.slice(1)) {
    const line = text.startsWith('{') ? jsonObject(text) : undefined;
    if (line === undefined || typeof line.fingerprint !== 'string') continue;
    const { suspect, query, fingerprint, deaths, proven, seen, alone } = line;
    if (typeof query === 'string') inflight.push({ query, fingerprint, alone: alone === true });
    else if (typeof suspect === 'string' && Number.isSafeInteger(deaths) && typeof seen === 'string') {
      suspects.push({ query: suspect, fingerprint, deaths: deaths as number, proven: proven === true, seen });
    }
  }
  const { run, boot } = header;
  return { run, boot, stopping: header.stopping === true, suspects, inflight };
}

// With this many deaths, the last one while it ran alone, a query is the cause of them.
const PROOF_DEATHS = 2;
// If the machine went down, or the process had been asked to stop, something else may have ended it.
const DOUBTFUL_PROOF_DEATHS = 3;

/**
 * Returns the suspects after the run that left this journal, according to what the log says now: only the log knows
 * what is recorded.
 *
 * A query that was in flight has died with the process once more, unless that run recorded it. It is proven to be the
 * cause only if that was not the first time and it ran alone: whoever kills a process from outside hits some query.
 * Settled queries, and those recorded with another text since, are not suspects.
 */
export function suspectsOf(
  { run, boot, stopping, suspects, inflight }: InflightJournalText,
  now: { readonly boot: string; readonly finalOf: (query: string) => FinalState | undefined },
): Suspect[] {
  const found = new Map<string, Suspect>();
  for (const suspect of suspects) {
    const final = now.finalOf(suspect.query);
    if (isSettled(final, suspect.fingerprint)) continue;
    const isNews = final !== undefined && final.run !== suspect.seen;
    if (isNews && final.fingerprint !== suspect.fingerprint) continue;
    found.set(suspect.query, {
      ...suspect,
      proven: suspect.proven && !isNews,
      seen: final?.run ?? '',
    });
  }
  const isDoubtful = stopping || boot !== now.boot;
  for (const { query, fingerprint, alone } of inflight) {
    const final = now.finalOf(query);
    if (isSettled(final, fingerprint)) continue;
    if (final?.run === run && final.fingerprint === fingerprint) continue;
    const before = found.get(query);
    const known = before?.fingerprint === fingerprint ? before : undefined;
    const deaths = (known?.deaths ?? 0) + 1;
    const isProof = alone && deaths >= (isDoubtful ? DOUBTFUL_PROOF_DEATHS : PROOF_DEATHS);
    const proven = isProof || known?.proven === true;
    found.set(query, { query, fingerprint, deaths, proven, seen: final?.run ?? '' });
  }
  return [...found.values()];
}
