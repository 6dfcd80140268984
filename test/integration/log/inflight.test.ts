import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INFLIGHT_LINE_BYTES, parseInflight } from '../../../src/core/unit/inflight.js';
import type { FinalState } from '../../../src/core/unit/plan.js';
import { InflightJournal, inflightPath } from '../../../src/io/log/inflight.js';

const PRINT = '0123456789abcdef';
// Many journals of this test die without being closed.
process.setMaxListeners(0);

let directory: string;
let logPath: string;
let path: string;
let troubles: string[];
let log: Map<string, FinalState>;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'qrun-inflight-'));
  logPath = join(directory, 'u.ndjson');
  path = inflightPath(logPath);
  troubles = [];
  log = new Map();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function open(run: string, slots = 4): InflightJournal {
  return InflightJournal.open({
    ...{ logPath, run, slots },
    finalOf: name => log.get(name),
    onTrouble: message => troubles.push(message),
  });
}

function settle(query: string, run: string, outcome: FinalState['outcome'] = 'normal'): void {
  log.set(query, { fingerprint: PRINT, outcome, parts: 1, run });
}

function suspectsAfter(run: string): string[] {
  return open(run).suspects.map(
    ({ query, deaths, proven }) => `${query} ${deaths}${proven ? ' proven' : ''}`,
  );
}

describe('the journal', () => {
  it('is nothing but a file beside the log while a run goes on, and gone behind it', () => {
    const journal = open('r1');
    const place = journal.begin('a', PRINT, false);
    expect(readdirSync(directory)).toEqual(['u.ndjson.inflight']);
    expect(statSync(path).size).toBe(5 * INFLIGHT_LINE_BYTES);
    journal.end(place);
    journal.close();
    expect(readdirSync(directory)).toEqual([]);
    expect(troubles).toEqual([]);
  });

  it('gives what was in flight to the next one, in any number and order of slots', () => {
    const journal = open('r1');
    const places = ['a', 'b', 'c'].map(name => journal.begin(name, PRINT, false));
    journal.end(places[0] ?? 0);
    journal.begin('d', PRINT, false);
    journal.end(places[2] ?? 0);
    expect(suspectsAfter('r2').sort()).toEqual(['b 1', 'd 1']);
  });

  it('counts no death twice, however often a run begins and dies with nothing in flight', () => {
    open('r1').begin('a', PRINT, false);
    for (const run of ['r2', 'r3', 'r4']) expect(suspectsAfter(run)).toEqual(['a 1']);
    const journal = open('r5');
    journal.begin('a', PRINT, true);
    expect(suspectsAfter('r6')).toEqual(['a 2 proven']);
    expect(suspectsAfter('r7')).toEqual(['a 2 proven']);
  });

  it('stays behind a run as long as there is a suspect without a result', () => {
    open('r1').begin('a', PRINT, false);
    const second = open('r2');
    second.close();
    expect(existsSync(path)).toBe(true);
    const third = open('r3');
    settle('a', 'r3', 'error');
    third.close();
    expect(suspectsAfter('r4')).toEqual(['a 1']);
    const fifth = open('r5');
    settle('a', 'r5');
    fifth.close();
    expect(existsSync(path)).toBe(false);
  });

  it('notes that a run was asked to stop, and nothing any more when it is cancelled', () => {
    open('r1').begin('a', PRINT, false);
    const drained = open('r2');
    drained.begin('a', PRINT, true);
    drained.stopping();
    expect(suspectsAfter('r3')).toEqual(['a 2']);
    const aborted = open('r4');
    aborted.begin('a', PRINT, true);
    aborted.clear();
    aborted.begin('b', PRINT, true);
    expect(suspectsAfter('r5')).toEqual(['a 2']);
  });

  it('notes no more queries than it has slots', () => {
    const journal = open('r1', 2);
    const places = ['a', 'b', 'c'].map(name => journal.begin(name, PRINT, false));
    expect(places[2]).toBe(-1);
    for (const place of places) journal.end(place);
    expect(suspectsAfter('r2')).toEqual([]);
  });

  it('of one log says nothing to another', () => {
    open('r1').begin('a', PRINT, false);
    logPath = join(directory, 'v.ndjson');
    expect(suspectsAfter('r2')).toEqual([]);
  });

  it('is cleared when the process exits by itself', () => {
    const before = process.listenerCount('exit');
    const journal = open('r1');
    journal.begin('a', PRINT, false);
    // What process.exit calls.
    for (const listener of process.listeners('exit').slice(before)) (listener as () => void)();
    expect(suspectsAfter('r2')).toEqual([]);
    journal.close();
  });

  it('leaves no listener behind', () => {
    const before = process.listenerCount('exit');
    for (let n = 0; n < 20; n += 1) open(`r${n}`).close();
    expect(process.listenerCount('exit')).toBe(before);
  });
});

describe('what has the name of the journal', () => {
  // A run goes on without one, says so once, and leaves what is there.
  function expectUseless(says: RegExp): void {
    const journal = open('r1');
    for (let n = 0; n < 5; n += 1) journal.end(journal.begin('a', PRINT, false));
    journal.stopping();
    journal.close();
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toMatch(says);
    expect(journal.suspects).toEqual([]);
    expect(readdirSync(directory).filter(name => name.endsWith('.tmp'))).toEqual([]);
  }

  it.each([
    ['empty', Buffer.alloc(0)],
    ['NULs', Buffer.alloc(5000)],
    ['of a later version', Buffer.from('{"qrun_inflight":99,"what":"ever"}\n')],
    ['torn in its first line', Buffer.from('{"qrun_inflight":1,"run":"r')],
  ])('%s: is replaced without a word', (_, content) => {
    writeFileSync(path, content);
    open('r1').begin('a', PRINT, false);
    expect(suspectsAfter('r2')).toEqual(['a 1']);
    expect(troubles).toEqual([]);
  });

  it('a file of somebody else stays as it is', () => {
    writeFileSync(path, 'dear diary\n');
    expectUseless(/not a journal of qrun; move it away/);
    expect(readFileSync(path, 'utf8')).toBe('dear diary\n');
  });

  it('a huge file is not read', () => {
    execFileSync('truncate', ['-s', '1T', path]);
    expectUseless(/larger than 4MiB/);
  });

  it('a named pipe holds nobody up', () => {
    execFileSync('mkfifo', [path]);
    expectUseless(/not a regular file/);
  });

  it('a directory stays', () => {
    mkdirSync(path);
    expectUseless(/not a regular file/);
    expect(existsSync(path)).toBe(true);
  });

  it('a link is not followed', () => {
    const target = join(directory, 'target');
    writeFileSync(target, 'mine');
    symlinkSync(target, path);
    expectUseless(/symbolic link/);
    expect(readFileSync(target, 'utf8')).toBe('mine');
  });

  it('a directory in the place of the temporary file', () => {
    mkdirSync(`${path}.tmp`);
    const journal = open('r1');
    journal.begin('a', PRINT, false);
    journal.close();
    expect(troubles).toHaveLength(1);
  });

  it('a temporary file of one who died there is replaced', () => {
    writeFileSync(`${path}.tmp`, 'half');
    open('r1').begin('a', PRINT, false);
    expect(readdirSync(directory)).toEqual(['u.ndjson.inflight']);
    expect(suspectsAfter('r2')).toEqual(['a 1']);
  });

  it('a directory that may not be written to', () => {
    // The only one that refuses root too.
    const isRoot = process.getuid?.() === 0;
    if (isRoot) [logPath, path] = ['/proc/u.ndjson', inflightPath('/proc/u.ndjson')];
    else chmodSync(directory, 0o500);
    const journal = open('r1');
    journal.end(journal.begin('a', PRINT, false));
    journal.close();
    expect(troubles).toHaveLength(1);
    expect(troubles[0]).toMatch(isRoot ? /ENOENT/ : /EACCES/);
    chmodSync(directory, 0o700);
  });

  it('a full disk', () => {
    logPath = '/dev/full/u.ndjson';
    path = inflightPath(logPath);
    const journal = open('r1');
    journal.begin('a', PRINT, false);
    journal.close();
    expect(troubles).toHaveLength(1);
  });
});

it('a journal with damage anywhere is read as far as it makes sense, and never fails', () => {
  const journal = open('r1');
  for (const name of ['a', 'b', 'c']) journal.begin(name, PRINT, false);
  const whole = readFileSync(path);
  for (let at = 0; at < whole.length; at += 37) {
    const damaged = Buffer.from(whole);
    damaged.fill(0, at, Math.min(whole.length, at + 100));
    writeFileSync(path, damaged);
    for (const name of suspectsAfter('r2')) expect(['a 1', 'b 1', 'c 1']).toContain(name);
    writeFileSync(path, whole.subarray(0, at));
    for (const name of suspectsAfter('r2')) expect(['a 1', 'b 1', 'c 1']).toContain(name);
  }
  expect(troubles).toEqual([]);
  expect(parseInflight(whole)).toMatchObject({ run: 'r1' });
});
