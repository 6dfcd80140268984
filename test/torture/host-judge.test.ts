import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type HostClaim, type JudgedQuery, judgeUnit } from './host-judge.js';

const row = (version: number) => JSON.stringify({ v: version, i: 0 });
const query = (kind: JudgedQuery['kind'], version = 1): JudgedQuery => ({
  kind,
  version,
  rowsOf: v => (kind === 'normal' ? [row(v), row(v)] : []),
});

function group(name: string, run: string, version = 1, outcome = 'normal'): string {
  const parts = outcome === 'normal' ? 2 : 1;
  const head = { unit: 'u', query: name, parts, outcome, fingerprint: `${name}-${version}`, attempt: 1, run };
  return Array.from({ length: parts }, (_, n) =>
    JSON.stringify({
      ...head,
      part: n + 1,
      ...(outcome === 'normal' ? { row: JSON.parse(row(version)) } : {}),
    }),
  )
    .map(line => `${line}\n`)
    .join('');
}

/** What the judge says of these logs: the one here, and those of the hosts. */
function judged(
  here: string,
  hosts: readonly string[],
  queries: Readonly<Record<string, JudgedQuery>>,
  seen: readonly string[] = [],
): string {
  const directory = mkdtempSync(join(tmpdir(), 'qrun-judge-'));
  const put = (name: string, text: string): string => {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, 'u.ndjson'), text);
    return join(directory, name, 'u.ndjson');
  };
  const log = put('here', here);
  const claim: HostClaim = {
    unit: 'u',
    log,
    queries: new Map(Object.entries(queries)),
    hostLogs: hosts.map((text, n) => put(`h${n}`, text)),
    seen: seen.map(text => ({ log, bytes: Buffer.from(text) })),
  };
  return judgeUnit(claim).join('\n');
}

describe('the judge of sweeps over hosts', () => {
  const [a, old, fresh] = [group('a', 'r1'), group('b', 'r1'), group('b', 'r2', 2)];
  const both = { a: query('normal'), b: query('normal', 2) };

  test('accepts one result of each text, of which the last is of the present one', () => {
    expect(judged(a + old + fresh, [a + old, fresh], both)).toBe('');
    expect(judged(fresh + a, [a + old, fresh], both, [fresh])).toBe('');
  });

  test('accepts errors by design, and queries without rows', () => {
    const [wrong, none] = [group('w', 'r1', 1, 'error'), group('n', 'r1', 1, 'skipped')];
    const again = group('w', 'r2', 1, 'error');
    expect(
      judged(wrong + none + again, [wrong + none, again], { w: query('error'), n: query('skipped') }),
    ).toBe('');
  });

  test('refuses what was executed on two hosts and is there twice, as `cat` does it', () => {
    const twice = group('a', 'r9');
    expect(judged(a + twice, [a, twice], { a: query('normal') })).toMatch(/2 results are there of a of a-1/);
    expect(judged(old + fresh + group('b', 'r3') + fresh, [old + fresh, group('b', 'r3')], both)).toMatch(
      /2 results are there of b of b-1/,
    );
  });

  test('refuses an old text behind the new one, and only an old text', () => {
    expect(judged(a + fresh + old, [a + old, fresh], both)).toMatch(/last result of b is of text 1, and 2/);
    expect(judged(a + old, [a + old], both)).toMatch(/b is not settled/);
  });

  test('refuses what is missing, what no host has recorded, and what is an error by accident', () => {
    expect(judged(a, [a], both)).toMatch(/nothing is there of b/);
    expect(judged(a, [group('a', 'r7')], { a: query('normal') })).toMatch(/none that a host has recorded/);
    const failed = group('a', 'r1', 1, 'error');
    expect(judged(failed, [failed], { a: query('normal') })).toMatch(/a stands as error, normal was due/);
    expect(judged(a, [a], { a: query('error') })).toMatch(/a stands as normal, error was due/);
  });

  test('refuses rows of another text than the group is of, torn groups, and bytes that are gone', () => {
    const mixed = a.replace('{"v":1,"i":0}}\n', '{"v":2,"i":0}}\n');
    expect(judged(mixed, [mixed], { a: query('normal') })).not.toBe('');
    const torn = a.slice(0, a.indexOf('\n') + 1);
    expect(judged(torn, [a], { a: query('normal') })).toMatch(/has 1 of 2 records/);
    expect(judged(a, [a], { a: query('normal') }, [a + a])).toMatch(/bytes that were in the log are neither/);
  });
});
