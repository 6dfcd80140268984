import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { FileLock } from '../../../src/io/files/flock.js';
import { runShell } from '../../../src/io/machine/child.js';
import { COMMAND_ID, newCommandId, ProcessTree } from '../../../src/io/machine/process-tree.js';
import { runProgram } from '../../../src/io/machine/program.js';
import { gitCommit } from '../../../src/io/unit/git-commit.js';
import { scratch } from '../machine/processes.js';
import { endAll, endOf, removeTree, startQrun, tree } from '../qrun.js';

// Of no command here: it must never have to be waited for.
const FOR_EVER = 'sleep 86400';

/** The pid that a command has written into a file, when it has. */
async function pidIn(path: string): Promise<number> {
  for (;;) {
    const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
    if (text.endsWith('\n')) return Number(text);
    await delay(5);
  }
}

function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

const left: number[] = [];
const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
  for (const pid of left.splice(0)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // As it should be.
    }
  }
});

/** Command lines that leave a process behind if only their shell is stopped; each writes that one's pid into `$F`. */
const SHAPES: Readonly<Record<string, string>> = {
  'a child that the shell waits for': `sh -c 'echo $$ >"$F"; exec ${FOR_EVER}'; echo late`,
  'a pipeline': `sh -c 'echo $$ >"$F"; exec ${FOR_EVER}' | cat`,
  'a process in the background': `sh -c 'echo $$ >"$F"; exec ${FOR_EVER}' & wait`,
  'a grandchild whose parent has ended': `(sh -c 'echo $$ >"$F"; exec ${FOR_EVER}' &) ; ${FOR_EVER}`,
  'a child in a session of its own': `setsid sh -c 'echo $$ >"$F"; exec ${FOR_EVER}'; echo late`,
  'one that does not hear SIGTERM': `trap '' TERM; sh -c 'echo $$ >"$F"; exec ${FOR_EVER}'; echo late`,
};

describe.runIf(process.platform === 'linux')('runShell', () => {
  it.each(Object.entries(SHAPES))(
    'ends %s when it is stopped, and only then resolves',
    async (_, command) => {
      const file = join(scratch(), 'pid');
      const stop = new AbortController();
      const running = runShell(`F='${file}'; export F; ${command}`, {
        cwd: '/',
        env: process.env,
        signal: stop.signal,
        graceMs: 300,
      });
      const pid = await pidIn(file);
      left.push(pid);
      stop.abort('SIGTERM');
      const end = await running;
      expect(lives(pid)).toBe(false);
      expect(end.exitCode).not.toBe(0);
    },
  );

  it('leaves what a command put into the background alone when the command ended by itself', async () => {
    const file = join(scratch(), 'pid');
    const signal = new AbortController().signal;
    const end = await runShell(`sh -c 'echo $$ >${file}; exec ${FOR_EVER}' & exit 3`, {
      cwd: '/',
      env: process.env,
      signal,
    });
    expect(end).toMatchObject({ exitCode: 3, signal: null });
    const pid = await pidIn(file);
    left.push(pid);
    expect(lives(pid)).toBe(true);
  });

  it('keeps a lock that the command inherits until all of it has ended', async () => {
    const directory = scratch();
    const lock = await FileLock.open(join(directory, 'lock'));
    await lock.acquire({ limitMs: 1000 });
    const signal = new AbortController().signal;
    const file = join(directory, 'pid');
    await runShell(`sh -c 'echo $$ >${file}; exec ${FOR_EVER}' &`, {
      cwd: '/',
      env: process.env,
      signal,
      held: lock.fd,
    });
    lock.close();
    const pid = await pidIn(file);
    left.push(pid);
    const other = await FileLock.open(join(directory, 'lock'));
    expect(await other.tryAcquire()).toBe(false);
    process.kill(pid, 'SIGKILL');
    await other.acquire({ limitMs: 10_000 });
    other.close();
  });

  it('starts nothing for a signal that is aborted already', async () => {
    const file = join(scratch(), 'never');
    await expect(
      runShell(`touch ${file}`, { cwd: '/', env: process.env, signal: AbortSignal.abort('SIGINT') }),
    ).rejects.toBe('SIGINT');
    expect(existsSync(file)).toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('ProcessTree', () => {
  it('leaves processes of others alone, also those of this process', async () => {
    const other = spawn('sleep', ['86400'], { stdio: 'ignore' });
    left.push(other.pid ?? 0);
    const id = newCommandId();
    const child = spawn('sh', ['-c', FOR_EVER], {
      stdio: 'ignore',
      env: { ...process.env, [COMMAND_ID]: id },
    });
    await new ProcessTree(child, id).stop('SIGTERM', 10_000);
    expect(lives(child.pid ?? 0)).toBe(false);
    expect(lives(other.pid ?? 0)).toBe(true);
  });
});

describe.runIf(process.platform === 'linux')('runProgram', () => {
  // A wrapper, as version managers put in front of programs, that ends while what it started holds its output.
  function wrapper(): { program: string; file: string } {
    const directory = scratch();
    const [program, file] = [join(directory, 'wrapper'), join(directory, 'pid')];
    writeFileSync(program, `#!/bin/sh\nsh -c 'echo $$ >${file}; exec ${FOR_EVER}'\necho late\n`);
    chmodSync(program, 0o755);
    return { program, file };
  }

  it('ends the program and what it started, at its limit', async () => {
    const { program, file } = wrapper();
    const end = await runProgram(program, [], { timeoutMs: 300 });
    expect(end).toMatchObject({ ok: false, timedOut: true, stdout: '' });
    expect(lives(await pidIn(file))).toBe(false);
  });

  it('ends the program and what it started when it is aborted, and rejects with the reason', async () => {
    const { program, file } = wrapper();
    const stop = new AbortController();
    const running = runProgram(program, [], { signal: stop.signal });
    const told = expect(running).rejects.toBe('SIGTERM');
    const pid = await pidIn(file);
    stop.abort('SIGTERM');
    await told;
    expect(lives(pid)).toBe(false);
  });
});

describe.runIf(process.platform === 'linux')('gitCommit', () => {
  it('answers in time, whatever git has started', async () => {
    const directory = scratch();
    const file = join(directory, 'pid');
    writeFileSync(
      join(directory, 'git'),
      `#!/bin/sh\ntrap '' TERM\nsh -c 'echo $$ >>${file}; exec ${FOR_EVER}'\n`,
    );
    chmodSync(join(directory, 'git'), 0o755);
    writeFileSync(join(directory, '.git'), '');
    const { PATH } = process.env;
    process.env.PATH = `${directory}:${PATH}`;
    try {
      const from = performance.now();
      expect(await gitCommit(directory, process.env)).toBe(null);
      expect(performance.now() - from).toBeLessThan(20_000);
    } finally {
      process.env.PATH = PATH;
    }
    const pids = readFileSync(file, 'utf8').trim().split('\n').map(Number);
    expect(pids).toHaveLength(1);
    while (pids.some(lives)) await delay(5);
  });
});

describe.runIf(process.platform === 'linux')('qrun', () => {
  const start = async (root: string): Promise<void> => {
    expect((await startQrun(['unit', 'u', '-q'], { cwd: root })).exitCode).toBe(0);
  };

  it('ends the command of --then with itself, and frees the lock of the sweep only then', async () => {
    const root = tree({ 'qrun.toml': '', 'u/a.sql': 'SELECT 1 AS v' });
    roots.push(root);
    await start(root);
    const file = join(root, 'pid');
    const then = `sh -c 'trap "sleep 0.2; echo saved >>${root}/order; exit" TERM; echo $$ >${file}; while :; do sleep 0.05; done'; echo late`;
    const running = startQrun(['audit-all', '.', '--then', then], { cwd: root });
    const pid = await pidIn(file);
    left.push(pid);
    const waiting = startQrun(['audit-all', '.', '--then', `echo next >>${root}/order`], { cwd: root });
    running.kill('SIGTERM');
    const ended = endOf(await running);
    expect(ended.code).toBe(143);
    expect(ended.stdout).not.toContain('late');
    expect(lives(pid)).toBe(false);
    expect((await waiting).exitCode).toBe(0);
    expect(readFileSync(join(root, 'order'), 'utf8')).toBe('saved\nnext\n');
  });

  it('stops all of the command of a job, not its shell alone', async () => {
    const command = `sh -c 'echo $$ >pid; exec ${FOR_EVER}'; echo late`;
    const root = tree({ 'jobs.toml': `name = "j"\ncommand = ["sh", "-c", ${JSON.stringify(command)}]\n` });
    roots.push(root);
    const running = startQrun(['job', '--config', 'jobs.toml', '--name', 'j'], { cwd: root });
    const pid = await pidIn(join(root, 'pid'));
    left.push(pid);
    running.kill('SIGTERM');
    const ended = endOf(await running);
    expect(ended.code).toBe(143);
    expect(lives(pid)).toBe(false);
    const lease = await FileLock.open(join(root, 'results/j.log.lease'));
    expect(await lease.tryAcquire()).toBe(true);
    lease.close();
  });
});
