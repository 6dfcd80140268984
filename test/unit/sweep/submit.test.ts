import { describe, expect, it } from 'vitest';
import { type SubmitRequest, submitTasks } from '../../../src/app/sweep/submit.js';
import type { NewTask, QueueKind, QueueState } from '../../../src/core/queue/queue.js';
import { fakeQueue, queueState } from '../queue/samples.js';

// The real daemon is in test/services; here it is about what is asked of it, and in which order.
async function submit(
  state: QueueState,
  request: Partial<SubmitRequest> = {},
  adds = Number.POSITIVE_INFINITY,
  calls: string[] = [],
  kind: Partial<QueueKind> = {},
) {
  const added: NewTask[] = [];
  let locked = false;
  let allowed = adds;
  const call = (name: string): void => {
    if (!locked) throw new Error(`${name} without the lock`);
    calls.push(name);
  };
  const report = await submitTasks(
    {
      queue: fakeQueue(
        {
          state: async () => {
            call('state');
            return state;
          },
          addGroup: async (name, slots) => call(`group ${name} ${slots}`),
          setSlots: async (name, slots) => call(`slots ${name} ${slots}`),
          clean: async name => call(`clean ${name}`),
          start: async name => call(`start ${name}`),
          add: async (tasks, onAdded) => {
            for (const task of tasks) {
              allowed -= 1;
              if (allowed < 0) throw new Error('no more');
              call(`add ${task.label}`);
              added.push(task);
              onAdded?.(task);
            }
          },
        },
        kind,
      ),
      lastingQueue: async () => fakeQueue({ add: async ([task]) => void calls.push(`last ${task?.label}`) }),
      locked: async work => {
        locked = true;
        try {
          return await work();
        } finally {
          locked = false;
        }
      },
    },
    {
      kind: 'unit',
      sweep: 's',
      root: '/sweep',
      group: 'qrun-s',
      slots: undefined,
      priority: 0,
      delay: undefined,
      tasks: ['a', 'b'].map(name => ({ name, argv: [name] })),
      follower: { argv: ['audit'], isDue: false },
      resumeGroup: false,
      ...request,
    },
  );
  return { report, calls, added };
}

describe('submitTasks', () => {
  it('looks, makes the group, adds, and puts the audit behind with a lower priority', async () => {
    const { report, calls, added } = await submit(queueState([], { name: 'other' }), {
      priority: 5,
      delay: '60',
    });
    expect(calls).toEqual(['state', 'group qrun-s 1', 'add qrun:s:a', 'add qrun:s:b', 'add qrun:s:#audit']);
    expect(added.map(({ priority, delay, directory }) => [priority, delay, directory])).toEqual([
      [5, '60', '/sweep'],
      [5, '60', '/sweep'],
      [4, '60', '/sweep'],
    ]);
    expect(report).toMatchObject({ submitted: ['a', 'b'], follower: 'submitted', slots: 1 });
  });

  it.each(['queued', 'delayed'] as const)('leaves a label alone that is %s', async phase => {
    const { report } = await submit(queueState([{ phase }]));
    expect(report).toMatchObject({ submitted: ['b'], queued: ['a'], running: [] });
  });

  it.each(['running', 'paused'] as const)('leaves a label alone that is %s', async phase => {
    const { report } = await submit(queueState([{ phase }]));
    expect(report).toMatchObject({ submitted: ['b'], queued: [], running: ['a'] });
  });

  it('asks whether a task is due that has ended since, before it adds it again', async () => {
    const due = new Map([
      ['a', false],
      ['b', true],
      ['c', false],
    ]);
    const tasks = [...due].map(([name, isDue]) => ({ name, argv: ['x'], isDue: async () => isDue }));
    const state = queueState([
      { label: 'qrun:s:a', phase: 'done' },
      { label: 'qrun:s:c', phase: 'running' },
    ]);
    const { report } = await submit(state, { tasks });
    expect(report).toMatchObject({ submitted: ['b'], ended: ['a'], running: ['c'] });
  });

  it('recognises a clone by its label, whatever its id', async () => {
    const { report } = await submit(queueState([{ phase: 'done' }, { phase: 'queued' }]));
    expect(report.queued).toEqual(['a']);
  });

  it('cleans finished tasks before it adds, and again between many', async () => {
    const tasks = Array.from({ length: 1001 }, (_, n) => ({ name: `u${n}`, argv: ['x'] }));
    const { calls } = await submit(queueState([{ phase: 'done' }]), { tasks });
    expect(calls.filter(name => name === 'clean qrun-s')).toHaveLength(3);
    expect(calls.slice(0, 2)).toEqual(['state', 'clean qrun-s']);
  });

  it("never cleans pueue's own group, which is the user's", async () => {
    const state = queueState([{ phase: 'done', group: 'default' }], { name: 'default' });
    const { calls } = await submit(state, { group: 'default' });
    expect(calls.filter(name => name.startsWith('clean'))).toEqual([]);
  });

  it('changes the slots of a group only when it is told to', async () => {
    expect((await submit(queueState([]))).calls).not.toContain('slots qrun-s 2');
    expect((await submit(queueState([]), { slots: 2 })).calls).not.toContain('slots qrun-s 2');
    expect((await submit(queueState([]), { slots: 4 })).calls).toContain('slots qrun-s 4');
  });

  it.each<[string, Parameters<typeof queueState>[0], Partial<SubmitRequest>, string]>([
    ['nothing new and nothing due', [{ label: 'qrun:s:a' }, { label: 'qrun:s:b' }], {}, 'not due'],
    [
      'nothing new and an audit due',
      [{ label: 'qrun:s:a' }, { label: 'qrun:s:b' }],
      { follower: { argv: ['audit'], isDue: true } },
      'submitted',
    ],
    ['an audit that waits', [{ label: 'qrun:s:#audit', command: 'exec audit </dev/null' }], {}, 'waiting'],
    [
      'an audit that runs',
      [{ label: 'qrun:s:#audit', command: 'exec audit </dev/null', phase: 'running' }],
      {},
      'submitted',
    ],
    [
      'an audit of other units, and new ones',
      [{ label: 'qrun:s:#audit', command: 'exec other </dev/null' }],
      {},
      'submitted',
    ],
    [
      'an audit of other units, and no new ones',
      [
        { label: 'qrun:s:#audit', command: 'exec other </dev/null' },
        { label: 'qrun:s:a' },
        { label: 'qrun:s:b' },
      ],
      { follower: { argv: ['audit'], isDue: true } },
      'submitted',
    ],
  ])('with %s', async (_what, tasks, request, audit) => {
    const { report, calls } = await submit(queueState(tasks), request);
    expect(report.follower).toBe(audit);
    expect(calls.filter(name => name === 'add qrun:s:#audit')).toHaveLength(audit === 'submitted' ? 1 : 0);
  });

  it('adds the audit by dependency where the queue has that, behind what was there and what is new', async () => {
    const kind = { last: 'dependency' } as const;
    const state = queueState([
      { label: 'qrun:s:a', phase: 'running' },
      { label: 'qrun:s:z', phase: 'queued' },
      { label: 'qrun:s:y', phase: 'done' },
      { label: 'qrun:other:x', phase: 'queued' },
      { label: 'qrun:s:#audit', command: 'exec audit </dev/null' },
    ]);
    const { added, report } = await submit(state, {}, 9, [], kind);
    expect(added.map(({ label, priority, after }) => [label, priority, after])).toEqual([
      ['qrun:s:b', 0, undefined],
      ['qrun:s:#audit', 0, ['qrun:s:a', 'qrun:s:z', 'qrun:s:b']],
    ]);
    expect(report.follower).toBe('submitted');
    const again = await submit(state, { tasks: [] }, 9, [], kind);
    expect(again.report.follower).toBe('waiting');
  });

  it('asks a queue for nothing but its tasks that can do nothing else', async () => {
    const added: string[] = [];
    const queue = fakeQueue({
      state: async () => queueState([{ phase: 'done' }], { paused: true }),
      add: async tasks => void added.push(...tasks.map(({ label }) => label)),
    });
    const report = await submitTasks(
      { queue, lastingQueue: async () => queue, locked: work => work() },
      {
        ...{ kind: 'unit', sweep: 's', root: '/sweep', group: 'qrun-s', slots: 3, priority: 0 },
        ...{ delay: undefined, resumeGroup: true, tasks: [{ name: 'a', argv: ['a'] }] },
        follower: { argv: ['audit'], isDue: true },
      },
    );
    expect(added).toEqual(['qrun:s:a', 'qrun:s:#audit']);
    expect(report).toMatchObject({ slots: 2, group_paused: true });
  });

  it('adds the audit also when it is broken off, for what runs by then', async () => {
    const calls: string[] = [];
    await expect(submit(queueState([]), {}, 1, calls)).rejects.toThrow('no more');
    expect(calls.slice(-2)).toEqual(['add qrun:s:a', 'last qrun:s:#audit']);
    const none: string[] = [];
    await expect(submit(queueState([]), {}, 0, none)).rejects.toThrow('no more');
    expect(none).toEqual(['state']);
  });

  it('says that a group is paused, and starts it only when it may', async () => {
    const state = queueState([], { paused: true });
    const left = await submit(state);
    expect([left.report.group_paused, left.calls.includes('start qrun-s')]).toEqual([true, false]);
    const started = await submit(state, { resumeGroup: true });
    expect([started.report.group_paused, started.calls.at(-1)]).toEqual([false, 'start qrun-s']);
  });

  it('refuses a sweep of the same name elsewhere, unless that has ended', async () => {
    const elsewhere = { directory: '/other' };
    await expect(submit(queueState([elsewhere]))).rejects.toMatchObject({ code: 'CONFIG' });
    const { report } = await submit(queueState([{ ...elsewhere, phase: 'done' }]));
    expect(report.submitted).toEqual(['a', 'b']);
  });
});
