import { chmodSync, existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { QueueTask } from '../../src/core/queue/queue.js';
import type { Pueue } from '../../src/io/queue/pueue/client.js';
import { ROOT } from '../built.js';
import { type Ended, put, qrun, records, removeTree, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

// A job that goes on when its file `go` is there, with the code that the file holds (which may be there before its content).
const WAITING = `#!/bin/sh
echo "$QRUN_PARAM_X $WINDOW" >>started
while ! [ -s "go-$QRUN_PARAM_X" ]; do sleep 0.02; done
exit "$(cat "go-$QRUN_PARAM_X")"
`;

// Each test waits for a dozen processes; pueue looks every 300 ms.
const SLOW = { timeout: 180_000 };

describe.skipIf(!pueueAvailable() && !servicesRequired())('process-all, on a real daemon', SLOW, () => {
  let daemon: PueueDaemon;
  let pueue: Pueue;
  const trees: string[] = [];
  beforeAll(async () => {
    daemon = await startPueueDaemon();
    pueue = await daemon.client();
  });
  afterAll(() => daemon.stop());
  afterEach(async () => {
    // What a test left; some of it may end by itself at this moment.
    for (const { id, phase } of await tasks()) {
      if (phase === 'done') continue;
      await daemon.pueue(phase === 'running' ? 'kill' : 'remove', String(id)).catch(() => undefined);
    }
    for (const root of trees.splice(0)) removeTree(root);
  });

  function sweep(files: Readonly<Record<string, string>>): string {
    const root = realpathSync(tree(files));
    trees.push(root);
    return root;
  }

  function waitingSweep(name: string, values: string, more = ''): string {
    const toml = `name = "${name}"\ncommand = ["sh", "job.sh"]\n${more}[matrix]\nx = ${values}\n[env]\nWINDOW = 30\n`;
    return sweep({ 'jobs.toml': toml, 'job.sh': WAITING });
  }

  const run = (root: string, ...args: string[]): Promise<Ended> =>
    qrun(['process-all', 'jobs.toml', ...args], { cwd: root, env: daemon.env });

  async function submit(root: string, ...args: string[]): Promise<Record<string, unknown>> {
    const ended = await run(root, '--json', ...args);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    return JSON.parse(ended.stdout) as Record<string, unknown>;
  }

  async function tasks(): Promise<readonly QueueTask[]> {
    return (await pueue.state()).tasks;
  }

  async function until<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
    for (;;) {
      const found = await look();
      if (found !== undefined) return found;
      await delay(20);
    }
  }

  const ended = (label: string): Promise<QueueTask> =>
    until(async () => (await tasks()).findLast(task => task.label === label && task.phase === 'done'));

  const started = (root: string, count: number): Promise<string[]> =>
    until(() => {
      const path = join(root, 'started');
      const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
      return lines.length >= count ? lines : undefined;
    });

  it('submits each job once, however often and with whatever is queued, running or done', async () => {
    const root = waitingSweep('once', '[1, 2, 3]');
    const first = await submit(root, '--parallel', '2');
    expect(first).toMatchObject({
      submitted: ['once@x=1', 'once@x=2', 'once@x=3'],
      group: 'qrun-once',
      slots: 2,
      check: 'submitted',
    });
    await started(root, 2);
    const again = await submit(root);
    expect(again).toMatchObject({
      submitted: [],
      running: ['once@x=1', 'once@x=2'],
      queued: ['once@x=3'],
      done: [],
    });
    expect((await tasks()).filter(task => task.label.startsWith('qrun-job:once:'))).toHaveLength(4);
    put(root, 'go-1', '0');
    await ended('qrun-job:once:once@x=1');
    expect(await submit(root)).toMatchObject({ submitted: [], done: ['once@x=1'] });
    for (const n of [2, 3]) put(root, `go-${n}`, '0');
    const audit = await ended('qrun-job:once:#audit');
    expect(audit.end).toEqual({ kind: 'success' });
    expect((await started(root, 3)).length).toBe(3);
    expect(await submit(root)).toMatchObject({ submitted: [], check: 'not due' });
    expect((await run(root)).stdout).toMatch(/done +3 {2}once@x=1, once@x=2, once@x=3\n/);
  });

  it('checks behind the jobs, also when one failed, and waits for those that still run', async () => {
    const root = waitingSweep('checked', '[1, 2]');
    await submit(root, '--parallel', '2');
    await started(root, 2);
    put(root, 'go-1', '7');
    expect((await ended('qrun-job:checked:checked@x=1')).end).toEqual({ kind: 'failed', exitCode: 20 });
    await until(async () =>
      (await tasks()).find(({ label, phase }) => label === 'qrun-job:checked:#audit' && phase === 'running'),
    );
    const [audit] = (await tasks()).filter(task => task.label === 'qrun-job:checked:#audit');
    await until(() =>
      daemon.taskLog(audit?.id ?? '').includes('waiting for 1 of the sweep to end: checked@x=2')
        ? true
        : undefined,
    );
    put(root, 'go-2', '0');
    const end = await ended('qrun-job:checked:#audit');
    expect(end.end).toEqual({ kind: 'failed', exitCode: 20 });
    const said = daemon.taskLog(end.id);
    expect(said).toMatch(/done +1 {2}checked@x=2\n/);
    expect(said).toContain('checked@x=1 (exit 7, attempt 1)');
    put(root, 'go-1', '0');
    expect(await submit(root)).toMatchObject({ submitted: ['checked@x=1'], done: ['checked@x=2'] });
    expect((await ended('qrun-job:checked:checked@x=1')).end).toEqual({ kind: 'success' });
    expect(await run(root, '--check')).toMatchObject({ code: 0 });
  });

  it('runs what was submitted, whatever becomes of jobs.toml meanwhile', async () => {
    const root = waitingSweep('fixed', '[1, 2]');
    await submit(root, '--parallel', '1');
    await started(root, 1);
    put(root, 'jobs.toml', 'name = "fixed"\ncommand = ["false"]\n[matrix]\nx = [1, 2]\n');
    for (const n of [1, 2]) put(root, `go-${n}`, '0');
    expect((await ended('qrun-job:fixed:fixed@x=2')).end).toEqual({ kind: 'success' });
    expect(await started(root, 2)).toEqual(['1 30', '2 30']);
    // Recorded for other inputs, so that it is due now.
    expect((await run(root, '--check')).stdout).toMatch(/missing +2 /);
  });

  it('finds its jobs by label, though pueue gives their numbers to others', async () => {
    const root = waitingSweep('recycled', '[1]');
    put(root, 'go-1', '3');
    await submit(root);
    const { id } = await ended('qrun-job:recycled:recycled@x=1');
    await ended('qrun-job:recycled:#audit');
    await daemon.pueue('clean', '-g', 'qrun-recycled');
    const other: string[] = [];
    // Other people's tasks, until one of them has the number.
    while (!other.includes(String(id))) {
      other.push((await daemon.pueue('add', '--print-task-id', '--', 'sleep 600')).trim());
      if (Number(other.at(-1)) > Number(id)) throw new Error('the number was not given again');
    }
    put(root, 'go-1', '0');
    expect(await submit(root)).toMatchObject({ submitted: ['recycled@x=1'], running: [], queued: [] });
    expect((await ended('qrun-job:recycled:recycled@x=1')).end).toEqual({ kind: 'success' });
    for (const task of other) await daemon.pueue('kill', task);
  });

  it('knows a task that pueue cloned by its restart, and nothing of its old end', async () => {
    const root = waitingSweep('cloned', '[1]');
    put(root, 'go-1', '3');
    await submit(root);
    const first = await ended('qrun-job:cloned:cloned@x=1');
    await ended('qrun-job:cloned:#audit');
    rmSync(join(root, 'go-1'));
    await daemon.pueue('restart', String(first.id));
    await started(root, 2);
    // The failed one is there too, finished, with the same label.
    expect(await submit(root)).toMatchObject({ submitted: [], running: ['cloned@x=1'] });
    expect((await run(root, '--check')).stdout).toMatch(/running +1 {2}cloned@x=1\n/);
    put(root, 'go-1', '0');
    await until(async () => ((await run(root, '--check')).code === 0 ? true : undefined));
    const runs = records(readFileSync(join(root, 'results', 'cloned@x=1.runs')));
    expect(runs.map(entry => entry.attempt ?? entry.exit_code)).toEqual([1, 3, 2, 0]);
    expect(new Set(runs.map(entry => entry.run)).size).toBe(2);
  });

  it('never submits a job twice, however many submit at once', async () => {
    const root = waitingSweep('race', '[1, 2, 3]');
    // What pueue says is given to each submitter only when both have asked (or, as it should be, when the other one
    // has not come to that for a second), so that without a lock both would act on the same state.
    put(
      root,
      'bin/pueue',
      `#!/bin/sh
PATH=\${PATH#*:}
[ "$1" = status ] || exec pueue "$@"
said=$(pueue "$@")
echo >>'${root}/asked'
for n in $(seq 50); do [ "$(wc -l <'${root}/asked')" -lt 2 ] || break; sleep 0.02; done
printf %s "$said"
`,
    );
    chmodSync(join(root, 'bin', 'pueue'), 0o755);
    const env = { ...daemon.env, PATH: `${join(root, 'bin')}:${daemon.env.PATH}` };
    const submitOne = (): Promise<Ended> =>
      qrun(['process-all', '--json', '--parallel=1'], { cwd: root, env });
    const reports = await Promise.all([submitOne(), submitOne()]);
    expect(reports.map(report => report.code)).toEqual([0, 0]);
    expect(reports.flatMap(({ stdout }) => JSON.parse(stdout).submitted)).toHaveLength(3);
    const labels = (await tasks())
      .map(task => task.label)
      .filter(label => label.startsWith('qrun-job:race:race'));
    expect(labels.sort()).toEqual([1, 2, 3].map(n => `qrun-job:race:race@x=${n}`));
    for (const n of [1, 2, 3]) put(root, `go-${n}`, '0');
    await ended('qrun-job:race:#audit');
  });

  it('says that a group is paused, and starts it when asked', async () => {
    const root = waitingSweep('paused', '[1]');
    put(root, 'go-1', '0');
    await daemon.pueue('group', 'add', 'qrun-paused');
    await daemon.pueue('pause', '-g', 'qrun-paused');
    expect((await run(root)).stdout).toContain('the group qrun-paused is paused');
    expect(await submit(root, '--resume-group')).toMatchObject({ group_paused: false });
    expect((await ended('qrun-job:paused:#audit')).end).toEqual({ kind: 'success' });
    // What is done can be asked for again, and is then done again once.
    expect(await submit(root)).toMatchObject({ submitted: [], done: ['paused@x=1'] });
    expect(await submit(root, '--rerun=all')).toMatchObject({ submitted: ['paused@x=1'], done: [] });
    expect(await started(root, 2)).toHaveLength(2);
    await until(async () => ((await run(root, '--check')).code === 0 ? true : undefined));
  });

  it('puts no secret where pueue stores it, and gives it to the job all the same', async () => {
    const root = sweep({
      'jobs.toml': 'name = "secret"\ncommand = ["sh", "-c", "echo $DB_PASSWORD >got"]\n',
      '.env': 'DB_PASSWORD=never-stored\n',
    });
    await submit(root);
    await ended('qrun-job:secret:#audit');
    expect(readFileSync(join(root, 'got'), 'utf8')).toBe('never-stored\n');
    expect(daemon.savedState()).not.toContain('never-stored');
    expect(readFileSync(join(root, 'results', 'secret.runs'), 'utf8')).not.toContain('never-stored');
  });

  it('shares name, directory and even ids with a sweep of units, and neither waits for nor shows the other', async () => {
    const root = waitingSweep('shared', '[1]');
    put(root, 'qrun.toml', '[sweep]\nname = "shared"\n[sweep.matrix]\nx = [1]\n');
    // The unit's id is the job's name.
    put(root, 'shared/q.sql', 'SELECT {x:UInt8} AS x');
    await submit(root, '--parallel', '3');
    await started(root, 1);
    const submitUnits = () => qrun(['submit-all', '--json'], { cwd: root, env: daemon.env });
    const units = await submitUnits();
    expect({ code: units.code, stderr: units.stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(units.stdout)).toMatchObject({ submitted: ['shared@x=1'], running: [], queued: [] });
    // Its audit ends while the job still runs, and the check of the jobs has not.
    expect((await ended('qrun:shared:#audit')).end).toEqual({ kind: 'success' });
    const status = await qrun(['status', '--json'], { cwd: root, env: daemon.env });
    expect(JSON.parse(status.stdout)).toMatchObject({
      units: [{ unit: 'shared@x=1', state: 'complete' }],
      audit: { state: 'done', verdict: 'complete' },
    });
    expect(await submit(root)).toMatchObject({ submitted: [], running: ['shared@x=1'] });
    expect(JSON.parse((await submitUnits()).stdout)).toMatchObject({
      submitted: [],
      complete: ['shared@x=1'],
    });
    put(root, 'go-1', '0');
    expect((await ended('qrun-job:shared:#audit')).end).toEqual({ kind: 'success' });
  });

  it('knows the tasks that version 0.1.0 added, and submits none of them again', async () => {
    const root = waitingSweep('upgrade', '[1, 2]');
    await daemon.pueue('group', 'add', 'qrun-upgrade');
    await daemon.pueue('pause', '-g', 'qrun-upgrade');
    await submit(root);
    // As they were then: the same commands, and the labels that units have.
    for (const { id, label, ...task } of (await tasks()).filter(({ group }) => group === 'qrun-upgrade')) {
      await daemon.pueue('remove', String(id));
      const { command, directory, group } = task;
      const priority = label.endsWith('#audit') ? -1 : 0;
      await daemon.pueue(
        ...['add', `--working-directory=${directory}`, `--group=${group}`, `--priority=${priority}`],
        ...[`--label=${label.replace('qrun-job:', 'qrun:')}`, '--', command],
      );
    }
    await daemon.pueue('start', '-g', 'qrun-upgrade');
    await started(root, 1);
    expect(await submit(root)).toMatchObject({
      submitted: [],
      running: ['upgrade@x=1'],
      queued: ['upgrade@x=2'],
      check: 'waiting',
    });
    // A sweep of that name does not take them for its own.
    put(root, 'qrun.toml', '[sweep]\nname = "upgrade"\n[sweep.matrix]\nx = [1]\n');
    put(root, 'upgrade/q.sql', 'SELECT {x:UInt8} AS x');
    const dry = await qrun(['submit-all', '--dry-run', '--json'], { cwd: root, env: daemon.env });
    expect(JSON.parse(dry.stdout)).toMatchObject({ submitted: ['upgrade@x=1'], running: [], queued: [] });
    for (const n of [1, 2]) put(root, `go-${n}`, '0');
    expect((await ended('qrun:upgrade:#audit')).end).toEqual({ kind: 'success' });
  });

  it('ends with 26 when there is no daemon, and writes nothing into pueue', async () => {
    const root = waitingSweep('nowhere', '[1]');
    const gone = await qrun(['process-all'], { cwd: root, env: { ...daemon.env, PATH: '/nonexistent' } });
    expect(gone).toMatchObject({ code: 26, stdout: '' });
    expect(gone.stderr).toContain('there is no program pueue in PATH');
    expect(gone.stderr).not.toContain('    at ');
  });

  describe('the example of the documentation', () => {
    const doc = readFileSync(join(ROOT, 'docs', 'process-jobs.md'), 'utf8');
    const block = (language: string): string =>
      new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(doc)?.[1] ?? '';

    it('goes on from its checkpoints after a kill, and leaves what is done alone', async () => {
      const root = sweep({ 'jobs.toml': block('toml'), 'job.py': block('python') });
      const names = ['BTCUSDT', 'ETHUSDT'].flatMap(symbol =>
        [250, 500].map(threshold => `features@symbol=${symbol},threshold=${threshold}`),
      );
      await submit(root, '--parallel', '2');
      const step = (name: string): number => {
        const path = join(root, 'results', `${name}.checkpoint.json`);
        return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as { step: number }).step : 0;
      };
      // In the middle of the second pair: two are done, two have come some way.
      await until(() => (names.slice(2).every(name => step(name) >= 5) ? true : undefined));
      await daemon.pueue('kill', '-g', 'qrun-features');
      await ended(`qrun-job:features:${names[3]}`);
      await ended(`qrun-job:features:${names[2]}`);
      const before = names.map(step);
      expect(before.slice(0, 2)).toEqual([40, 40]);
      for (const reached of before.slice(2)) expect(reached).toBeLessThan(40);
      const check = await run(root, '--check', '--json');
      expect(check.code).toBe(20);
      expect(JSON.parse(check.stdout)).toMatchObject({
        done: names.slice(0, 2),
        interrupted: names.slice(2),
      });

      const again = await submit(root, '--resume-group');
      expect(again).toMatchObject({ submitted: names.slice(2), done: names.slice(0, 2) });
      await until(async () => ((await run(root, '--check')).code === 0 ? true : undefined));
      names.forEach((name, index) => {
        const log = readFileSync(join(root, 'results', `${name}.log`), 'utf8');
        const begins = [...log.matchAll(/begins at step (\d+)/g)].map(match => Number(match[1]));
        expect(begins).toHaveLength(index < 2 ? 1 : 2);
        if (index >= 2) expect(begins[1]).toBe(before[index]);
        const threshold = Number(/threshold=(\d+)/.exec(name)?.[1]);
        expect(log).toContain(`sum ${40 * threshold}`);
        expect(log.match(/ sum /g)).toHaveLength(1);
        const runs = records(readFileSync(join(root, 'results', `${name}.runs`)));
        expect(runs.map(entry => entry.event)).toEqual(
          index < 2 ? ['start', 'end'] : ['start', 'start', 'end'],
        );
        expect(runs.at(-1)).toMatchObject({ exit_code: 0 });
      });
    });
  });
});
