import { describe, expect, it } from 'vitest';
import {
  type AutoscaleDeps,
  type AutoscaleRequest,
  autoscale,
  groupsOf,
} from '../../../src/app/machine/autoscale.js';
import { QrunError } from '../../../src/core/errors.js';
import { WATCH_MS } from '../../../src/core/machine/autoscale.js';
import type { QueueState, QueueTask, TaskPhase, TaskQueue } from '../../../src/core/queue/queue.js';
import type { HostFacts } from '../../../src/io/machine/host.js';
import { fakeQueue, queueTask } from '../queue/samples.js';

const HOST: HostFacts = {
  cores: 8,
  coresOnline: 8,
  coresQuota: undefined,
  memoryBytes: 64e9,
  machineMemoryBytes: 64e9,
  memoryLimitBytes: undefined,
  memoryAvailableBytes: 50e9,
  memoryPercent: 20,
  swapBytes: 0,
  swapUsedBytes: 0,
  load1: 1,
  cpuPercent: 10,
  swapPages: { in: 0, out: 0 },
  windowMs: 60_000,
  openFiles: 1024,
  unknown: [],
};
const MINUTE = 60_000;

/** A world of one pueue and one machine, in which time passes only while the loop waits. */
class World {
  slots = new Map([['qrun-a', 2]]);
  tasks: QueueTask[] = [];
  paused = new Set<string>();
  host: Partial<HostFacts> = {};
  exceptions: number | undefined;
  readonly askedSeconds: number[] = [];
  readonly told: string[] = [];
  readonly waits: number[] = [];
  readonly stop = new AbortController();
  nowMs = 0;
  down: QrunError | undefined;
  refuse: QrunError | undefined;
  /** What happens before each round, by its number from 1; the loop ends after the last. */
  script: (() => void)[] = [];

  constructor() {
    this.fill('qrun-a', 9);
  }

  fill(group: string, queued: number, label = 'qrun:s:u'): void {
    for (const phase of ['running', 'running', ...Array(queued).fill('queued')] as TaskPhase[]) {
      this.tasks.push(queueTask({ group, label, phase }));
    }
  }

  state(): QueueState {
    const groups = [...this.slots].map(
      ([name, slots]) => [name, { name, slots, paused: this.paused.has(name) }] as const,
    );
    return { tasks: this.tasks, groups: new Map(groups) };
  }

  // Every slot that there is is taken: otherwise nothing would grow.
  private fillSlots(): void {
    for (const [name, slots] of this.slots) {
      const of = this.tasks.filter(({ group }) => group === name);
      of.forEach((task, index) => {
        (task as { phase: TaskPhase }).phase = index < slots ? 'running' : 'queued';
      });
    }
  }

  async run(more: Partial<AutoscaleRequest> = {}, queue?: TaskQueue): Promise<string[]> {
    const deps: AutoscaleDeps = {
      queue:
        queue ??
        fakeQueue({
          state: async () => {
            if (this.down !== undefined) throw this.down;
            this.fillSlots();
            return this.state();
          },
          setSlots: async (group, slots) => {
            if (this.refuse !== undefined) throw this.refuse;
            this.slots.set(group, slots);
          },
        }),
      host: async () => ({ ...HOST, ...this.host }),
      exceptions: async seconds => {
        this.askedSeconds.push(seconds);
        return this.exceptions;
      },
      monotonicMs: () => this.nowMs,
      delay: async ms => {
        this.waits.push(ms);
        this.nowMs += ms;
        const next = this.script.shift();
        if (next === undefined) this.stop.abort('the end of the test');
        else next();
      },
      onDecision: ({ group, from, to, reason }) => this.told.push(`${group.name} ${from}>${to} ${reason}`),
      onStepBack: ({ group, from, to, violations }) =>
        this.told.push(`${group.name} ${from}>${to} back: ${violations.join(', ')}`),
      onNotice: text => this.told.push(`! ${text}`),
    };
    await autoscale(deps, {
      limits: { min: 1, max: 8, total: 8, memoryPerJobBytes: undefined },
      groups: [],
      loop: true,
      intervalMs: MINUTE,
      dryRun: false,
      signal: this.stop.signal,
      ...more,
    }).catch(error => {
      if (error !== 'the end of the test') throw error;
    });
    return this.told;
  }
}

const nothing = () => {};
const DOWN = new QrunError('QUEUE_DOWN', 'no pueue daemon answers');

it('refuses a queue whose slots cannot be moved, before it asks it for anything', async () => {
  const world = new World();
  await expect(world.run({}, fakeQueue({}, { name: 'slurm' }))).rejects.toMatchObject({
    code: 'USAGE',
    message: 'slurm has no slots that can be moved while tasks run',
  });
});

describe('the groups that are moved', () => {
  it('are those of qrun, never default', () => {
    const world = new World();
    world.slots = new Map(['default', 'mine', 'qrun-empty', 'qrun-a', 'theirs'].map(name => [name, 1]));
    world.fill('default', 1);
    world.fill('mine', 1);
    world.fill('theirs', 1, 'backup');
    expect(groupsOf(world.state(), 'default')).toEqual(['mine', 'qrun-a', 'qrun-empty']);
  });

  it('are exactly the named ones, default among them', async () => {
    const world = new World();
    world.slots.set('default', 1);
    world.fill('default', 5, '');
    expect(await world.run({ groups: ['default'], loop: false })).toEqual(['default 1>2 idle']);
    expect(world.slots.get('qrun-a')).toBe(2);
  });

  it('must exist in a single round, and are waited for in a loop', async () => {
    const world = new World();
    await expect(world.run({ groups: ['nosuch'], loop: false })).rejects.toMatchObject({
      code: 'USAGE',
      message: 'pueue has no group nosuch',
    });
    world.script = [
      nothing,
      () => {
        world.slots.set('nosuch', 1);
        world.fill('nosuch', 2);
      },
    ];
    expect(await world.run({ groups: ['nosuch'] })).toEqual([
      '! pueue has no group nosuch (yet)',
      'nosuch 1>2 idle',
    ]);
  });

  it('are said to be none, once, and tasks in default are pointed out', async () => {
    const world = new World();
    world.tasks = [];
    world.slots = new Map([['default', 1]]);
    world.fill('default', 2);
    world.script = [nothing, nothing];
    const told = await world.run();
    expect(told).toHaveLength(2);
    expect(told[0]).toMatch(/^! pueue has no group of qrun/);
    expect(told[1]).toMatch(/^! pueue's group default holds tasks of qrun/);
    expect(world.slots.get('default')).toBe(1);
  });
});

describe('a loop', () => {
  it('moves a slot a round and stops at the most', async () => {
    const world = new World();
    world.script = [nothing, nothing, () => (world.host = { cpuPercent: 95 }), nothing];
    const told = await world.run({ limits: { min: 1, max: 4, total: 4, memoryPerJobBytes: undefined } });
    expect(told).toEqual([
      'qrun-a 2>3 idle',
      'qrun-a 3>4 idle',
      'qrun-a 4>4 at max',
      'qrun-a 4>3 busy',
      'qrun-a 3>2 busy',
    ]);
    expect(world.waits).toEqual([MINUTE, MINUTE, MINUTE, MINUTE, MINUTE]);
  });

  it('sets nothing in a dry run', async () => {
    const world = new World();
    world.script = [nothing];
    expect(await world.run({ dryRun: true })).toEqual(['qrun-a 2>3 idle', 'qrun-a 2>3 idle']);
    expect(world.slots.get('qrun-a')).toBe(2);
  });

  it('takes what it finds as the new base, and says so', async () => {
    const world = new World();
    world.script = [() => world.slots.set('qrun-a', 7), nothing];
    const told = await world.run();
    expect(told).toEqual([
      'qrun-a 2>3 idle',
      '! qrun-a: 3 slots were set, but 7 are there (changed by hand, or lost in a crash of pueued); continuing from 7',
      'qrun-a 7>8 idle',
      'qrun-a 8>8 at max',
    ]);
  });

  it('waits for a daemon that is away, with backoff, and says so once', async () => {
    const world = new World();
    const away = () => (world.down = DOWN);
    world.script = [away, ...Array(7).fill(nothing), () => (world.down = undefined)];
    expect(await world.run()).toEqual([
      'qrun-a 2>3 idle',
      '! no pueue daemon answers; waiting for it',
      '! pueued answers again',
      'qrun-a 3>4 idle',
    ]);
    expect(world.waits.slice(1, -1)).toEqual([1, 2, 4, 8, 16, 32, 60, 60].map(seconds => seconds * 1000));
  });

  it('does not wait in a single round, nor for anything else', async () => {
    const world = new World();
    world.down = DOWN;
    await expect(world.run({ loop: false })).rejects.toBe(DOWN);
    world.down = new QrunError('QUEUE_UNSUPPORTED', 'version 9');
    await expect(world.run()).rejects.toBe(world.down);
    expect(world.waits).toEqual([]);
  });

  it('goes on when pueue refuses a change, and does not tell of it as done', async () => {
    const world = new World();
    world.refuse = new QrunError('QUEUE_FAILED', 'the group is gone');
    world.script = [() => (world.refuse = undefined)];
    expect(await world.run()).toEqual(['! qrun-a: the group is gone', 'qrun-a 2>3 idle']);
    const once = new World();
    once.refuse = new QrunError('QUEUE_FAILED', 'the group is gone');
    await expect(once.run({ loop: false })).rejects.toBe(once.refuse);
  });
});

describe('the watch after a step up', () => {
  const BACK = 'qrun-a 3>2 back: load 7.5 (must be < 7.2: 0.9 x 8 cores)';

  it('steps back by one on a violation, and the group does not grow for five minutes', async () => {
    const world = new World();
    world.script = [() => (world.host = { load1: 7.5 }), () => (world.host = {}), ...Array(5).fill(nothing)];
    expect(await world.run()).toEqual([
      'qrun-a 2>3 idle',
      BACK,
      ...Array(4).fill('qrun-a 2>2 settling'),
      'qrun-a 2>3 idle',
      'qrun-a 3>4 idle',
    ]);
  });

  it('sees swapping and failed queries since the step', async () => {
    const world = new World();
    world.exceptions = 0;
    world.script = [() => (world.exceptions = 2)];
    expect(await world.run()).toContain('qrun-a 3>2 back: 2 queries failed while running');
    expect(world.askedSeconds).toEqual([60]);
    const other = new World();
    other.script = [() => (other.host = { swapPages: { in: 0, out: 3 } })];
    expect(await other.run()).toContain('qrun-a 3>2 back: 3 pages moved to or from swap');
  });

  it('ends after five minutes', async () => {
    const at = async (afterMs: number) => {
      const world = new World();
      world.script = [
        () => {
          world.nowMs += afterMs - MINUTE;
          world.host = { load1: 7.5, cpuPercent: 50 };
        },
      ];
      return await world.run();
    };
    expect(await at(WATCH_MS)).toContain(BACK);
    expect(await at(WATCH_MS + 1)).toEqual(['qrun-a 2>3 idle', 'qrun-a 3>3 between']);
  });

  it('does not follow a step down, and watches each group for itself', async () => {
    const world = new World();
    world.slots.set('qrun-b', 8);
    world.fill('qrun-b', 20);
    world.script = [() => (world.host = { load1: 7.9, cpuPercent: 50 })];
    const limits = { min: 1, max: 8, total: 99, memoryPerJobBytes: undefined };
    expect(await world.run({ limits })).toEqual([
      'qrun-a 2>3 idle',
      'qrun-b 8>8 at max',
      'qrun-a 3>2 back: load 7.9 (must be < 7.2: 0.9 x 8 cores)',
      'qrun-b 8>8 between',
    ]);
    const down = new World();
    down.host = { cpuPercent: 95, load1: 7.9 };
    down.script = [() => (down.host = { cpuPercent: 50, load1: 7.9 })];
    expect(await down.run()).toEqual(['qrun-a 2>1 busy', 'qrun-a 1>1 between']);
  });

  it('ends with a change by somebody else', async () => {
    const world = new World();
    world.script = [
      () => {
        world.slots.set('qrun-a', 5);
        world.host = { load1: 7.9, cpuPercent: 50 };
      },
    ];
    expect((await world.run()).at(-1)).toBe('qrun-a 5>5 between');
  });
});
