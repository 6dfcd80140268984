import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { rows, startStubServer } from '../../engines/stub-server.js';
import { endAll, put, qrun, records, removeTree, type Started, slowness, startQrun, tree } from '../qrun.js';

// A file on a disk that does not answer (a hard-mounted NFS server that is away) keeps each system call on it until a
// signal ends the process. Whatever qrun is at, one signal must do that, and nothing that was recorded may be lost.
vi.setConfig({ testTimeout: 120_000 });

const build = mkdtempSync(join(tmpdir(), 'qrun-dead-'));
const shim = join(build, 'dead-disk.so');
const HAS_SHIM = compile();

function compile(): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const source = fileURLToPath(new URL('dead-disk.c', import.meta.url));
    execFileSync('gcc', ['-O1', '-shared', '-fPIC', '-o', shim, source, '-ldl']);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

let root = '';
beforeEach(() => {
  root = tree({
    'qrun.toml': '',
    'u/q.sql': 'SELECT 1 AS a',
    'jobs.toml': 'name = "j"\ncommand = ["true"]\n[matrix]\na = ["1"]\n',
    pw: 'secret',
    'cp.json': '1',
  });
});
afterEach(() => {
  endAll();
  removeTree(root);
});
afterAll(() => rmSync(build, { recursive: true, force: true }));

interface Dead {
  readonly path: string;
  readonly when?: string;
  readonly remote?: string;
}

function start(args: readonly string[], { path, when, remote }: Dead): Started {
  return startQrun(args, {
    cwd: root,
    env: {
      LD_PRELOAD: shim,
      DEAD_PATH: join(root, path),
      DEAD_NOTE: join(root, 'waits'),
      ...(when === undefined ? {} : { DEAD_WHEN: join(root, when) }),
      ...(remote === undefined ? {} : { REMOTE_PATH: join(root, remote) }),
    },
  });
}

/** Until a system call waits for the dead disk. */
async function waits(child: Started): Promise<void> {
  let ended = false;
  void child.finally(() => {
    ended = true;
  });
  while (!existsSync(join(root, 'waits'))) {
    if (ended) throw new Error(`it ended before: ${JSON.stringify(await child)}`);
    await delay(5);
  }
}

const NUMBERS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

async function endsBy(child: Started, signal: keyof typeof NUMBERS, limitMs: number): Promise<void> {
  const since = performance.now();
  child.kill(signal);
  const end = await child;
  expect(performance.now() - since).toBeLessThan(limitMs * (await slowness()));
  // As a shell counts both.
  expect(end.signal === signal ? NUMBERS[signal] : end.exitCode, end.stderr).toBe(NUMBERS[signal]);
}

describe.runIf(HAS_SHIM)('a disk that does not answer', () => {
  const server = ['--url', 'http://127.0.0.1:1'];
  it.each<[string, string, readonly string[]]>([
    ['a query, in the plan', 'u/q.sql', ['plan', 'u']],
    ['a query, in a run', 'u/q.sql', ['unit', 'u']],
    ['a query, in the audit', 'u/q.sql', ['audit', 'u']],
    ['a query, in the audit of a sweep', 'u/q.sql', ['audit-all', '.']],
    ['the directory of a unit', 'u', ['plan', 'u']],
    ['the directory of a unit, in a run', 'u', ['unit', 'u']],
    ['the directory of a unit, in the status', 'u', ['status', '.']],
    ['the directory of a unit, in a submission', 'u', ['submit-all', '.', '--dry-run']],
    ['a setup file', 'u/_setup.sql', ['unit', 'u']],
    ['qrun.toml', 'qrun.toml', ['config', 'u']],
    ['.env', '.env', ['unit', 'u']],
    ['a password file', 'pw', ['unit', 'u', ...server, '--password-file', 'pw']],
    ['a CA file', 'pw', ['unit', 'u', '--url', 'https://127.0.0.1:1', '--ca-file', 'pw']],
    ['jobs.toml', 'jobs.toml', ['process-all', 'jobs.toml', '--dry-run']],
    ['the configuration of a submission', 'cp.json', ['unit', 'u', '--config', 'cp.json']],
    ['a log that is read', 'results/u.ndjson', ['plan', 'u']],
    ['a log that is written', 'results/u.ndjson', ['unit', 'u']],
    ['a lease', 'results/u.ndjson.lease', ['unit', 'u']],
    ['a sidecar', 'results/u.ndjson.runs', ['unit', 'u']],
    ['a checkpoint', 'cp.json', ['checkpoint', 'get', '--file', 'cp.json']],
    ['events', 'ev', ['unit', 'u', '--events', 'ev']],
  ])('under %s: a signal ends it', async (_, path, args) => {
    // What is appended to is there before.
    for (const name of [
      'results/u.ndjson',
      'results/u.ndjson.runs',
      'results/u.ndjson.lease',
      'u/_setup.sql',
      'ev',
      '.env',
    ]) {
      if (name === path) put(root, name, name.endsWith('.sql') ? 'SELECT 1' : '');
    }
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      rmSync(join(root, 'waits'), { force: true });
      const child = start(args, { path });
      await waits(child);
      await endsBy(child, signal, 4_000);
    }
  });

  it('under a sidecar while a sweep is watched: a signal ends it', async () => {
    put(root, 'results/u.ndjson', '');
    put(root, 'results/u.ndjson.runs', '');
    const dead = { path: 'results/u.ndjson.runs', when: 'gone', remote: '.' };
    const child = start(['status', '.', '--watch', '--interval', '100ms', '--json'], dead);
    await new Promise(resolve => child.stdout.once('data', resolve));
    put(root, 'gone', '');
    await waits(child);
    child.kill('SIGINT');
    const since = performance.now();
    expect(await child).toMatchObject({ exitCode: 0 });
    expect(performance.now() - since).toBeLessThan(7_000 * (await slowness()));
  });

  it.each([
    ['SIGTERM', 1],
    ['SIGINT', 3],
  ] as const)(
    'under the log while queries run: %s (%i) ends it, what was recorded stays',
    async (signal, times) => {
      for (const name of ['a', 'b', 'c']) put(root, `u/${name}.sql`, `SELECT '${name}' AS a`);
      rmSync(join(root, 'u/q.sql'));
      let answered = 0;
      const stub = await startStubServer(request => {
        answered += 1;
        if (answered === 2) writeFileSync(join(root, 'gone'), '');
        rows('{"a":1}\n')(request);
      });
      try {
        const args = ['unit', 'u', '-P1', '--url', stub.url];
        const child = start(args, { path: 'results/u.ndjson', when: 'gone', remote: 'results' });
        await waits(child);
        for (let n = 1; n < times; n += 1) {
          child.kill(signal);
          // Longer than two signals count as one.
          await delay(200);
        }
        // SIGTERM cancels after 7 s, and ends what was cancelled after 12 more.
        await endsBy(child, signal, times === 1 ? 22_000 : 4_000);
        rmSync(join(root, 'gone'));
        expect(records(readFileSync(join(root, 'results/u.ndjson'))).map(({ query }) => query)).toEqual([
          'a',
        ]);
        const next = await qrun(args, { cwd: root });
        expect(next, next.stderr).toMatchObject({ code: 0 });
        const all = records(readFileSync(join(root, 'results/u.ndjson'))).map(({ query }) => query);
        expect(all).toEqual(['a', 'b', 'c']);
      } finally {
        await stub.stop();
      }
    },
  );

  it('under a query while others run: what is recorded stays, the next run does the rest', async () => {
    for (const name of ['a', 'b', 'c']) put(root, `u/${name}.sql`, `SELECT '${name}' AS a`);
    rmSync(join(root, 'u/q.sql'));
    // It goes away behind the first query.
    const stub = await startStubServer(request => {
      writeFileSync(join(root, 'gone'), '');
      rows('{"a":1}\n')(request);
    });
    try {
      for (const signal of ['SIGTERM', 'SIGINT'] as const) {
        rmSync(join(root, 'waits'), { force: true });
        rmSync(join(root, 'results'), { recursive: true, force: true });
        const args = ['unit', 'u', '-P1', '--url', stub.url];
        // On a file system that is remote, as statfs(2) tells.
        rmSync(join(root, 'gone'), { force: true });
        const child = start([...args, '--json'], { path: 'u/b.sql', when: 'gone', remote: 'u/' });
        await waits(child);
        await endsBy(child, signal, 4_000);
        const inLog = records(readFileSync(join(root, 'results/u.ndjson'))).map(({ query }) => query);
        expect(inLog).toEqual(['a']);
        const next = await qrun(args, { cwd: root });
        expect(next, next.stderr).toMatchObject({ code: 0 });
        const all = records(readFileSync(join(root, 'results/u.ndjson'))).map(({ query }) => query);
        expect(all).toEqual(['a', 'b', 'c']);
      }
    } finally {
      await stub.stop();
    }
  });
});
