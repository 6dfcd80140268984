import fc from 'fast-check';
import { encodeRowless, type GroupHead, RecordEncoder } from '../../../src/core/log/record.js';
import { AuditedLog, FinalStates, LogScanner } from '../../../src/core/log/scan/index.js';
import type { LogVisitor } from '../../../src/core/log/scan/log-scan.js';
import { readForeignLine } from '../../../src/core/log/scan/record-head.js';
import { parseInflight, suspectsOf } from '../../../src/core/unit/inflight.js';
import { cut, cuts, must, mutated, reshaped, textOf } from './grammar.js';
import { type Target, target } from './trial.js';

const UNIT = 'u/BTC_750';
const PIECES: readonly string[] = [
  ...'{}[],:"\n\\\0 \r',
  ...['"unit":', '"query":"q"', '"part":1', '"parts":2', '"outcome":"normal"', '"rest_bytes":9', '"run":"r"'],
  ...['"row":{', '1e400', '-0', '99999999999999999999', '\\u0000', '\\ud800', 'null', '"schema":2', '\ufeff'],
];
const head = fc.record({
  unit: fc.constantFrom(UNIT, 'other'),
  query: fc.constantFrom('q', 'deep/r', 'é"\\', 's'.repeat(300)),
  fingerprint: fc.constantFrom('9f86d081884c7d65', '0000000000000000'),
  attempt: fc.integer({ min: 1, max: 12 }),
  run: fc.constantFrom('r1', 'r2'),
  rerun: fc.boolean(),
  queryId: fc.constantFrom('qrun-r1-1-1', ''),
  startedAtMs: fc.constant(Date.parse('2026-01-31T12:00:00.123Z')),
  durationMs: fc.constantFrom(0, 12.4),
  parameters: fc.constantFrom({}, { a: '1' }),
}) satisfies fc.Arbitrary<GroupHead>;
const rows = fc.array(fc.constantFrom('{"a":1}', '{}', '{"b":"ä\\n{}"}', `{"c":"${'x'.repeat(200)}"}`), {
  minLength: 1,
  maxLength: 4,
});
const group = fc.oneof(
  fc.tuple(head, rows).map(([one, texts]) => normal(one, texts)),
  head.map(one => encodeRowless(one, { outcome: 'skipped', stats: undefined }).toString()),
  fc.tuple(head, textOf(PIECES, 6)).map(([one, message]) => failed(one, message).toString()),
);
const whole = fc.array(group, { maxLength: 5 }).map(groups => groups.join(''));
const log = mutated(whole, PIECES);

function normal(one: GroupHead, texts: readonly string[]): string {
  const encoder = new RecordEncoder(one, texts.length, { read_rows: 7 });
  const pieces = encoder.encode(Buffer.from(texts.map(text => `${text}\n`).join('')));
  encoder.finish();
  return Buffer.concat(pieces).toString();
}

function failed(one: GroupHead, message: string): Buffer {
  return encodeRowless(one, {
    outcome: 'error',
    error: { code: 241, name: 'MEMORY_LIMIT_EXCEEDED', kind: 'transient', message },
  });
}

// What a scan tells, as one text; a chunk is overwritten after it was pushed, as its owner may do.
function findings(chunks: readonly Buffer[]): string {
  const told: unknown[] = [];
  const note = (kind: string): ((...facts: unknown[]) => void) => {
    return (...facts) =>
      void told.push([kind, ...facts.map(fact => (typeof fact === 'object' ? headOf(fact) : fact))]);
  };
  const visitor = Object.fromEntries(
    ['group', 'partial', 'foreign', 'newer', 'unreadable'].map(kind => [kind, note(kind)]),
  ) as unknown as LogVisitor;
  const scanner = new LogScanner(UNIT, visitor);
  for (const chunk of chunks) {
    const reused = Buffer.from(chunk);
    scanner.push(reused);
    reused.fill(0x7e);
  }
  return JSON.stringify([told, scanner.tail()]);
}

function headOf(fact: unknown): unknown {
  const { query, part, parts, outcome, fingerprint, attempt, run, rerun } = fact as GroupHead &
    Record<string, unknown>;
  return { query, part, parts, outcome, fingerprint, attempt, run, rerun };
}

/** The readers of logs and of the journal of what is in flight. */
export const LOGS: readonly Target[] = [
  target('log', 700, fc.tuple(log, cuts), ([text, shares]) => {
    const bytes = Buffer.from(text);
    must(findings([bytes]) === findings(cut(bytes, shares)), 'other pieces of a log give other findings');
  }),
  target('log-states', 500, log, text => {
    const bytes = Buffer.from(text);
    for (const collector of [new AuditedLog('l'), new FinalStates()]) {
      const scanner = new LogScanner(UNIT, collector);
      scanner.push(bytes);
      scanner.tail();
    }
  }),
  target('foreign-lines', 1000, fc.oneof(log, textOf(PIECES)), text => {
    for (const line of text.split('\n').slice(0, 20)) readForeignLine(line, UNIT);
  }),
  target(
    'records',
    500,
    fc.tuple(head, textOf([...PIECES, '\u2028', '\ud800']), textOf(PIECES, 5)),
    ([one, message, parameter]) => {
      const line = failed({ ...one, parameters: { p: parameter } }, message);
      must(line.indexOf(10) === line.length - 1, 'a record has a line end in it');
      const { error } = JSON.parse(line.toString()) as { error: { message: string } };
      must(
        error.message.isWellFormed?.() === false || error.message === message.toWellFormed(),
        'a message has changed',
      );
      const told = findings([line]);
      must(!told.includes('unreadable') || one.query.includes('unreadable'), 'a record cannot be read again');
    },
  ),
  target('inflight', 800, journal(), text => {
    const read = parseInflight(Buffer.from(text));
    if (read === undefined || read === 'unknown') return;
    suspectsOf(read, { boot: 'b', finalOf: () => undefined });
  }),
];

function journal(): fc.Arbitrary<string> {
  const pieces = [
    '"suspect":',
    '"query":',
    '"fingerprint":"f"',
    '"deaths":1e99',
    '"alone":true',
    '{',
    '}',
    '\n',
    '\0',
    '[]',
  ];
  const valid = [
    '{"qrun_inflight":1,"run":"r","boot":"b","stopping":false}\n{"suspect":"q","fingerprint":"f","deaths":1,"proven":false,"seen":""}\n{"query":"q","fingerprint":"f","alone":true}\n',
  ];
  return fc.oneof(
    { weight: 2, arbitrary: reshaped(valid) },
    { weight: 3, arbitrary: mutated(fc.constantFrom(...valid), pieces) },
    { weight: 1, arbitrary: textOf(pieces) },
  );
}
