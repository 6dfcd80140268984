import { describe, expect, it } from 'vitest';
import { type WaitRequest, waitForTasks } from '../../../src/app/sweep/wait-for-tasks.js';
import { QrunError } from '../../../src/core/errors.js';
import type { NewTask, QueueKind, QueueState } from '../../../src/core/queue/queue.js';
import { fakeQueue, queueState } from '../queue/samples.js';

const AUDIT = { label: 'qrun:s:#audit', phase: 'running' as const, command: 'exec audit </dev/null' };

async function wait(
  looks: (QueueState | 'down' | 'failing')[],
  {
    orphans = [] as string[][],
    abort = false,
    inTask = true,
    failingAdds = 0,
    kind = {} as Partial<QueueKind>,
  } = {},
) {
  let refusals = failingAdds;
  const added: NewTask[] = [];
  const told: string[] = [];
  const pauses: number[] = [];
  const control = new AbortController();
  const request: WaitRequest = {
    kind: 'unit',
    sweep: 's',
    group: 'qrun-s',
    again: inTask ? { argv: ['audit'], directory: '/sweep', priority: -1 } : undefined,
    signal: control.signal,
  };
  const result = await waitForTasks(
    {
      queue: fakeQueue(
        {
          state: async () => {
            const look = looks.shift();
            if (look === undefined) throw new Error('looked once too often');
            if (look === 'down') throw new QrunError('QUEUE_DOWN', 'away');
            if (look === 'failing') throw new QrunError('QUEUE_FAILED', 'EAGAIN');
            return look;
          },
          add: async tasks => {
            refusals -= 1;
            if (refusals >= 0) throw new QrunError('QUEUE_DOWN', 'away');
            added.push(...tasks);
          },
        },
        kind,
      ),
      orphans: async () => orphans.shift() ?? [],
      clock: {
        delay: async ms => {
          pauses.push(ms);
          if (abort) control.abort(new Error('stopped'));
        },
      },
      onWaiting: text => told.push(text),
    },
    request,
  );
  return { result, added, told, pauses, left: looks.length };
}

describe('waitForTasks', () => {
  it('is over when only it runs, whatever has become of the others', async () => {
    const ends = ['success', 'failed', 'killed', 'not started'] as const;
    const tasks = ends.map(kind => ({ phase: 'done' as const, end: { kind } }));
    expect((await wait([queueState([AUDIT, ...tasks])])).result).toBe('ended');
  });

  it('waits for what runs, and says so once', async () => {
    const running = queueState([AUDIT, { phase: 'running' }]);
    const { result, told, pauses } = await wait([running, running, queueState([AUDIT])]);
    expect([result, told, pauses.length]).toEqual(['ended', ['waiting for 1 of the sweep to end: a'], 2]);
  });

  it('waits for orphans that the queue does not know', async () => {
    const alone = queueState([AUDIT]);
    const { result, told } = await wait([alone, alone], { orphans: [['x', 'y', 'z', 'w'], []] });
    expect([result, told]).toEqual(['ended', ['waiting for 4 of the sweep to end: x, y, z, ...']]);
  });

  it.each([
    ['queued', '15'],
    ['delayed', '60'],
  ] as const)('submits itself behind a unit that is %s, later, and leaves its slot', async (phase, delay) => {
    const { result, added } = await wait([queueState([AUDIT, { phase }])]);
    expect(result).toBe('left');
    expect(added).toEqual([
      {
        argv: ['audit'],
        directory: '/sweep',
        priority: -1,
        group: 'qrun-s',
        label: 'qrun:s:#audit',
        delay,
      },
    ]);
  });

  it('follows by dependency where the queue has that: behind what waits or runs, at no time of its own', async () => {
    const tasks = [AUDIT, { phase: 'queued' as const }, { label: 'qrun:s:b', phase: 'running' as const }];
    const { result, added } = await wait([queueState(tasks)], { kind: { last: 'dependency' } });
    expect([result, added[0]?.after, added[0]?.delay]).toEqual(['left', ['qrun:s:a', 'qrun:s:b'], undefined]);
  });

  it('does not rely on another audit that is queued: that one may judge other units', async () => {
    const other = { ...AUDIT, phase: 'queued' as const, command: 'exec audit --include=b </dev/null' };
    const { result, added } = await wait([queueState([AUDIT, { phase: 'queued' }, other])]);
    expect([result, added.length]).toEqual(['left', 1]);
  });

  it('started by hand it holds no slot: it waits, and submits nothing', async () => {
    const looks = [queueState([{ phase: 'queued' }]), queueState([])];
    const { result, added } = await wait(looks, { inTask: false });
    expect([result, added]).toEqual(['ended', []]);
  });

  it('relies on the very same that is queued already', async () => {
    const { result, added } = await wait([
      queueState([AUDIT, { phase: 'queued' }, { ...AUDIT, phase: 'queued' }]),
    ]);
    expect([result, added]).toEqual(['left', []]);
  });

  it('holds its slot for units that wait in another group, which it does not keep from starting', async () => {
    const other = queueState([AUDIT, { phase: 'queued', group: 'other' }]);
    expect((await wait([other, queueState([AUDIT])])).result).toBe('ended');
  });

  it('waits for a daemon that is away', async () => {
    const { result, told } = await wait(['down', 'down', queueState([AUDIT])]);
    expect([result, told]).toEqual(['ended', ['waiting for pueue: away']]);
  });

  it('waits for whatever fails once it has seen the daemon, also while it makes room', async () => {
    const running = queueState([AUDIT, { phase: 'running' }]);
    expect((await wait([running, 'failing', 'down', queueState([AUDIT])])).result).toBe('ended');
    const queued = queueState([AUDIT, { phase: 'queued' }]);
    const { result, added } = await wait([queued, queued], { failingAdds: 1 });
    expect([result, added.length]).toEqual(['left', 1]);
    await expect(wait(['failing'])).rejects.toThrow('EAGAIN');
  });

  it('passes on what else goes wrong, and the reason of a stop', async () => {
    await expect(wait([])).rejects.toThrow('looked once too often');
    const running = queueState([{ phase: 'running' }]);
    await expect(wait([running, running], { abort: true })).rejects.toThrow('stopped');
  });
});
