import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AutoscaleRequest, autoscale } from '../../src/app/machine/autoscale.js';
import type { HostFacts } from '../../src/io/machine/host.js';
import { HostMeter } from '../../src/io/machine/host.js';
import type { Pueue } from '../../src/io/queue/pueue/client.js';
import { ROOT } from '../built.js';
import { endAll, endOf, qrun, removeTree, startQrun, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

vi.setConfig({ testTimeout: 120_000 });

const IDLE = { cpuPercent: 5, memoryPercent: 5, load1: 0.1, cores: 8, swapPages: { in: 0, out: 0 } };

describe.skipIf(!pueueAvailable() && !servicesRequired())('qrun autoscale, on a real pueue', () => {
  let daemon: PueueDaemon;
  let pueue: Pueue;
  let root = '';
  beforeEach(async () => {
    root = tree({});
    daemon = await startPueueDaemon();
    pueue = await daemon.client();
    await pueue.addGroup('qrun-s', 2);
  });
  afterEach(async () => {
    endAll();
    await daemon.stop();
    removeTree(root);
  });

  /** Tasks that run until the daemon ends; resolves when as many run as may. */
  async function fill(group: string, count: number, label = 'qrun:s:u'): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      await pueue.add([{ argv: ['sleep', '600'], directory: root, group, label: `${label}${n}` }]);
    }
    await running(group);
  }

  async function running(group: string): Promise<void> {
    await vi.waitFor(
      async () => {
        const { tasks, groups } = await pueue.state();
        const started = tasks.filter(task => task.group === group && task.phase === 'running');
        expect(started).toHaveLength(groups.get(group)?.slots ?? -1);
      },
      { timeout: 30_000, interval: 50 },
    );
  }

  /** Rounds on this daemon and a machine of the test's making; `between` runs in place of each wait. */
  async function rounds(
    between: readonly (() => Promise<void>)[],
    host: () => Partial<HostFacts> = () => ({}),
    more: Partial<AutoscaleRequest> = {},
  ): Promise<string[]> {
    const told: string[] = [];
    const stop = new AbortController();
    const facts = await new HostMeter({ delay: async () => {} }).read();
    const script = [...between];
    let nowMs = 0;
    const work = autoscale(
      {
        queue: pueue,
        host: async () => ({ ...facts, ...IDLE, memoryAvailableBytes: 64e9, ...host() }),
        exceptions: async () => undefined,
        monotonicMs: () => nowMs,
        delay: async ms => {
          nowMs += ms;
          const next = script.shift();
          if (next === undefined) stop.abort('the end of the test');
          else await next();
        },
        onDecision: ({ group, from, to, reason }) => told.push(`${group.name} ${from}>${to} ${reason}`),
        onStepBack: ({ group, from, to }) => told.push(`${group.name} ${from}>${to} back`),
        onNotice: text => told.push(`! ${text}`),
      },
      {
        limits: { min: 1, max: 4, total: 4, memoryPerJobBytes: undefined },
        groups: [],
        loop: true,
        intervalMs: 60_000,
        dryRun: false,
        signal: stop.signal,
        ...more,
      },
    );
    await work.catch(error => {
      if (error !== 'the end of the test') throw error;
    });
    return told;
  }

  const slotsOf = async (group: string) => (await pueue.state()).groups.get(group)?.slots;

  it('gives slots that pueue fills, takes them back under load, and leaves other groups alone', async () => {
    await pueue.addGroup('theirs', 1);
    await fill('theirs', 2, 'backup:');
    await fill('qrun-s', 6);
    let cpuPercent = 5;
    const told = await rounds(
      [
        () => running('qrun-s'),
        () => running('qrun-s'),
        async () => {
          cpuPercent = 95;
        },
      ],
      () => ({ cpuPercent }),
    );
    expect(told).toEqual(['qrun-s 2>3 idle', 'qrun-s 3>4 idle', 'qrun-s 4>4 at max', 'qrun-s 4>3 busy']);
    expect(await slotsOf('qrun-s')).toBe(3);
    expect(await slotsOf('theirs')).toBe(1);
    expect(await slotsOf('default')).toBe(1);
    // Running tasks are never stopped.
    expect(
      (await pueue.state()).tasks.filter(({ phase, group }) => group === 'qrun-s' && phase === 'running'),
    ).toHaveLength(4);
  });

  it('steps back when the machine swaps after a change', async () => {
    await fill('qrun-s', 4);
    let swap = 0;
    const told = await rounds(
      [
        async () => {
          swap = 5;
        },
      ],
      () => ({ swapPages: { in: 0, out: swap } }),
    );
    expect(told).toEqual(['qrun-s 2>3 idle', 'qrun-s 3>2 back']);
    expect(await slotsOf('qrun-s')).toBe(2);
  });

  it('holds paused groups and those with nothing queued', async () => {
    await fill('qrun-s', 2);
    expect(await rounds([])).toEqual(['qrun-s 2>2 nothing queued']);
    await fill('qrun-s', 1);
    await daemon.pueue('pause', '--wait', '--group', 'qrun-s');
    expect(await rounds([])).toEqual(['qrun-s 2>2 paused']);
  });

  it('goes on after a crash of the daemon, which has lost what it had not saved', async () => {
    await fill('qrun-s', 2);
    // They wait for a task that does not end: the new slot stays free, so that nothing makes the daemon save it.
    const first = (await pueue.state()).tasks[0]?.id;
    for (const n of [1, 2]) {
      await daemon.pueue('add', '--group=qrun-s', `--label=qrun:s:w${n}`, `--after=${first}`, '--', 'true');
    }
    const told = await rounds([
      async () => {
        expect(await slotsOf('qrun-s')).toBe(3);
        await daemon.kill();
      },
      // The first wait of the backoff.
      () => daemon.restart(),
    ]);
    expect(told).toEqual([
      'qrun-s 2>3 idle',
      expect.stringMatching(/^! no pueue daemon answers: .*; waiting for it$/),
      '! pueued answers again',
      '! qrun-s: 3 slots were set, but 2 are there (changed by hand, or lost in a crash of pueued); continuing from 2',
      'qrun-s 2>2 paused',
    ]);
  });

  it('as a process: one round, a line of JSON for each decision', async () => {
    await fill('qrun-s', 5);
    const args = ['autoscale', '--once', '--json', '--max', '8', '--memory-per-job', '1M'];
    const { code, stdout, stderr } = await qrun(args, { cwd: root, env: daemon.env });
    expect(code, stderr).toBe(0);
    const lines = stdout.split('\n').filter(Boolean);
    expect(lines).toHaveLength(1);
    const decision = JSON.parse(lines[0] as string) as { from: number; to: number; reason: string };
    expect(decision).toMatchObject({
      group: 'qrun-s',
      from: 2,
      queued: 3,
      running: 2,
      min: 1,
      max: 8,
      total: null,
      memory_per_job_bytes: 1024 ** 2,
      dry_run: false,
    });
    // The machine is as busy as it is: what was decided is what was done.
    const steps = { idle: 3, busy: 1, between: 2 } as Record<string, number>;
    expect(decision.to).toBe(steps[decision.reason]);
    expect(await slotsOf('qrun-s')).toBe(decision.to);
  });

  it('as a process: a dry run sets nothing, --group names groups, text says why', async () => {
    await fill('qrun-s', 3);
    const run = (...args: string[]) => qrun(['autoscale', ...args], { cwd: root, env: daemon.env });
    const dry = await run('--dry-run', '--max', '1', '--group', 'qrun-s');
    expect(dry).toMatchObject({ code: 0, stderr: '' });
    expect(dry.stdout).toMatch(
      /^\d\d:\d\d:\d\d {2}qrun-s {12}2 -> 1 {4}cpu \d+ %.*, memory \d+ %.*, 1 queued, max 1, above its maximum \(dry run: not set\)\n$/,
    );
    expect(await slotsOf('qrun-s')).toBe(2);
    expect(await run('--group', 'nosuch')).toMatchObject({ code: 2, stdout: '' });
    expect((await run('--max', '1', '--group', 'default')).stdout).toMatch(/default .* nothing queued\n$/);
  });

  it('as a process: a loop ends with its signal at once', async () => {
    await fill('qrun-s', 3);
    const child = startQrun(['autoscale', '--loop', '--interval', '10m', '--json'], {
      cwd: root,
      env: daemon.env,
    });
    const [line] = await once(createInterface({ input: child.stdout }), 'line');
    expect(JSON.parse(line as string)).toMatchObject({ group: 'qrun-s' });
    child.kill('SIGINT');
    const end = endOf(await child);
    expect(end).toMatchObject({ code: 130, signal: undefined });
    expect(end.stderr).toMatch(
      /^autoscale: at most (1 slot|\d+ slots) for a group; this machine takes \d+ = /,
    );
  });

  it('as a process: without a daemon a single round fails with 26, and a loop waits', async () => {
    await fill('qrun-s', 3);
    await daemon.kill();
    const alone = await qrun(['autoscale'], { cwd: root, env: daemon.env });
    expect(alone).toMatchObject({ code: 26, stdout: '' });
    expect(alone.stderr).toMatch(/^qrun: no pueue daemon answers/);
    const child = startQrun(['autoscale', '--loop', '--json'], { cwd: root, env: daemon.env });
    const stderr = createInterface({ input: child.stderr });
    const lines = stderr[Symbol.asyncIterator]();
    expect((await lines.next()).value).toMatch(/^autoscale: at most/);
    expect((await lines.next()).value).toMatch(/^autoscale: no pueue daemon answers: .*; waiting for it$/);
    const decided = once(createInterface({ input: child.stdout }), 'line');
    await daemon.restart();
    expect((await lines.next()).value).toBe('autoscale: pueued answers again');
    expect(JSON.parse(String((await decided)[0]))).toMatchObject({ group: 'qrun-s', reason: 'paused' });
    child.kill('SIGTERM');
    expect(endOf(await child)).toMatchObject({ code: 143 });
  });
});

describe('qrun autoscale', () => {
  it.each([
    [['--once', '--loop'], /--once and --loop: give one of them/],
    [['--min', '3', '--max', '2'], /--min 3 is more than --max 2/],
    [['--max', '0'], /--max 0: must be a whole number from 1 to 1024/],
    [['--interval', '10'], /--interval 10: must be a duration of at least 1s/],
    [['--interval', '100ms'], /--interval 100ms: must be a duration of at least 1s/],
    [['--memory-per-job', '8GB'], /--memory-per-job 8GB: must be a size: 512M, 8G, 1.5GiB/],
    [['--cores-per-job', '0'], /--cores-per-job 0: must be a number above 0/],
  ])('refuses %j', async (args, message) => {
    const end = await qrun(['autoscale', ...args], { cwd: ROOT });
    expect(end).toMatchObject({ code: 2, stdout: '' });
    expect(end.stderr).toMatch(message);
  });
});
