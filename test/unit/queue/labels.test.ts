import { describe, expect, it } from 'vitest';
import {
  AUDIT,
  checkedSweepName,
  defaultGroup,
  nameOfTask,
  sweepInLabel,
  sweepNameOf,
  taskLabel,
  tasksByName,
} from '../../../src/core/queue/labels.js';
import type { QueueTask } from '../../../src/core/queue/queue.js';
import { queueTask } from './samples.js';

describe('labels', () => {
  it('hold sweep and name, and give both back', () => {
    for (const [kind, prefix] of [
      ['unit', 'qrun'],
      ['job', 'qrun-job'],
    ] as const) {
      const label = taskLabel(kind, 'gen600', '2down/BTC@a=1,b=x:y');
      expect(label).toBe(`${prefix}:gen600:2down/BTC@a=1,b=x:y`);
      expect(nameOfTask(kind, 'gen600', { label, command: '' })).toBe('2down/BTC@a=1,b=x:y');
      expect(sweepInLabel(label)).toBe('gen600');
    }
  });

  it('of other sweeps and other tools are told apart', () => {
    for (const label of ['qrun:gen600:x', 'qrun-job:gen600:x', 'gen:x', 'xqrun:gen:x', 'qrun-jobs:gen:x']) {
      for (const kind of ['unit', 'job'] as const) {
        expect(nameOfTask(kind, 'gen', { label, command: '' })).toBeUndefined();
      }
    }
    expect(sweepInLabel('nightly backup')).toBeUndefined();
  });

  it('of units and of jobs are told apart, also where both sweeps have one name', () => {
    const unit = { label: taskLabel('unit', 's', AUDIT), command: '' };
    const job = { label: taskLabel('job', 's', AUDIT), command: '' };
    expect([unit, job].map(task => nameOfTask('unit', 's', task))).toEqual([AUDIT, undefined]);
    expect([unit, job].map(task => nameOfTask('job', 's', task))).toEqual([undefined, AUDIT]);
  });

  it.each([
    ['job', 'exec /usr/bin/node /opt/qrun/bin/qrun.cjs job --config=/r/a.json --name=s@x=1 </dev/null'],
    ['job', "exec '/my node' '/my qrun/bin/qrun.cjs' job '--config=/my r/a.json' --name=s@x=1 </dev/null"],
    [
      'job',
      'exec /usr/bin/node /opt/qrun/bin/qrun.cjs process-all /r/a.json --check --when-ended </dev/null',
    ],
    [
      'unit',
      "exec /usr/bin/node /opt/qrun/bin/qrun.cjs unit '/x/qrun.cjs job /' --config=/r/a.json </dev/null",
    ],
    ['unit', "exec /usr/bin/node /opt/qrun/bin/qrun.cjs audit-all /r '--then=qrun.cjs job ' </dev/null"],
  ] as const)('of version 0.1.0 are known as those of a %s by what they run: %s', (kind, command) => {
    const task = { label: 'qrun:s:s@x=1', command };
    expect(nameOfTask(kind, 's', task)).toBe('s@x=1');
    expect(nameOfTask(kind === 'job' ? 'unit' : 'job', 's', task)).toBeUndefined();
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
  const task = (id: number, label: string, phase: QueueTask['phase']): QueueTask =>
    queueTask({ id: String(id), label, phase });

  it('finds the tasks of one sweep by name', () => {
    const tasks = [
      task(1, 'qrun:s:a', 'queued'),
      task(2, 'qrun:other:a', 'queued'),
      task(3, `qrun:s:${AUDIT}`, 'queued'),
    ];
    expect([...tasksByName('unit', tasks, 's')].map(([name, { id }]) => [name, id])).toEqual([
      ['a', '1'],
      [AUDIT, '3'],
    ]);
  });

  it.each<[string, QueueTask[], number]>([
    ['a live one before finished ones', [task(1, 'qrun:s:a', 'running'), task(2, 'qrun:s:a', 'done')], 1],
    ['a live one behind finished ones', [task(1, 'qrun:s:a', 'done'), task(2, 'qrun:s:a', 'queued')], 2],
    ['the last of finished ones', [task(1, 'qrun:s:a', 'done'), task(2, 'qrun:s:a', 'done')], 2],
  ])('counts %s', (_what, tasks, id) => {
    expect(tasksByName('unit', tasks, 's').get('a')?.id).toBe(String(id));
  });
});
