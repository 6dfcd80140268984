import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { CAN_MOUNT, withSmallDisk } from '../machine/processes.js';
import {
  type Ended,
  endAll,
  put,
  qrun,
  records,
  removeTree,
  type Started,
  startQrun,
  tree,
} from '../qrun.js';

const JOB = 'j@x=1';

function toml(script: string, more = ''): string {
  return `name = "j"\ncommand = ["sh", "-c", ${JSON.stringify(script)}]\n${more}[matrix]\nx = [1]\n`;
}

describe('qrun job', () => {
  let root = '';
  afterEach(() => {
    endAll();
    removeTree(root);
  });
  afterAll(endAll);

  const args = (...more: string[]): string[] => ['job', '--config', 'jobs.toml', '--name', JOB, ...more];
  const run = (...more: string[]): Promise<Ended> => qrun(args(...more), { cwd: root });
  const file = (suffix: string): string => join(root, 'results', `${JOB}${suffix}`);
  const read = (suffix: string): string => readFileSync(file(suffix), 'utf8');
  const state = (): Record<string, unknown>[] => records(read('.runs'));

  async function appeared(path: string): Promise<void> {
    while (!existsSync(path)) await delay(10);
  }

  /** Resolves when a process has ended, whoever its parent is. */
  async function gone(pid: number): Promise<void> {
    while (existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) {
      await delay(10);
    }
  }

  it('runs a command once, with its parameters, in its directory, with an empty stdin', async () => {
    root = tree({
      'jobs.toml': toml(
        'cat; pwd; echo $QRUN_PARAM_X $QRUN_JOB $QRUN_CHECKPOINT $W; echo err >&2',
        '',
      ).concat('[env]\nW = "plain"\n'),
    });
    const first = await qrun(['job', '--config', join(root, 'jobs.toml'), '--name', JOB], { cwd: '/' });
    const printed = `${root}\n1 ${JOB} ${file('.checkpoint.json')} plain\nerr\n`;
    expect(first).toMatchObject({ code: 0, stdout: printed });
    expect(first.stderr).toMatch(/^j@x=1: done in /);
    const [start, end] = state();
    expect(start).toMatchObject({ event: 'start', job: JOB, attempt: 1, parameters: { x: '1' } });
    expect(end).toMatchObject({ event: 'end', run: start?.run, exit_code: 0, stopped_by: null });
    expect(read('.log').slice(start?.log_from as number, end?.log_to as number)).toBe(printed);
    const again = await run();
    expect(again).toMatchObject({ code: 0, stdout: '', stderr: `${JOB}: is done already\n` });
    expect(state()).toHaveLength(2);
  });

  it('keeps checkpoint, state and log after success: they are what says that it is done', async () => {
    root = tree({ 'jobs.toml': toml('echo 5 >"$QRUN_CHECKPOINT"') });
    expect((await run()).code).toBe(0);
    const files = readdirSync(join(root, 'results')).sort();
    expect(files).toEqual([`${JOB}.checkpoint.json`, `${JOB}.log`, `${JOB}.log.lease`, `${JOB}.runs`]);
    expect((await run()).stderr).toContain('is done already');
    // Without the state nothing says so any more.
    renameSync(file('.runs'), file('.elsewhere'));
    expect((await run()).stderr).toContain('done in');
  });

  it('tells of a failed command by its own code, and runs it again', async () => {
    root = tree({ 'jobs.toml': toml('exit "$(cat code)"'), code: '7' });
    const failed = await run();
    expect(failed.code).toBe(20);
    expect(failed.stderr).toContain(`qrun: the job ${JOB} failed: its command ended with 7\n`);
    expect(failed.stderr).toContain(file('.log'));
    put(root, 'code', '0');
    expect((await run()).code).toBe(0);
    expect(state().map(({ event, attempt, exit_code }) => [event, attempt ?? exit_code])).toEqual([
      ['start', 1],
      ['end', 7],
      ['start', 2],
      ['end', 0],
    ]);
  });

  it('does not take what an earlier run printed for its own end', async () => {
    root = tree({ 'jobs.toml': toml('echo done, all of it; touch said; [ -e go ] || sleep 600') });
    const child = startQrun(args(), { cwd: root });
    await appeared(join(root, 'said'));
    process.kill(commandOf(child), 'SIGKILL');
    expect((await child).exitCode).toBe(137);
    expect(read('.log')).toContain('done, all of it');
    put(root, 'go', '');
    expect((await run()).stderr).toContain('done in');
    const starts = state().filter(({ event }) => event === 'start');
    const ends = state().filter(({ event }) => event === 'end');
    expect(ends.map(({ exit_code, signal }) => [exit_code, signal])).toEqual([
      [null, 'SIGKILL'],
      [0, null],
    ]);
    // Each run has its own part of the log.
    for (const [index, entry] of starts.entries()) {
      const part = read('.log').slice(entry.log_from as number, ends[index]?.log_to as number);
      expect(part).toBe('done, all of it\n');
    }
  });

  it('is held by its command when qrun is killed, and goes on from the checkpoint after it', async () => {
    root = tree({
      'jobs.toml': toml(
        'echo $$ >pid; [ -e "$QRUN_CHECKPOINT" ] || { echo 1 >"$QRUN_CHECKPOINT"; exec sleep 600; }',
      ),
    });
    const child = startQrun(args(), { cwd: root });
    await appeared(file('.checkpoint.json'));
    const pid = Number(readFileSync(join(root, 'pid'), 'utf8'));
    child.kill('SIGKILL');
    await child;
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    const second = await run();
    expect(second.code).toBe(22);
    expect(second.stderr).toContain(`the job "${JOB}" is running: pid ${child.pid}`);
    process.kill(pid, 'SIGKILL');
    await gone(pid);
    expect((await run()).code).toBe(0);
    expect(state().map(({ event, attempt }) => [event, attempt])).toEqual([
      ['start', 1],
      ['start', 2],
      ['end', undefined],
    ]);
  });

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('passes %s on and ends with %i, even if the command then ends with 0', async (signal, code) => {
    root = tree({
      'jobs.toml': toml("trap 'echo saved; exit 0' TERM INT HUP; touch ready; while :; do sleep 0.02; done"),
    });
    const child = startQrun(args(), { cwd: root });
    await appeared(join(root, 'ready'));
    child.kill(signal);
    const ended = await child;
    expect(ended.exitCode).toBe(code);
    expect(ended.stdout).toBe('saved\n');
    expect(state().at(-1)).toMatchObject({ event: 'end', exit_code: 0, stopped_by: signal });
    const check = await qrun(['process-all', '--check'], { cwd: root });
    expect(check.code).toBe(20);
    expect(check.stdout).toMatch(/interrupted +1 /);
  });

  it('starts afresh when its inputs changed, and keeps the old checkpoint under another name', async () => {
    const script = 'cat "$QRUN_CHECKPOINT" 2>/dev/null; echo $W >"$QRUN_CHECKPOINT"; exit $W';
    root = tree({ 'jobs.toml': `${toml(script)}[env]\nW = 5\n` });
    expect((await run()).stdout).toBe('');
    // The same inputs: it goes on.
    expect((await run()).stdout).toBe('5\n');
    put(root, 'jobs.toml', `${toml(script)}[env]\nW = 0\n`);
    const changed = await run();
    expect(changed).toMatchObject({ code: 0, stdout: '' });
    const aside = readdirSync(join(root, 'results')).filter(name =>
      name.includes('.checkpoint.json.before-'),
    );
    expect(aside).toHaveLength(1);
    expect(changed.stderr).toContain(`its old checkpoint is ${join(root, 'results', aside[0] ?? '')}`);
    expect(readFileSync(join(root, 'results', aside[0] ?? ''), 'utf8')).toBe('5\n');
    expect(await run()).toMatchObject({ code: 0, stderr: `${JOB}: is done already\n` });
    const repeated = await run('--rerun-before', new Date().toISOString());
    expect(repeated).toMatchObject({ code: 0, stdout: '' });
  });

  it('says what cannot be started', async () => {
    root = tree({ 'jobs.toml': 'name = "j"\ncommand = ["no-such-program"]\n[matrix]\nx = [1]\n' });
    const ended = await run();
    expect(ended.code).toBe(20);
    expect(ended.stderr).toContain('its command cannot be started (ENOENT)');
  });

  it('runs without its cap where there is no systemd-run, and says so once', async () => {
    root = tree({ 'jobs.toml': toml(':', 'memory_max = "1G"\n') });
    // sh must be found, systemd-run must not.
    put(root, 'bin/sh', '#!/bin/sh\nexec /bin/sh "$@"\n');
    const path = join(root, 'bin', 'sh');
    const { chmodSync } = await import('node:fs');
    chmodSync(path, 0o755);
    const ended = await qrun(args(), { cwd: root, env: { PATH: join(root, 'bin') } });
    expect(ended.code).toBe(0);
    expect(ended.stderr.match(/runs without its memory cap of 1G: there is no systemd-run/g)).toHaveLength(1);
  });

  it.runIf(CAN_MOUNT)('ends with 23 on a full disk, and is not done', async () => {
    root = tree({});
    // The command ignores that its output is lost, and there is room left for a short record.
    await withSmallDisk(async disk => {
      put(root, 'jobs.toml', `results = "${disk}/r"\n${toml('head -c 2000000 /dev/zero; true')}`);
      const ended = await run();
      expect(ended.code).toBe(23);
      expect(ended.stderr).toMatch(/qrun: cannot write .*: ENOSPC/);
      expect((await qrun(['process-all', '--check'], { cwd: root })).code).toBe(20);
    });
  });

  it.each([
    [['--name', 'j@x=2', '--config', 'jobs.toml'], 'j has no job "j@x=2"'],
    [['--name', JOB, '--config', 'nowhere.json'], 'cannot be read'],
    [['--name', JOB, '--config', 'jobs.toml', '--rerun-before', 'now'], '--rerun-before now: must be a time'],
    [['--name', JOB, '--config', 'changed.json'], 'is not what qrun process-all stored'],
  ])('%j is refused before anything is made', async (words, message) => {
    root = tree({ 'jobs.toml': toml(':'), 'changed.json': '{"schema":1,"jobs":[]}' });
    const ended = await qrun(['job', ...words], { cwd: root });
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(message);
    expect(existsSync(join(root, 'results'))).toBe(false);
  });

  /** The process of the command: the one child that qrun has. */
  function commandOf(child: Started): number {
    const path = `/proc/${child.pid}/task/${child.pid}/children`;
    return Number(readFileSync(path, 'utf8').trim().split(' ')[0]);
  }
});
