import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Ack } from './journal.js';

/** What a log must be when a trial is over. */
export interface Claim {
  readonly unit: string;
  readonly acks: readonly Ack[];
  /** The rows that a query must have, as texts, in a group with this fingerprint. */
  readonly rows: (query: string, fingerprint: string) => readonly string[];
  /** Queries that must be settled, each once. */
  readonly settled: readonly string[];
  /** The fingerprint under which a query is settled; any, where not given. */
  readonly fingerprint?: (query: string) => string;
  /** Groups of old shell writers that were acknowledged, as `<writer>/<number>`. */
  readonly shellAcks?: readonly string[];
  /** A writer without the lock tore groups apart: groups that are not whole may stand in the log, unacknowledged. */
  readonly splitGroups?: boolean;
}

/** What the checker found. */
export interface Finding {
  readonly violations: readonly string[];
  readonly groups: number;
  readonly lines: number;
}

/** A torn end that was saved aside. */
export interface SideFile {
  readonly path: string;
  /** Where in the log it stood. */
  readonly from: number;
  readonly bytes: Buffer;
}

/** The side files of a log. */
export function sideFiles(log: string): SideFile[] {
  const prefix = `${basename(log)}.torn-`;
  return readdirSync(dirname(log))
    .filter(name => name.startsWith(prefix))
    .map(name => {
      const path = join(dirname(log), name);
      return { path, from: Number(name.slice(prefix.length).split('-')[0]), bytes: readFileSync(path) };
    });
}

interface Line {
  readonly unit?: unknown;
  readonly query?: unknown;
  readonly part?: unknown;
  readonly parts?: unknown;
  readonly outcome?: unknown;
  readonly fingerprint?: unknown;
  readonly attempt?: unknown;
  readonly run?: unknown;
  readonly row?: unknown;
  readonly shell?: unknown;
  readonly number?: unknown;
}

/**
 * Judges the log of a trial, with a reader of its own: every line is parsed as JSON, and nothing of qrun's
 * scanner is used, so that a fault of the scanner cannot hide one of the log.
 *
 * Holds when each acknowledged group is there, whole, with the right rows, exactly once; each other group at
 * most once; each query is settled at most once, and those that must be are; no line is bad; no group is split.
 */
export function check(
  claim: Claim & { readonly log: string },
): Finding & { readonly sides: readonly SideFile[] } {
  const bytes = existsSync(claim.log) ? readFileSync(claim.log) : Buffer.alloc(0);
  return { ...checkBytes(bytes, claim), sides: existsSync(dirname(claim.log)) ? sideFiles(claim.log) : [] };
}

/** The same for the bytes of a log. */
export function checkBytes(bytes: Buffer, claim: Claim): Finding {
  return new Judge(claim).judge(bytes);
}

class Judge {
  readonly #claim: Claim;
  readonly #violations: string[] = [];
  // Key: query, run, attempt. Value: how often the whole group is there.
  readonly #groups = new Map<string, number>();
  readonly #settled = new Map<string, number>();
  readonly #shell = new Map<string, number>();
  #open:
    | {
        key: string;
        query: string;
        outcome: string;
        fingerprint: string;
        parts: number;
        seen: number;
        rows: string[];
      }
    | undefined;
  #openShell: { key: string; parts: number; seen: number } | undefined;
  #lines = 0;

  constructor(claim: Claim) {
    this.#claim = claim;
  }

  judge(bytes: Buffer): Finding {
    if (bytes.length > 0 && bytes[bytes.length - 1] !== 10) this.#bad(`the log has no newline at its end`);
    for (let from = 0; from < bytes.length; ) {
      const end = bytes.indexOf(10, from);
      const to = end === -1 ? bytes.length : end;
      this.#line(bytes.toString('utf8', from, to), from);
      from = to + 1;
    }
    this.#abandon('at the end');
    this.#acks();
    return {
      violations: this.#violations,
      groups: [...this.#groups.values()].reduce((a, b) => a + b, 0),
      lines: this.#lines,
    };
  }

  #bad(text: string): void {
    if (this.#violations.length < 20) this.#violations.push(text);
  }

  #line(text: string, offset: number): void {
    this.#lines += 1;
    let line: Line;
    try {
      line = JSON.parse(text) as Line;
    } catch {
      this.#bad(`bad line at byte ${offset}: ${JSON.stringify(text.slice(0, 120))}`);
      this.#abandon(`at byte ${offset}`);
      return;
    }
    if (line.shell !== undefined) this.#shellLine(line, offset);
    else this.#record(line, offset);
  }

  #record(line: Line, offset: number): void {
    this.#abandonShell(offset);
    const { unit, query, run, attempt, part, parts, outcome, fingerprint } = line;
    const valid =
      unit === this.#claim.unit &&
      typeof query === 'string' &&
      typeof run === 'string' &&
      typeof outcome === 'string' &&
      typeof fingerprint === 'string' &&
      Number.isSafeInteger(attempt) &&
      Number.isSafeInteger(part) &&
      Number.isSafeInteger(parts);
    if (!valid) {
      this.#bad(`a line that is no record at byte ${offset}`);
      return;
    }
    const key = keyOf(query, run, attempt as number);
    if (this.#open === undefined || this.#open.key !== key || part !== this.#open.seen + 1) {
      this.#abandon(`at byte ${offset}`);
      if (part !== 1) {
        if (this.#claim.splitGroups !== true)
          this.#bad(`part ${part} of ${key} at byte ${offset} follows nothing`);
        return;
      }
      this.#open = { key, query, outcome, fingerprint, parts: parts as number, seen: 0, rows: [] };
    }
    const open = this.#open;
    open.seen += 1;
    if (line.row !== undefined) open.rows.push(JSON.stringify(line.row));
    if (open.parts !== parts || open.outcome !== outcome) this.#bad(`${key} changes within the group`);
    if (open.seen === open.parts) this.#complete();
  }

  #complete(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    const { key, query, outcome, fingerprint, rows } = open;
    this.#groups.set(key, (this.#groups.get(key) ?? 0) + 1);
    const isPresent = (this.#claim.fingerprint?.(query) ?? fingerprint) === fingerprint;
    if (outcome !== 'error' && isPresent) this.#settled.set(query, (this.#settled.get(query) ?? 0) + 1);
    const wanted = outcome === 'error' ? [] : this.#claim.rows(query, fingerprint);
    if (rows.length !== wanted.length || rows.some((row, i) => row !== wanted[i])) {
      this.#bad(`${key} holds other rows than its result (${rows.length} of ${wanted.length})`);
    }
  }

  #abandon(where: string): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined || this.#claim.splitGroups === true) return;
    this.#bad(`${open.key} has ${open.seen} of ${open.parts} records ${where}`);
  }

  #shellLine({ shell, number, part, parts }: Line, offset: number): void {
    this.#abandon(`, cut by a shell writer at byte ${offset}`);
    const key = `${shell}/${number}`;
    const open = this.#openShell;
    if (open?.key !== key || part !== open.seen + 1) {
      this.#abandonShell(offset);
      if (part !== 1) this.#bad(`part ${part} of the shell group ${key} follows nothing`);
      this.#openShell = { key, parts: parts as number, seen: 1 };
    } else open.seen += 1;
    if (this.#openShell?.seen !== this.#openShell?.parts) return;
    this.#openShell = undefined;
    this.#shell.set(key, (this.#shell.get(key) ?? 0) + 1);
  }

  #abandonShell(offset: number): void {
    if (this.#openShell !== undefined)
      this.#bad(`the shell group ${this.#openShell.key} is split at byte ${offset}`);
    this.#openShell = undefined;
  }

  #acks(): void {
    const { acks, settled, shellAcks = [] } = this.#claim;
    for (const { query, recorded } of acks) {
      if (recorded === undefined) {
        if (this.#settled.get(query) !== 1) this.#bad(`${query} was said to be recorded, and is not`);
        continue;
      }
      const key = keyOf(query, recorded.run, recorded.attempt);
      const times = this.#groups.get(key) ?? 0;
      if (times !== 1) this.#bad(`acknowledged, and ${times} times there: ${key}`);
    }
    for (const [key, times] of this.#groups) if (times > 1) this.#bad(`${times} times there: ${key}`);
    for (const [query, times] of this.#settled)
      if (times > 1) this.#bad(`${query} is settled ${times} times`);
    for (const query of settled) if (!this.#settled.has(query)) this.#bad(`${query} is not settled`);
    for (const key of shellAcks) {
      const times = this.#shell.get(key) ?? 0;
      if (times !== 1) this.#bad(`acknowledged shell group ${times} times there: ${key}`);
    }
    for (const [key, times] of this.#shell)
      if (times > 1) this.#bad(`shell group ${times} times there: ${key}`);
  }
}

function keyOf(query: string, run: string, attempt: number): string {
  return `${query} (run ${run}, attempt ${attempt})`;
}

/**
 * Whether every byte that was seen in a log at some time is still in the log or in a side file, at the same
 * place; gives the violations.
 */
export function checkKept(seen: Buffer, log: Buffer, sides: readonly SideFile[]): string[] {
  if (seen.length <= log.length && log.subarray(0, seen.length).equals(seen)) return [];
  for (const side of sides) {
    if (side.from > seen.length || !log.subarray(0, side.from).equals(seen.subarray(0, side.from))) continue;
    const torn = seen.subarray(side.from);
    if (side.bytes.subarray(0, torn.length).equals(torn)) return [];
  }
  return [
    `${seen.length} bytes that were in the log are neither in it nor in one of ${sides.length} side files`,
  ];
}
