import { describe, expect, it } from 'vitest';
import { type SubmitRequest, submitTasks } from '../../../src/app/sweep/submit.js';
import type { PueueState } from '../../../src/core/queue/pueue-state.js';
import type { NewTask } from '../../../src/io/queue/pueue.js';
import { pueueState } from '../queue/pueue-samples.js';

// The real daemon is in test/services; here it is about what is asked of it, and in which order.
async function submit(
  state: PueueState,
  request: Partial<SubmitRequest> = {},
  adds = Number.POSITIVE_INFINITY,
  calls: string[] = [],
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
      pueue: {
        status: async () => {
          call('status');
          return state;
        },
        addGroup: async (name, slots) => call(`group ${name} ${slots}`),
        setSlots: async (name, slots) => call(`slots ${name} ${slots}`),
        clean: async name => call(`clean ${name}`),
        start: async name => call(`start ${name}`),
        add: async task => {
          allowed -= 1;
          if (allowed < 0) throw new Error('no more');
          call(`add ${task.label}`);
          added.push(task);
          return added.length;
        },
      },
      addLast: async task => {
        calls.push(`last ${task.label}`);
        return 0;
      },
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
      newGroupSlots: 1,
      priority: 0,
      delay: undefined,
      tasks: ['a', 'b'].map(name => ({ name, command: `exec ${name}` })),
      audit: 'exec audit',
      auditDue: false,
      resumeGroup: false,
      ...request,
    },
  );
  return { report, calls, added };
}

describe('submitTasks', () => {
  it('looks, makes the group, adds, and puts the audit behind with a lower priority', async () => {
    const { report, calls, added } = await submit(pueueState([], { name: 'other' }), {
      priority: 5,
      delay: '60',
    });
    expect(calls).toEqual(['status', 'group qrun-s 1', 'add qrun:s:a', 'add qrun:s:b', 'add qrun:s:#audit']);
    expect(added.map(({ priority, delay, directory }) => [priority, delay, directory])).toEqual([
      [5, '60', '/sweep'],
      [5, '60', '/sweep'],
      [4, '60', '/sweep'],
    ]);
    expect(report).toMatchObject({ submitted: ['a', 'b'], audit: 'submitted', slots: 1 });
  });

  it.each(['queued', 'stashed', 'locked'] as const)('leaves a label alone that is %s', async phase => {
    const { report } = await submit(pueueState([{ phase }]));
    expect(report).toMatchObject({ submitted: ['b'], queued: ['a'], running: [] });
  });

  it.each(['running', 'paused'] as const)('leaves a label alone that is %s', async phase => {
    const { report } = await submit(pueueState([{ phase }]));
    expect(report).toMatchObject({ submitted: ['b'], queued: [], running: ['a'] });
  });

  it('asks whether a task is due that has ended since, before it adds it again', async () => {
    const due = new Map([
      ['a', false],
      ['b', true],
      ['c', false],
    ]);
    const tasks = [...due].map(([name, isDue]) => ({ name, command: 'x', isDue: async () => isDue }));
    const state = pueueState([
      { label: 'qrun:s:a', phase: 'done' },
      { label: 'qrun:s:c', phase: 'running' },
    ]);
    const { report } = await submit(state, { tasks });
    expect(report).toMatchObject({ submitted: ['b'], ended: ['a'], running: ['c'] });
  });

  it('recognises a clone by its label, whatever its id', async () => {
    const { report } = await submit(pueueState([{ phase: 'done' }, { phase: 'queued' }]));
    expect(report.queued).toEqual(['a']);
  });

  it('cleans finished tasks before it adds, and again between many', async () => {
    const tasks = Array.from({ length: 1001 }, (_, n) => ({ name: `u${n}`, command: 'x' }));
    const { calls } = await submit(pueueState([{ phase: 'done' }]), { tasks });
    expect(calls.filter(name => name === 'clean qrun-s')).toHaveLength(3);
    expect(calls.slice(0, 2)).toEqual(['status', 'clean qrun-s']);
  });

  it("never cleans pueue's own group, which is the user's", async () => {
    const state = pueueState([{ phase: 'done', group: 'default' }], { name: 'default' });
    const { calls } = await submit(state, { group: 'default' });
    expect(calls.filter(name => name.startsWith('clean'))).toEqual([]);
  });

  it('changes the slots of a group only when it is told to', async () => {
    expect((await submit(pueueState([]))).calls).not.toContain('slots qrun-s 2');
    expect((await submit(pueueState([]), { slots: 2 })).calls).not.toContain('slots qrun-s 2');
    expect((await submit(pueueState([]), { slots: 4 })).calls).toContain('slots qrun-s 4');
  });

  it.each<[string, Parameters<typeof pueueState>[0], Partial<SubmitRequest>, string]>([
    ['nothing new and nothing due', [{ label: 'qrun:s:a' }, { label: 'qrun:s:b' }], {}, 'not due'],
    [
      'nothing new and an audit due',
      [{ label: 'qrun:s:a' }, { label: 'qrun:s:b' }],
      { auditDue: true },
      'submitted',
    ],
    ['an audit that waits', [{ label: 'qrun:s:#audit', command: 'exec audit' }], {}, 'waiting'],
    [
      'an audit that runs',
      [{ label: 'qrun:s:#audit', command: 'exec audit', phase: 'running' }],
      {},
      'submitted',
    ],
    [
      'an audit of other units, and new ones',
      [{ label: 'qrun:s:#audit', command: 'exec other' }],
      {},
      'submitted',
    ],
    [
      'an audit of other units, and no new ones',
      [{ label: 'qrun:s:#audit', command: 'exec other' }, { label: 'qrun:s:a' }, { label: 'qrun:s:b' }],
      { auditDue: true },
      'submitted',
    ],
  ])('with %s', async (_what, tasks, request, audit) => {
    const { report, calls } = await submit(pueueState(tasks), request);
    expect(report.audit).toBe(audit);
    expect(calls.filter(name => name === 'add qrun:s:#audit')).toHaveLength(audit === 'submitted' ? 1 : 0);
  });

  it('adds the audit also when it is broken off, for what runs by then', async () => {
    const calls: string[] = [];
    await expect(submit(pueueState([]), {}, 1, calls)).rejects.toThrow('no more');
    expect(calls.slice(-2)).toEqual(['add qrun:s:a', 'last qrun:s:#audit']);
    const none: string[] = [];
    await expect(submit(pueueState([]), {}, 0, none)).rejects.toThrow('no more');
    expect(none).toEqual(['status']);
  });

  it('says that a group is paused, and starts it only when it may', async () => {
    const state = pueueState([], { paused: true });
    const left = await submit(state);
    expect([left.report.groupPaused, left.calls.includes('start qrun-s')]).toEqual([true, false]);
    const started = await submit(state, { resumeGroup: true });
    expect([started.report.groupPaused, started.calls.at(-1)]).toEqual([false, 'start qrun-s']);
  });

  it('refuses a sweep of the same name elsewhere, unless that has ended', async () => {
    const elsewhere = { directory: '/other' };
    await expect(submit(pueueState([elsewhere]))).rejects.toMatchObject({ code: 'CONFIG' });
    const { report } = await submit(pueueState([{ ...elsewhere, phase: 'done' }]));
    expect(report.submitted).toEqual(['a', 'b']);
  });
});
