import fc from 'fast-check';
import {
  encodeRowless,
  type GroupHead,
  RecordEncoder,
  type RowlessOutcome,
} from '../../../src/core/log/record.js';
import { FinalStates } from '../../../src/core/log/scan/index.js';
import { LogScanner, type LogTail, type LogVisitor } from '../../../src/core/log/scan/log-scan.js';
import type { RecordHead } from '../../../src/core/log/scan/record-head.js';
import type { Outcome } from '../../../src/core/model.js';

/** The unit of all samples. */
export const UNIT = '2down/BTCUSDT_750';

/** A head whose fields do not matter to the test, but for those given. */
export function sampleHead(fields: Partial<GroupHead> = {}): GroupHead {
  return {
    unit: UNIT,
    query: 'q',
    fingerprint: '9f86d081884c7d65',
    attempt: 1,
    run: 'run1',
    rerun: false,
    queryId: 'qrun-run1-1-1',
    startedAtMs: Date.parse('2026-01-31T12:00:00.123Z'),
    durationMs: 12.4,
    parameters: {},
    ...fields,
  };
}

/** The bytes of a normal group with these rows (texts of JSON objects). */
export function normalGroup(head: Partial<GroupHead>, rows: readonly string[]): Buffer {
  const encoder = new RecordEncoder(sampleHead(head), rows.length, { read_rows: 7 });
  const pieces = encoder.encode(Buffer.from(rows.map(row => `${row}\n`).join('')));
  encoder.finish();
  return Buffer.concat(pieces);
}

/** The bytes of a skipped query's record. */
export function skippedGroup(head: Partial<GroupHead> = {}): Buffer {
  return encodeRowless(sampleHead(head), { outcome: 'skipped', stats: undefined });
}

/** The bytes of a failed query's record. */
export function errorGroup(head: Partial<GroupHead> = {}): Buffer {
  const error = {
    code: 241,
    name: 'MEMORY_LIMIT_EXCEEDED',
    kind: 'transient',
    message: 'too "much"',
  } as const;
  return encodeRowless(sampleHead(head), { outcome: 'error', error });
}

/** The lines of some bytes, each with its newline; the last one may have none. */
export function linesOf(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const end = bytes.indexOf(10, from);
    const next = end === -1 ? bytes.length : end + 1;
    lines.push(bytes.subarray(from, next));
    from = next;
  }
  return lines;
}

/** What a scan told, in the order in which it was told. */
export type Finding =
  | { readonly kind: 'group'; readonly head: RecordHead; readonly start: number; readonly end: number }
  | { readonly kind: 'partial'; readonly head: RecordHead; readonly seen: number; readonly start: number }
  | { readonly kind: 'foreign'; readonly start: number; readonly unit: string | undefined }
  | { readonly kind: 'newer'; readonly start: number; readonly schema: number }
  | { readonly kind: 'unreadable'; readonly start: number; readonly bytes: number };

/** The findings and the tail of a log. */
export interface Scanned {
  readonly findings: readonly Finding[];
  readonly goodEnd: number;
  readonly tornBytes: number;
}

/** What takes the place of a collector in a test, and calls `visitor` with what a scan finds. */
export function watching(visitor: LogVisitor): FinalStates {
  return Object.assign(new FinalStates(), visitor);
}

/** Reads a log with the real scanner, in the given chunks. */
export function scanChunks(chunks: readonly Buffer[], unit = UNIT): Scanned & { readonly tail: LogTail } {
  const findings: Finding[] = [];
  const scanner = new LogScanner(unit, {
    group: (head, start, end) => findings.push({ kind: 'group', head: headOnly(head), start, end }),
    partial: (head, seen, start) => findings.push({ kind: 'partial', head: headOnly(head), seen, start }),
    foreign: (start, other) => findings.push({ kind: 'foreign', start, unit: other }),
    newer: (start, schema) => findings.push({ kind: 'newer', start, schema }),
    unreadable: (start, bytes) => findings.push({ kind: 'unreadable', start, bytes }),
  });
  for (const chunk of chunks) {
    // The scanner must keep nothing of a chunk that its caller uses again.
    const reused = Buffer.from(chunk);
    scanner.push(reused);
    reused.fill(0x7e);
  }
  const tail = scanner.tail();
  return { findings, goodEnd: tail.goodEnd, tornBytes: tail.tornBytes, tail };
}

function headOnly(head: RecordHead): RecordHead {
  const { query, part, parts, outcome, fingerprint, attempt, run, rerun } = head;
  return { query, part, parts, outcome, fingerprint, attempt, run, rerun };
}

/** A buffer in pieces that end at the given offsets. */
export function cutAt(bytes: Buffer, offsets: readonly number[]): Buffer[] {
  const sorted = [...new Set(offsets)].filter(at => at > 0 && at < bytes.length).sort((a, b) => a - b);
  return [...sorted, bytes.length].map((end, i) => bytes.subarray(sorted[i - 1] ?? 0, end));
}

type Token = { readonly start: number; readonly end: number } & (
  | { readonly kind: 'record'; readonly head: RecordHead }
  | { readonly kind: 'foreign'; readonly unit: string | undefined }
  | { readonly kind: 'newer'; readonly schema: number }
  | { readonly kind: 'nul' }
  | { readonly kind: 'bad' }
);

/**
 * What a log holds, found the slow way: every line is parsed as JSON, and groups are put together from the list
 * of all lines. The scanner must find the same.
 */
export function naiveScan(log: Buffer, unit = UNIT): Scanned {
  const tokens: Token[] = [];
  let start = 0;
  for (let end = log.indexOf(10); end !== -1; end = log.indexOf(10, start)) {
    tokens.push(naiveToken(log, start, end + 1, unit));
    start = end + 1;
  }
  // NUL lines are damage only where a line stands behind them.
  while (tokens.at(-1)?.kind === 'nul') tokens.pop();
  const findings: Finding[] = [];
  let goodEnd = 0;
  for (let i = 0; i < tokens.length; ) {
    const token = tokens[i] as Token;
    if (token.kind !== 'record') {
      findings.push(naiveFinding(token));
      goodEnd = token.end;
      i += 1;
      continue;
    }
    const { head } = token;
    let lines = 1;
    if (head.part === 1)
      while (lines < head.parts && naiveContinues(head, lines, tokens[i + lines])) lines += 1;
    const whole = head.part === 1 && lines === head.parts;
    if (head.part === 1 && !whole && i + lines === tokens.length) break;
    const end = (tokens[i + lines - 1] as Token).end;
    if (whole) findings.push({ kind: 'group', head, start: token.start, end });
    else findings.push({ kind: 'partial', head, seen: lines, start: token.start });
    goodEnd = end;
    i += lines;
  }
  return { findings, goodEnd, tornBytes: log.length - goodEnd };
}

function naiveFinding(token: Exclude<Token, { kind: 'record' }>): Finding {
  const { start } = token;
  if (token.kind === 'foreign') return { kind: 'foreign', start, unit: token.unit };
  if (token.kind === 'newer') return { kind: 'newer', start, schema: token.schema };
  return { kind: 'unreadable', start, bytes: token.end - start };
}

function naiveContinues(open: RecordHead, seen: number, token: Token | undefined): boolean {
  if (token?.kind !== 'record') return false;
  return JSON.stringify({ ...open, part: seen + 1 }) === JSON.stringify(token.head);
}

function naiveToken(log: Buffer, start: number, end: number, unit: string): Token {
  const line = log.subarray(start, end - 1);
  if (line.includes(0)) return { start, end, kind: 'nul' };
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return { start, end, kind: 'bad' };
  }
  if (typeof value !== 'object' || value === null) return { start, end, kind: 'bad' };
  if (Number(value.schema) > 1 && 'unit' in value && 'query' in value) {
    return { start, end, kind: 'newer', schema: value.schema as number };
  }
  const { query, part, parts, outcome, fingerprint, attempt, run } = value;
  const isRecord =
    [value.unit, query, fingerprint, run].every(text => typeof text === 'string') &&
    [part, parts, attempt].every(n => Number.isSafeInteger(n) && (n as number) > 0) &&
    (part as number) <= (parts as number) &&
    /^(normal|skipped|error)$/.test(String(outcome));
  if (!isRecord) return { start, end, kind: 'foreign', unit: undefined };
  if (value.unit !== unit) return { start, end, kind: 'foreign', unit: value.unit as string };
  const head = { query, part, parts, outcome, fingerprint, attempt, run, rerun: value.rerun === true };
  return { start, end, kind: 'record', head: head as RecordHead };
}

/** Any name that a file system, a user or a hostile test may think of. */
export const anyName: fc.Arbitrary<string> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom('q', 'a/b', '2down__ofi_gt_p50', 'é', '数', '😀', 'a"b', 'a\\', '\\"'),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('\n', '\t\u0000', '\ud800', '","part":1', '\u2028', 'x'.repeat(300)),
  },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
);

/** Any head, often with fields that are also those of others. */
export const anyHead: fc.Arbitrary<GroupHead> = fc.record({
  unit: fc.constant(UNIT),
  query: anyName,
  fingerprint: fc.constantFrom('9f86d081884c7d65', '0000000000000000', 'ffffffffffffffff'),
  attempt: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1_000_000 })),
  run: fc.oneof(fc.constantFrom('run1', 'run2'), anyName),
  rerun: fc.boolean(),
  queryId: anyName,
  startedAtMs: fc.integer({ min: 0, max: 4e12 }),
  durationMs: fc.double({ min: 0, max: 1e9, noNaN: true }),
  parameters: fc.dictionary(anyName, anyName, { maxKeys: 3 }),
});

/** The text of a row as ClickHouse prints it: an object on one line. */
export const anyRow: fc.Arbitrary<string> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom('{"n":18446744073709551615}', '{}', '{"x":null,"d":1.0e-7}') },
  {
    weight: 2,
    arbitrary: fc
      .dictionary(anyName, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
      .map(value => JSON.stringify(value)),
  },
);

/** A result as it comes from an engine: rows, or what stands in place of them. */
export const anyContent: fc.Arbitrary<{ readonly rows: readonly string[] } | RowlessOutcome> = fc.oneof(
  { weight: 3, arbitrary: fc.array(anyRow, { minLength: 1, maxLength: 4 }).map(rows => ({ rows })) },
  { weight: 1, arbitrary: fc.constant({ outcome: 'skipped' as const, stats: undefined }) },
  {
    weight: 1,
    arbitrary: fc.record({
      outcome: fc.constant('error' as const),
      error: fc.record({
        code: fc.nat(),
        name: fc.constant('SYNTAX_ERROR'),
        kind: fc.constantFrom('transient' as const, 'permanent' as const, 'unknown' as const),
        message: anyName,
      }),
    }),
  },
);

/** The bytes of a group, by the real encoder. */
export function encodeGroup(head: GroupHead, content: { rows: readonly string[] } | RowlessOutcome): Buffer {
  if ('rows' in content) return normalGroup(head, content.rows);
  return encodeRowless(head, content);
}

/** Which outcome a content has. */
export function outcomeOf(content: { rows: readonly string[] } | RowlessOutcome): Outcome {
  return 'rows' in content ? 'normal' : content.outcome;
}
