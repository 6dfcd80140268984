import { describe, expect, it } from 'vitest';
import { type WaitRequest, waitForTasks } from '../../../src/app/sweep/wait-for-tasks.js';
import { QrunError } from '../../../src/core/errors.js';
import type { PueueState } from '../../../src/core/queue/pueue-state.js';
import type { NewTask } from '../../../src/io/queue/pueue.js';
import { pueueState } from '../queue/pueue-samples.js';

const AUDIT = { label: 'qrun:s:#audit', phase: 'running' as const, command: 'exec audit' };

async function wait(
  looks: (PueueState | 'down' | 'failing')[],
  { orphans = [] as string[][], abort = false, inPueue = true, failingAdds = 0 } = {},
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
    again: inPueue ? { command: 'exec audit', directory: '/sweep', priority: -1 } : undefined,
    signal: control.signal,
  };
  const result = await waitForTasks(
    {
      pueue: {
        status: async () => {
          const look = looks.shift();
          if (look === undefined) throw new Error('looked once too often');
          if (look === 'down') throw new QrunError('PUEUE_DOWN', 'away');
          if (look === 'failing') throw new QrunError('PUEUE_FAILED', 'EAGAIN');
          return look;
        },
        add: async task => {
          refusals -= 1;
          if (refusals >= 0) throw new QrunError('PUEUE_DOWN', 'away');
          added.push(task);
          return 1;
        },
      },
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
    const ends = ['success', 'failed', 'killed', 'dependency'] as const;
    const tasks = ends.map(kind => ({ phase: 'done' as const, result: { kind } }));
    expect((await wait([pueueState([AUDIT, ...tasks])])).result).toBe('ended');
  });

  it('waits for what runs, and says so once', async () => {
    const running = pueueState([AUDIT, { phase: 'running' }]);
    const { result, told, pauses } = await wait([running, running, pueueState([AUDIT])]);
    expect([result, told, pauses.length]).toEqual(['ended', ['waiting for 1 of the sweep to end: a'], 2]);
  });

  it('waits for orphans that pueue does not know', async () => {
    const alone = pueueState([AUDIT]);
    const { result, told } = await wait([alone, alone], { orphans: [['x', 'y', 'z', 'w'], []] });
    expect([result, told]).toEqual(['ended', ['waiting for 4 of the sweep to end: x, y, z, ...']]);
  });

  it.each([
    ['queued', '15'],
    ['stashed', '60'],
  ] as const)('submits itself behind a unit that is %s, later, and leaves its slot', async (phase, delay) => {
    const { result, added } = await wait([pueueState([AUDIT, { phase }])]);
    expect(result).toBe('left');
    expect(added).toEqual([
      {
        command: 'exec audit',
        directory: '/sweep',
        priority: -1,
        group: 'qrun-s',
        label: 'qrun:s:#audit',
        delay,
      },
    ]);
  });

  it('does not rely on another audit that is queued: that one may judge other units', async () => {
    const other = { ...AUDIT, phase: 'queued' as const, command: 'exec audit --include=b' };
    const { result, added } = await wait([pueueState([AUDIT, { phase: 'queued' }, other])]);
    expect([result, added.length]).toEqual(['left', 1]);
  });

  it('started by hand it holds no slot: it waits, and submits nothing', async () => {
    const looks = [pueueState([{ phase: 'queued' }]), pueueState([])];
    const { result, added } = await wait(looks, { inPueue: false });
    expect([result, added]).toEqual(['ended', []]);
  });

  it('relies on the very same that is queued already', async () => {
    const { result, added } = await wait([
      pueueState([AUDIT, { phase: 'queued' }, { ...AUDIT, phase: 'queued' }]),
    ]);
    expect([result, added]).toEqual(['left', []]);
  });

  it('holds its slot for units that wait in another group, which it does not keep from starting', async () => {
    const other = pueueState([AUDIT, { phase: 'queued', group: 'other' }]);
    expect((await wait([other, pueueState([AUDIT])])).result).toBe('ended');
  });

  it('waits for a daemon that is away', async () => {
    const { result, told } = await wait(['down', 'down', pueueState([AUDIT])]);
    expect([result, told]).toEqual(['ended', ['waiting for pueue: away']]);
  });

  it('waits for whatever fails once it has seen the daemon, also while it makes room', async () => {
    const running = pueueState([AUDIT, { phase: 'running' }]);
    expect((await wait([running, 'failing', 'down', pueueState([AUDIT])])).result).toBe('ended');
    const queued = pueueState([AUDIT, { phase: 'queued' }]);
    const { result, added } = await wait([queued, queued], { failingAdds: 1 });
    expect([result, added.length]).toEqual(['left', 1]);
    await expect(wait(['failing'])).rejects.toThrow('EAGAIN');
  });

  it('passes on what else goes wrong, and the reason of a stop', async () => {
    await expect(wait([])).rejects.toThrow('looked once too often');
    const running = pueueState([{ phase: 'running' }]);
    await expect(wait([running, running], { abort: true })).rejects.toThrow('stopped');
  });
});
