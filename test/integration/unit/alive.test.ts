import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { builtQrun } from '../../built.js';
import { type Event, qrun, records, removeTree, tree } from '../qrun.js';

// Each test runs several processes, on a machine that may have other work.
vi.setConfig({ testTimeout: 120_000 });

const QUERIES = ['a', 'b', 'c', 'd', 'e', 'f'];
// Each takes a second; their setup allows more rows a block than chDB would sleep for.
const sleeping = (seconds: number): string =>
  `SELECT sleepEachRow(0.2) AS s FROM numbers(${seconds * 5}) SETTINGS max_block_size = 1`;

const roots: string[] = [];
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const root of roots.splice(0)) removeTree(root);
});

function unitOf(seconds: number): string {
  const root = tree({
    'qrun.toml': 'engine = "embedded"\n',
    ...Object.fromEntries(QUERIES.map(query => [`u/${query}.sql`, sleeping(seconds)])),
  });
  roots.push(root);
  return root;
}

interface Run {
  readonly process: ChildProcess;
  /** The other end of its descriptor 3. */
  readonly worker: Writable;
  readonly ended: Promise<{
    readonly code: number | null;
    readonly signal: string | null;
    readonly stderr: string;
  }>;
}

/** Starts a run whose descriptor 3 is held here. */
function start(root: string, ...args: string[]): Run {
  const child = spawn(
    process.execPath,
    [builtQrun(), 'unit', 'u', '-P1', '--events', 'events', '--alive-fd', '3', ...args],
    { cwd: root, stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env: cleanEnv() },
  );
  children.push(child);
  let stderr = '';
  child.stderr?.on('data', chunk => {
    stderr += String(chunk);
  });
  const worker = child.stdio[3] as Writable;
  worker.on('error', () => {});
  const ended = new Promise<Awaited<Run['ended']>>(resolve =>
    child.once('close', (code, signal) => resolve({ code, signal, stderr })),
  );
  return { process: child, worker, ended };
}

function cleanEnv(): Record<string, string> {
  const { PATH = '', HOME = '/' } = process.env;
  return { PATH, HOME };
}

function events(root: string): Event[] {
  const path = join(root, 'events');
  return existsSync(path) ? (records(readFileSync(path)) as Event[]) : [];
}

// On a machine with other work; a run takes six seconds by itself.
const PATIENCE_MS = 60_000;

/** Resolves with the event of this kind when it is there. */
async function until(root: string, type: string): Promise<Event> {
  for (const from = performance.now(); ; ) {
    if (performance.now() - from > PATIENCE_MS) throw new Error(`there is no event ${type}`);
    // A last line may be half there.
    try {
      const found = events(root).find(event => event.type === type);
      if (found !== undefined) return found;
    } catch {}
    await delay(10);
  }
}

const recordedIn = (root: string): string[] =>
  records(readFileSync(join(root, 'results/u.ndjson')))
    .filter(({ part }) => part === 1)
    .map(({ query }) => String(query));

describe('--alive-fd', () => {
  it('drains a run when its worker lets go of the pipe', async () => {
    const root = unitOf(1);
    const run = start(root);
    await until(root, 'query_started');
    run.worker.end();
    const { how, reason } = await until(root, 'stopping');
    expect([how, reason]).toEqual(['drain', 'the worker is gone (the pipe of --alive-fd has ended)']);
    expect((await run.ended).code).toBe(143);
    // What ran was finished and recorded, and nothing else was begun.
    const begun = events(root).filter(({ type }) => type === 'query_started').length;
    expect(recordedIn(root)).toHaveLength(begun);
    expect(begun).toBeLessThan(QUERIES.length);
  });

  it('drains a run whose worker was killed by SIGKILL', async () => {
    const root = unitOf(1);
    const args = [builtQrun(), 'unit', 'u', '-P1', '--events', 'events', '--alive-fd', '3'];
    const program = `require('node:child_process').spawn(process.execPath, ${JSON.stringify(args)}, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] }); setInterval(() => {}, 1000)`;
    const worker = spawn(process.execPath, ['-e', program], { cwd: root, stdio: 'ignore', env: cleanEnv() });
    children.push(worker);
    await until(root, 'query_started');
    worker.kill('SIGKILL');
    await until(root, 'stopping');
    expect((await until(root, 'run_ended')).exit_code).toBe(143);
    expect(recordedIn(root).length).toBeLessThan(QUERIES.length);
  });

  it('cancels what still runs some seconds later', async () => {
    const root = unitOf(60);
    const run = start(root);
    await until(root, 'query_started');
    run.worker.end();
    // The embedded engine cannot cancel a query: the process ends.
    await run.ended;
    const stops = events(root).filter(({ type }) => type === 'stopping');
    expect(stops.map(({ how }) => how)).toEqual(['drain', 'abort']);
    expect(readFileSync(join(root, 'results/u.ndjson'), 'utf8')).toBe('');
  });

  it('ends a run that has not begun', async () => {
    const root = unitOf(1);
    const run = start(root);
    run.worker.end();
    const { code, signal } = await run.ended;
    expect([143, 'SIGTERM']).toContain(code ?? signal);
    // The next one has everything to do, and can.
    const plan = await qrun(['plan', 'u', '--json'], { cwd: root });
    expect(JSON.parse(plan.stdout)).toMatchObject({ due: QUERIES.length });
  });

  it('stops nothing that ends by itself', async () => {
    const root = tree({ 'qrun.toml': 'engine = "embedded"\n', 'u/a.sql': 'SELECT 1' });
    roots.push(root);
    const { code, signal, stderr } = await start(root, '--quiet', '--alive-limit', '60s').ended;
    expect([code, signal, stderr]).toEqual([0, null, '']);
  });

  it('is a pipe of a shell too', async () => {
    const root = unitOf(1);
    const line = `{ echo alive; until grep -qs query_started events; do sleep 0.1; done; } | '${process.execPath}' '${builtQrun()}' unit u -P1 --quiet --events events --alive-fd 0`;
    expect(() => execFileSync('sh', ['-c', line], { cwd: root, env: cleanEnv(), stdio: 'pipe' })).toThrow(
      expect.objectContaining({ status: 143 }),
    );
  });
});

describe('--alive-limit', () => {
  it('drains a run when nothing has come for so long, and not before', async () => {
    const root = unitOf(1);
    const run = start(root, '--alive-limit', '2s');
    const beats = setInterval(() => run.worker.write('.'), 100);
    await until(root, 'query_started');
    // Longer than the limit.
    await until(root, 'query_recorded');
    while (recordedIn(root).length < 3 && run.process.exitCode === null) await delay(20);
    expect(events(root).some(({ type }) => type === 'stopping')).toBe(false);
    clearInterval(beats);
    const { reason } = await until(root, 'stopping');
    expect(reason).toBe('the worker is silent (nothing on the pipe of --alive-fd for 2 s)');
    expect((await run.ended).code).toBe(143);
  });

  it('counts what came while the run itself was stopped', async () => {
    const root = unitOf(1);
    const run = start(root, '--alive-limit', '2s');
    const beats = setInterval(() => run.worker.write('.'), 100);
    await until(root, 'query_started');
    run.process.kill('SIGSTOP');
    await delay(3_000);
    run.process.kill('SIGCONT');
    const before = recordedIn(root).length;
    while (recordedIn(root).length < before + 2 && run.process.exitCode === null) await delay(20);
    clearInterval(beats);
    expect(events(root).some(({ type }) => type === 'stopping')).toBe(false);
    run.process.kill('SIGKILL');
    await run.ended;
  });
});

describe('a descriptor that cannot end', () => {
  it.each<[string, string, string]>([
    ['is not open', '--alive-fd 99', '--alive-fd 99: this descriptor is not open'],
    ['is a file', '--alive-fd 3 3<qrun.toml', '--alive-fd 3: it is not a pipe'],
    ['is for output', '--alive-fd 1', '--alive-fd 1: this descriptor is for output'],
    ['is no number', '--alive-fd three', '--alive-fd three: must be a whole number from 0 to 65535'],
    [
      'is open for writing here',
      '--alive-fd 3 3<>pipe',
      '--alive-fd 3: this process holds its writing end, so that it never ends',
    ],
    ['is not given', '--alive-limit 5s', '--alive-limit: it is the limit of --alive-fd, which is not given'],
    [
      'has no limit',
      '--alive-fd 0 --alive-limit 5',
      '--alive-limit 5: must be a duration from 1s, such as 60s',
    ],
  ])('because it %s is refused', (_, args, message) => {
    const root = unitOf(1);
    const line = `mkfifo pipe; true | '${process.execPath}' '${builtQrun()}' unit u ${args}`;
    let failure: { status?: number; stderr?: Buffer } = {};
    try {
      execFileSync('bash', ['-c', line], { cwd: root, env: cleanEnv(), stdio: 'pipe' });
    } catch (error) {
      failure = error as typeof failure;
    }
    expect(failure.status).toBe(2);
    expect(String(failure.stderr)).toContain(message);
    expect(existsSync(join(root, 'results'))).toBe(false);
  });
});
