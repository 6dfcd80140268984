import { QrunError } from '../../../core/errors.js';
import type { QueueGroup, QueueState, QueueTask, TaskEnd, TaskPhase } from '../../../core/queue/queue.js';

/**
 * Returns what the output of `pueue status --json` (version 4) says. The size of the output is that of the state,
 * environments included, which pueue writes to disk at each change of a task.
 *
 * Errors: QrunError `QUEUE_UNSUPPORTED` when the output has another shape, that of another version.
 */
export function parseState(json: string): QueueState {
  const state = object(parseJson(json), 'status');
  const tasks = Object.values(object(state.tasks, 'tasks')).map(parseTask);
  tasks.sort((a, b) => Number(a.id) - Number(b.id));
  return { tasks, groups: readGroups(state.groups), stateBytes: json.length };
}

/** Returns the groups in the output of `pueue group --json`. Errors: those of {@link parseState}. */
export function parseGroups(json: string): ReadonlyMap<string, QueueGroup> {
  return readGroups(parseJson(json));
}

function readGroups(value: unknown): ReadonlyMap<string, QueueGroup> {
  return new Map(
    Object.entries(object(value, 'groups')).map(([name, group]) => {
      const { status, parallel_tasks: slots } = object(group, `group ${name}`);
      if (typeof slots !== 'number') throw unknownShape(`group ${name}`);
      return [name, { name, paused: status === 'Paused', slots }];
    }),
  );
}

const PHASES: Readonly<Record<string, TaskPhase>> = {
  Queued: 'queued',
  // Until a given time, or until somebody enqueues it.
  Stashed: 'delayed',
  Running: 'running',
  Paused: 'paused',
  // While its command is edited; it is queued again afterwards.
  Locked: 'queued',
  Done: 'done',
};

function parseTask(value: unknown): QueueTask {
  const task = object(value, 'task');
  const { id, group, label, path, original_command: command } = task;
  if (typeof id !== 'number' || ![group, path, command].every(value => typeof value === 'string')) {
    throw unknownShape('task');
  }
  // An object with one key, the name of the phase; version 3 had a string here.
  const [name, details] = Object.entries(object(task.status, `status of task ${id}`))[0] ?? [];
  const phase = name === undefined ? undefined : PHASES[name];
  if (phase === undefined) throw unknownShape(`status ${name} of task ${id}`);
  const { result } = object(details, `status of task ${id}`);
  return {
    id: String(id),
    group: group as string,
    label: typeof label === 'string' ? label : '',
    command: command as string,
    directory: path as string,
    phase,
    ...(phase === 'done' ? { end: parseResult(result, id) } : {}),
  };
}

const ENDS: Readonly<Record<string, TaskEnd>> = {
  Success: { kind: 'success' },
  Killed: { kind: 'killed', says: 'killed, or pueued was restarted' },
  Errored: { kind: 'lost', says: 'pueue lost it' },
  DependencyFailed: { kind: 'not started', says: 'a task that it depends on failed' },
  FailedToSpawn: { kind: 'not started', says: 'could not be started' },
  Failed: { kind: 'failed' },
};

function parseResult(value: unknown, id: number): TaskEnd {
  const name = typeof value === 'string' ? value : Object.keys(object(value, `result of task ${id}`))[0];
  const end = name === undefined ? undefined : ENDS[name];
  if (end === undefined) throw unknownShape(`result ${name} of task ${id}`);
  const exitCode = typeof value === 'object' ? (value as Record<string, unknown>).Failed : undefined;
  return typeof exitCode === 'number' ? { ...end, exitCode } : end;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    throw unknownShape('output');
  }
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw unknownShape(what);
}

function unknownShape(what: string): QrunError {
  return new QrunError('QUEUE_UNSUPPORTED', `pueue's JSON has an unknown shape (${what})`, {
    hint: 'qrun reads that of pueue 4.0: cargo install --locked pueue, then restart pueued',
  });
}
