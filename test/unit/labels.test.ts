import { describe, expect, it } from 'vitest';
import {
  AUDIT,
  checkedSweepName,
  defaultGroup,
  nameInLabel,
  sweepInLabel,
  sweepNameOf,
  taskLabel,
  tasksByName,
} from '../../src/core/labels.js';
import type { PueueTask } from '../../src/core/pueue-state.js';
import { pueueTask } from './pueue-samples.js';

describe('labels', () => {
  it('hold sweep and name, and give both back', () => {
    const label = taskLabel('gen600', '2down/BTC@a=1,b=x:y');
    expect(label).toBe('qrun:gen600:2down/BTC@a=1,b=x:y');
    expect(nameInLabel('gen600', label)).toBe('2down/BTC@a=1,b=x:y');
    expect(sweepInLabel(label)).toBe('gen600');
  });

  it('of other sweeps and other tools are told apart', () => {
    expect(nameInLabel('gen', 'qrun:gen600:x')).toBeUndefined();
    expect(nameInLabel('gen600', 'gen600:x')).toBeUndefined();
    expect(sweepInLabel('nightly backup')).toBeUndefined();
  });

  it('give a sweep a group of its own', () => {
    expect(defaultGroup('gen600')).toBe('qrun-gen600');
  });
});

describe('the name of a sweep', () => {
  it('is taken as it is when it can stand in a label', () => {
    for (const name of ['gen600', 'a.b_c-d', 'Größe2']) expect(checkedSweepName(name)).toBe(name);
  });

  it('is made from a directory, whatever that is called', () => {
    expect(sweepNameOf('my sweep (2)')).toBe('my-sweep-2-');
    expect(sweepNameOf('')).toBe('sweep');
    expect(checkedSweepName(sweepNameOf(`${'é: '.repeat(60)}`))).toHaveLength(64);
  });
});

describe('tasksByName', () => {
  const task = (id: number, label: string, phase: PueueTask['phase']): PueueTask =>
    pueueTask({ id, label, phase });

  it('finds the tasks of one sweep by name', () => {
    const tasks = [
      task(1, 'qrun:s:a', 'queued'),
      task(2, 'qrun:other:a', 'queued'),
      task(3, `qrun:s:${AUDIT}`, 'queued'),
    ];
    expect([...tasksByName(tasks, 's')].map(([name, { id }]) => [name, id])).toEqual([
      ['a', 1],
      [AUDIT, 3],
    ]);
  });

  it.each<[string, PueueTask[], number]>([
    ['a live one before finished ones', [task(1, 'qrun:s:a', 'running'), task(2, 'qrun:s:a', 'done')], 1],
    ['a live one behind finished ones', [task(1, 'qrun:s:a', 'done'), task(2, 'qrun:s:a', 'queued')], 2],
    ['the last of finished ones', [task(1, 'qrun:s:a', 'done'), task(2, 'qrun:s:a', 'done')], 2],
  ])('counts %s', (_what, tasks, id) => {
    expect(tasksByName(tasks, 's').get('a')?.id).toBe(id);
  });
});
