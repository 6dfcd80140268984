import { describe, expect, it } from 'vitest';
import { type CancelRequest, cancelTasks, untilTasksEnded } from '../../../src/app/sweep/cancel.js';
import type { QueueState } from '../../../src/core/queue/queue.js';
import { isWhole, unitChooser } from '../../../src/core/sweep/cancel.js';
import { fakeQueue, queueState } from '../queue/samples.js';

// The real daemon is in test/services; here it is about what is asked of it, and when.
async function cancel(state: QueueState, request: Partial<CancelRequest> = {}) {
  const calls: string[] = [];
  let locked = false;
  const queue = fakeQueue({
    state: async () => {
      calls.push(`state${locked ? '' : ' without the lock'}`);
      return state;
    },
    cancel: async labels => {
      calls.push(`cancel ${labels.join(' ')}${locked ? '' : ' without the lock'}`);
      const of = (...phases: readonly string[]) =>
        state.tasks
          .filter(one => labels.includes(one.label) && phases.includes(one.phase))
          .map(one => one.label);
      return { removed: of('queued', 'delayed'), asked: of('running', 'paused') };
    },
  });
  const done = await cancelTasks(
    {
      queue,
      locked: async work => {
        locked = true;
        return await work().finally(() => {
          locked = false;
        });
      },
    },
    {
      ...{ kind: 'unit', sweep: 's', root: '/sweep', isChosen: () => true, withAudit: true, dryRun: false },
      ...request,
    },
  );
  return { ...done, fates: done.tasks.map(({ name, fate }) => `${name} ${fate}`), calls };
}

const TASKS = queueState([
  { label: 'qrun:s:b', phase: 'queued' },
  { label: 'qrun:s:a', phase: 'running' },
  { label: 'qrun:s:c', phase: 'done' },
  { label: 'qrun:s:#audit', phase: 'queued' },
  { label: 'qrun:other:a', phase: 'running', directory: '/other' },
  { label: 'qrun-job:s:a', phase: 'running' },
  { label: '', phase: 'running' },
]);

describe('cancelTasks', () => {
  it('asks for the live tasks of the sweep and their audit, in one order, under the lock', async () => {
    const { calls, fates, audits, running } = await cancel(TASKS);
    expect(calls).toEqual(['state', 'cancel qrun:s:b qrun:s:a qrun:s:#audit']);
    expect(fates).toEqual(['a asked', 'b removed']);
    expect(audits).toEqual([{ host: null, fate: 'removed' }]);
    expect(running).toEqual(['qrun:s:a']);
  });

  it('leaves the audit if only some are meant, or others are left that it follows', async () => {
    const isChosen = (name: string): boolean => name === 'a';
    for (const request of [{ isChosen }, { isChosen, withAudit: false }, { withAudit: false }]) {
      const { calls, audits } = await cancel(TASKS, request);
      expect(calls[1]).not.toContain('#audit');
      expect(audits).toEqual([{ host: null, fate: 'stays' }]);
    }
  });

  it('changes nothing in a dry run, and asks for nothing if there is nothing', async () => {
    const dry = await cancel(TASKS, { dryRun: true });
    expect(dry.calls).toEqual(['state without the lock']);
    expect([dry.fates, dry.audits]).toEqual([['a asked', 'b removed'], [{ host: null, fate: 'removed' }]]);
    const none = await cancel(queueState([{ label: 'qrun:s:a', phase: 'done' }]));
    expect([none.calls, none.fates, none.audits]).toEqual([['state'], [], []]);
    const only = await cancel(queueState([{ label: 'qrun:s:#audit', phase: 'running' }]));
    expect([only.fates, only.audits]).toEqual([[], [{ host: null, fate: 'asked' }]]);
  });

  it('knows jobs from units, and refuses a sweep of the same name elsewhere', async () => {
    expect((await cancel(TASKS, { kind: 'job' })).fates).toEqual(['a asked']);
    await expect(cancel(TASKS, { root: '/moved' })).rejects.toMatchObject({
      code: 'CONFIG',
      message: 'another sweep is also called s: /sweep',
    });
    await expect(cancel(TASKS, { root: '/moved', dryRun: true })).rejects.toMatchObject({ code: 'CONFIG' });
  });

  it('waits until the tasks have ended, and no longer', async () => {
    const states = [TASKS, TASKS, queueState([{ label: 'qrun:s:a', phase: 'done' }])];
    let waited = 0;
    const queue = fakeQueue({ state: async () => states.shift() as QueueState });
    const clock = {
      delay: async () => {
        waited += 1;
      },
    };
    const { signal } = new AbortController();
    await untilTasksEnded({ queue, clock }, ['qrun:s:a'], signal);
    expect([waited, states.length]).toEqual([2, 0]);
    await untilTasksEnded({ queue, clock }, [], signal);
  });
});

describe('unitChooser', () => {
  it.each<[string, Partial<Parameters<typeof unitChooser>[0]>, boolean]>([
    ['a/b', {}, true],
    ['a/b', { below: 'a' }, true],
    ['a/b@k=1', { below: 'a/b' }, true],
    ['ab', { below: 'a' }, false],
    ['a/b', { include: ['a/*'] }, true],
    ['a/b@k=x/y', { include: ['a/b'] }, true],
    ['a/b', { include: ['c'] }, false],
    ['a/b', { exclude: ['a/**'] }, false],
  ])('%s with %o: %s', (unit, choice, expected) => {
    const whole = { include: [], exclude: [], below: '', ...choice };
    expect(unitChooser(whole)(unit)).toBe(expected);
    expect(isWhole(whole)).toBe(choice.include === undefined && choice.exclude === undefined);
  });
});
