import { describe, expect, it } from 'vitest';
import { parseExits, parseTasks } from '../../../src/io/queue/slurm/state.js';

const line = (state: string, reason = 'None', host = 'nodeA', index = '0'): string =>
  ['7', index, state, reason, host, 'qrun-list:ab', 'qrun:s', '/data/a b'].join('\x1f');
const task = (...args: Parameters<typeof line>) => parseTasks(`${line(...args)}\n`)[0];

describe('what squeue prints', () => {
  it('tells the phase of a task, and why it waits if that is unusual', () => {
    expect(task('PENDING', 'Priority', 'n/a')).toEqual({
      job: '7',
      index: 0,
      phase: 'queued',
      name: 'qrun:s',
      comment: 'qrun-list:ab',
      directory: '/data/a b',
    });
    expect(task('PENDING', 'BeginTime', 'n/a')).toMatchObject({ phase: 'delayed' });
    expect(task('PENDING', 'launch failed requeued held', 'n/a')).toMatchObject({
      phase: 'delayed',
      waits: 'Slurm says: launch failed requeued held',
    });
    expect(task('PENDING', 'PartitionTimeLimit', 'n/a')).toMatchObject({
      phase: 'queued',
      waits: 'Slurm says: PartitionTimeLimit',
    });
    for (const state of ['RUNNING', 'COMPLETING', 'CONFIGURING']) {
      expect(task(state)).toMatchObject({ phase: 'running', host: 'nodeA' });
    }
    expect(task('SUSPENDED')).toMatchObject({ phase: 'paused' });
    expect(task('REQUEUE_HOLD')).toMatchObject({ phase: 'delayed' });
  });

  it.each([
    ['COMPLETED', 'success', undefined],
    ['FAILED', 'failed', undefined],
    ['CANCELLED', 'killed', 'cancelled'],
    ['TIMEOUT', 'killed', 'ended at its time limit'],
    ['OUT_OF_MEMORY', 'killed', 'killed at its memory limit'],
    ['NODE_FAIL', 'lost', 'its node failed'],
    ['A_STATE_OF_TOMORROW', 'lost', 'Slurm says A_STATE_OF_TOMORROW'],
  ])('tells the end of a task that is %s', (state, kind, says) => {
    expect(task(state)).toMatchObject({
      phase: 'done',
      end: { kind, ...(says === undefined ? {} : { says }) },
    });
  });

  it('knows what never started', () => {
    expect(task('CANCELLED', 'None', 'n/a')?.end).toEqual({ kind: 'not started', says: 'cancelled' });
    expect(task('FAILED', 'BadConstraints', '')?.end).toEqual({
      kind: 'not started',
      says: 'Slurm says: BadConstraints',
    });
  });

  it('leaves out jobs that are no arrays, and refuses another format', () => {
    expect(parseTasks(line('RUNNING', 'None', 'nodeA', 'N/A'))).toEqual([]);
    expect(parseTasks('')).toEqual([]);
    expect(() => parseTasks('JOBID PARTITION')).toThrow('squeue answered');
  });

  it('tells exit codes of old and new versions', () => {
    const text = '7  0  5120 \n7  1  9 \n7  2  21:0 \n7  3  0:15 \n7  4  0 \n7  5  ? \n';
    expect([...parseExits(text)]).toEqual([
      ['7_0', { kind: 'failed', exitCode: 20 }],
      ['7_1', { kind: 'killed' }],
      ['7_2', { kind: 'failed', exitCode: 21 }],
      ['7_3', { kind: 'killed' }],
      ['7_4', { kind: 'success' }],
    ]);
  });
});
