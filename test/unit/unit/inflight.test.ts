import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  fillInflightLine,
  headerLine,
  INFLIGHT_LINE_BYTES,
  type Inflight,
  idleLine,
  inflightName,
  parseInflight,
  type Suspect,
  suspectLine,
  suspectsOf,
} from '../../../src/core/unit/inflight.js';
import type { FinalState } from '../../../src/core/unit/plan.js';

const HEADER = { run: 'r2', boot: 'b', stopping: false };
const PRINT = '0123456789abcdef';
const OTHER_PRINT = 'fedcba9876543210';

function inflightLine(inflight: Inflight): Buffer {
  const line = idleLine();
  fillInflightLine(line, inflight);
  return line;
}

function suspect(query: string, given: Partial<Suspect> = {}): Suspect {
  return { query, fingerprint: PRINT, deaths: 1, proven: false, seen: '', ...given };
}

function running(query: string, given: Partial<Inflight> = {}): Inflight {
  return { query, fingerprint: PRINT, alone: false, ...given };
}

function final(given: Partial<FinalState> = {}): FinalState {
  return { fingerprint: PRINT, outcome: 'error', parts: 1, run: 'r1', ...given };
}

interface Left {
  readonly suspects?: readonly Suspect[];
  readonly inflight?: readonly Inflight[];
  readonly stopping?: boolean;
  readonly boot?: string;
  readonly log?: Readonly<Record<string, FinalState>>;
}

function judged({ suspects = [], inflight = [], stopping = false, boot = 'b', log = {} }: Left): Suspect[] {
  const finalOf = (name: string) => log[name];
  return suspectsOf({ ...HEADER, stopping, suspects, inflight }, { boot, finalOf });
}

describe('the lines of the journal', () => {
  it('come back as they were written, whatever the names', () => {
    const name = fc.oneof(
      fc.string({ unit: 'binary', minLength: 1, maxLength: 80 }),
      fc.constantFrom(
        '',
        'a/b',
        '"',
        '\\',
        '\n',
        '\0',
        'ä'.repeat(400),
        'x'.repeat(4000),
        '\u0001'.repeat(62),
      ),
    );
    const print = fc.constantFrom(PRINT, OTHER_PRINT);
    const inflights = fc.array(fc.record({ query: name, fingerprint: print, alone: fc.boolean() }), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(inflights, fc.array(name, { maxLength: 8 }), fc.boolean(), (inflight, names, stopping) => {
        const suspects = names.map((each, n) =>
          suspect(inflightName(each), { deaths: n + 1, proven: n % 2 === 0, seen: `r${n}` }),
        );
        const lines = [
          headerLine({ ...HEADER, stopping }),
          ...suspects.map(suspectLine),
          idleLine(),
          ...inflight.map(inflightLine),
        ];
        const ends = lines.map(line => [line.length, line.indexOf(10) + 1]);
        expect(ends.flat().every(bytes => bytes === INFLIGHT_LINE_BYTES)).toBe(true);
        expect(parseInflight(Buffer.concat(lines))).toEqual({
          ...{ ...HEADER, stopping, suspects },
          inflight: inflight.map(each => ({ ...each, query: inflightName(each.query) })),
        });
      }),
      { numRuns: 30 },
    );
  });

  it('hold the name of any ordinary query itself, and tell long ones apart', () => {
    expect(inflightName(`2down/${'q'.repeat(300)}`)).toBe(`2down/${'q'.repeat(300)}`);
    expect(inflightName('x'.repeat(1000))).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(inflightName('x'.repeat(1000))).not.toBe(inflightName('x'.repeat(1001)));
  });

  it('are overwritten whole by a shorter one', () => {
    const line = inflightLine(running('a-long-name-of-a-query', { alone: true }));
    fillInflightLine(line, running('q'));
    expect(parseInflight(Buffer.concat([headerLine(HEADER), line]))).toMatchObject({
      inflight: [running('q')],
    });
  });

  it('are left out where they make no sense, and the others are read', () => {
    const torn = inflightLine(running('torn'));
    torn.fill(0, 20);
    const idle = inflightLine(running('idle'));
    idle[0] = 32;
    const strange = idleLine();
    strange.write('{"query":7,"fingerprint":"x"}');
    const bytes = Buffer.concat([headerLine(HEADER), torn, idle, strange, inflightLine(running('q'))]);
    expect(parseInflight(bytes)).toMatchObject({ inflight: [running('q')], suspects: [] });
    // Cut anywhere.
    for (let end = INFLIGHT_LINE_BYTES; end < bytes.length; end += 7) {
      expect(parseInflight(bytes.subarray(0, end))).toMatchObject({ run: 'r2', suspects: [] });
    }
  });

  it.each([
    ['empty', Buffer.alloc(0)],
    ['NULs', Buffer.alloc(3000)],
    ['a journal of a later version', Buffer.from('{"qrun_inflight":2,"run":"r","boot":"b"}\n')],
    ['a torn first line', headerLine(HEADER).subarray(0, 30)],
  ])('%s is nothing that can be read, and may be replaced', (_, bytes) => {
    expect(parseInflight(bytes)).toBe('unknown');
  });

  it.each(['hello', '{"unit":"u","query":"q"}\n', '[1]', '\u00ff\u00fe'])('%j is not ours', text => {
    expect(parseInflight(Buffer.from(text))).toBeUndefined();
  });

  it('never throws on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), bytes => {
        parseInflight(Buffer.from(bytes));
        parseInflight(Buffer.concat([headerLine(HEADER), Buffer.from(bytes)]));
      }),
    );
  });
});

describe('who is a suspect', () => {
  it('is what was in flight, once more for each death', () => {
    expect(judged({ inflight: [running('a'), running('b')] })).toEqual([suspect('a'), suspect('b')]);
    expect(judged({ suspects: [suspect('a', { deaths: 4 })], inflight: [running('a')] })).toEqual([
      suspect('a', { deaths: 5 }),
    ]);
    expect(judged({ suspects: [suspect('a', { deaths: 4 })] })).toEqual([suspect('a', { deaths: 4 })]);
  });

  it.each([
    ['the first death, alone', { inflight: [running('a', { alone: true })] }, false],
    [
      'the second, beside others',
      { suspects: [suspect('a')], inflight: [running('a'), running('b')] },
      false,
    ],
    ['the second, alone', { suspects: [suspect('a')], inflight: [running('a', { alone: true })] }, true],
    [
      'the second, alone, of another text',
      { suspects: [suspect('a', { fingerprint: OTHER_PRINT })], inflight: [running('a', { alone: true })] },
      false,
    ],
    [
      'the second, alone, after the run was asked to stop',
      { stopping: true, suspects: [suspect('a')], inflight: [running('a', { alone: true })] },
      false,
    ],
    [
      'the second, alone, and the machine has started since',
      { boot: 'c', suspects: [suspect('a')], inflight: [running('a', { alone: true })] },
      false,
    ],
    [
      'the third, alone, and the machine has started since',
      { boot: 'c', suspects: [suspect('a', { deaths: 2 })], inflight: [running('a', { alone: true })] },
      true,
    ],
    [
      'another one beside it later',
      { suspects: [suspect('a', { deaths: 2, proven: true })], inflight: [running('b')] },
      true,
    ],
  ] satisfies [string, Left, boolean][])('%s: proven or not', (_, left, proven) => {
    expect(judged(left).find(({ query }) => query === 'a')?.proven).toBe(proven);
  });

  describe('the log knows better', () => {
    it('a settled query is none', () => {
      const log = { a: final({ outcome: 'normal' }), b: final({ outcome: 'skipped' }) };
      const left = { suspects: [suspect('a'), suspect('c')], inflight: [running('b'), running('a')], log };
      expect(judged(left).map(({ query }) => query)).toEqual(['c']);
    });

    it('one that the dead run recorded as error was not in flight any more', () => {
      expect(judged({ inflight: [running('a')], log: { a: final({ run: 'r2' }) } })).toEqual([]);
    });

    it('an error of an earlier run, or of another text, says nothing', () => {
      const left = { inflight: [running('a'), running('b')] };
      const log = { a: final({ run: 'r1' }), b: final({ run: 'r2', fingerprint: OTHER_PRINT }) };
      expect(judged({ ...left, log })).toEqual([suspect('a', { seen: 'r1' }), suspect('b', { seen: 'r2' })]);
    });

    it('a proof is used up by what is recorded since, and not by what was there before', () => {
      const proven = suspect('a', { deaths: 2, proven: true, seen: 'r1' });
      expect(judged({ suspects: [proven], log: { a: final({ run: 'r1' }) } })).toEqual([proven]);
      expect(judged({ suspects: [proven], log: { a: final({ run: 'r2' }) } })).toEqual([
        { ...proven, proven: false, seen: 'r2' },
      ]);
    });

    it('a suspect whose text changed and was recorded is none any more', () => {
      const log = { a: final({ run: 'r2', fingerprint: OTHER_PRINT }) };
      expect(judged({ suspects: [suspect('a', { seen: 'r1' })], log })).toEqual([]);
    });
  });
});

// A unit of some queries, one of which kills; whoever runs is killed at any moment too.
it('of any history with one killer and no other death, only the killer is ever proven, after two starts', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.integer({ min: 1, max: 6 }),
      fc.infiniteStream(fc.nat()),
      (count, width, numbers) => {
        const next = (below: number): number => (numbers.next().value ?? 0) % below;
        const killer = `q${next(count)}`;
        const log: Record<string, FinalState> = {};
        let left: Left = {};
        for (let start = 1; start <= 3; start += 1) {
          const suspects = judged({ ...left, log });
          for (const { query, proven } of suspects) if (proven) expect(query).toBe(killer);
          const isSuspect = new Set(suspects.map(({ query }) => query));
          const due = Array.from({ length: count }, (_, n) => `q${n}`).filter(
            name => log[name]?.outcome !== 'normal',
          );
          const done = (name: string): void => {
            log[name] = final({ outcome: 'normal', run: `r${start}` });
          };
          const others = due.filter(name => !isSuspect.has(name));
          const at = others.indexOf(killer);
          if (at !== -1) {
            const from = Math.max(0, at - next(width));
            for (const name of others.slice(0, from)) done(name);
            left = { suspects, inflight: others.slice(from, from + width).map(name => running(name)) };
            expect(left.inflight?.length).toBeGreaterThan(0);
            continue;
          }
          for (const name of others) done(name);
          let died = false;
          for (const { query, proven } of suspects) {
            if (proven) log[query] = final({ run: `r${start}` });
            else if (query === killer) {
              left = { suspects, inflight: [running(query, { alone: true })] };
              died = true;
              break;
            } else done(query);
          }
          if (!died) break;
        }
        expect(Object.keys(log).filter(name => log[name]?.outcome === 'error')).toEqual([killer]);
        expect(Object.keys(log)).toHaveLength(count);
      },
    ),
  );
});
