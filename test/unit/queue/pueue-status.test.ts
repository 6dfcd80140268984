import { describe, expect, it } from 'vitest';
import { isLive } from '../../../src/core/queue/queue.js';
import { parseGroups, parseState } from '../../../src/io/queue/pueue/status.js';

// The shape that `pueue status --json` 4.0.4 printed, with one task in each phase.
function state(tasks: Readonly<Record<string, unknown>>): string {
  const groups = {
    default: { status: 'Running', parallel_tasks: 1 },
    g: { status: 'Paused', parallel_tasks: 4 },
  };
  return JSON.stringify({ tasks, groups });
}

const AT = '2026-01-31T12:00:00.123456789+01:00';

function task(status: unknown, more: object = {}): unknown {
  const envs = { PATH: '/bin' };
  const command = 'exec true';
  return {
    id: 3,
    created_at: AT,
    original_command: command,
    command,
    path: '/tmp',
    envs,
    group: 'g',
    dependencies: [],
    priority: 0,
    label: 'qrun:s:u',
    status,
    ...more,
  };
}

const DONE = { enqueued_at: AT, start: AT, end: AT };

describe('parseState', () => {
  it.each([
    ['queued', { Queued: { enqueued_at: AT } }],
    ['delayed', { Stashed: { enqueue_at: null } }],
    ['running', { Running: { enqueued_at: AT, start: AT } }],
    ['paused', { Paused: { enqueued_at: AT, start: AT } }],
    ['queued', { Locked: { previous_status: { Queued: { enqueued_at: AT } } } }],
    ['done', { Done: { ...DONE, result: 'Success' } }],
  ])('reads a task that is %s', (phase, status) => {
    const [read] = parseState(state({ 3: task(status) })).tasks;
    expect(read).toMatchObject({ id: '3', label: 'qrun:s:u', group: 'g', directory: '/tmp', phase });
    expect(read && isLive(read)).toBe(phase !== 'done');
  });

  it.each([
    ['Success', { kind: 'success' }],
    ['Killed', { kind: 'killed', says: 'killed, or pueued was restarted' }],
    ['Errored', { kind: 'lost', says: 'pueue lost it' }],
    ['DependencyFailed', { kind: 'not started', says: 'a task that it depends on failed' }],
    [{ Failed: 137 }, { kind: 'failed', exitCode: 137 }],
    [{ FailedToSpawn: 'no such file' }, { kind: 'not started', says: 'could not be started' }],
  ])('reads the result %j', (result, expected) => {
    expect(parseState(state({ 3: task({ Done: { ...DONE, result } }) })).tasks[0]?.end).toEqual(expected);
  });

  it('sorts tasks by id, takes a missing label as none, and reads groups and the size', () => {
    const queued = { Queued: { enqueued_at: AT } };
    const json = state({ 10: task(queued, { id: 10, label: null }), 9: task(queued, { id: 9 }) });
    const read = parseState(json);
    expect(read.tasks.map(({ id, label }) => [id, label])).toEqual([
      ['9', 'qrun:s:u'],
      ['10', ''],
    ]);
    expect(read.groups.get('g')).toEqual({ name: 'g', paused: true, slots: 4 });
    expect(read.stateBytes).toBe(json.length);
  });

  it.each([
    ['no JSON', 'Error: no'],
    ['no object', '[]'],
    ['tasks of version 3', state({ 3: task('Queued') })],
    ['an unknown phase', state({ 3: task({ Dreaming: {} }) })],
    ['an unknown result', state({ 3: task({ Done: { ...DONE, result: 'Vanished' } }) })],
    ['a task without id', state({ 3: task({ Queued: {} }, { id: 'x' }) })],
  ])('refuses %s', (_what, json) => {
    expect(() => parseState(json)).toThrow(
      expect.objectContaining({ code: 'QUEUE_UNSUPPORTED', exitCode: 26 }),
    );
  });

  it('reads the groups alone', () => {
    expect([...parseGroups('{"g":{"status":"Running","parallel_tasks":0}}').values()]).toEqual([
      { name: 'g', paused: false, slots: 0 },
    ]);
    expect(() => parseGroups('{"g":{"status":"Running"}}')).toThrow('unknown shape (group g)');
  });
});
