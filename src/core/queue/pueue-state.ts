import { QrunError } from '../errors.js';

/** Where a task is in its life. `stashed` also means delayed: pueue queues it at `enqueueAtMs`. */
export type TaskPhase = 'queued' | 'stashed' | 'running' | 'paused' | 'locked' | 'done';

/** How a task ended; `exitCode` only where it ended by itself and failed. */
export interface TaskResult {
  /** `dependency` never ran; `spawn` could not be started; `killed`: its process died by any signal. */
  readonly kind: 'success' | 'failed' | 'killed' | 'spawn' | 'errored' | 'dependency';
  readonly exitCode?: number;
}

/** A task of pueue, as far as qrun looks at it. Times are Unix milliseconds. */
export interface PueueTask {
  readonly id: number;
  readonly group: string;
  /** Empty where it has none. */
  readonly label: string;
  /** As it was submitted. */
  readonly command: string;
  /** Where it starts. */
  readonly directory: string;
  readonly phase: TaskPhase;
  readonly result: TaskResult | undefined;
  readonly createdMs: number;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
}

export interface PueueGroup {
  readonly name: string;
  readonly paused: boolean;
  /** 0: no limit. */
  readonly slots: number;
}

/** What one read of pueue gives. Tasks in the order of their ids. */
export interface PueueState {
  readonly tasks: readonly PueueTask[];
  readonly groups: ReadonlyMap<string, PueueGroup>;
  /** Size of the state as pueue sends it, environments included: what each of its changes writes to disk. */
  readonly sizeBytes: number;
}

/** Whether a task is still to run, or runs. */
export function isLive(task: PueueTask): boolean {
  return task.phase !== 'done';
}

/**
 * Reads the output of `pueue status --json` (version 4).
 *
 * Errors: QrunError `PUEUE_UNSUPPORTED` when it has another shape, which is that of another version.
 */
export function parseState(json: string): PueueState {
  const state = object(parseJson(json), 'status');
  const tasks = Object.values(object(state.tasks, 'tasks')).map(parseTask);
  tasks.sort((a, b) => a.id - b.id);
  return { tasks, groups: readGroups(state.groups), sizeBytes: json.length };
}

/** Reads the output of `pueue group --json`. Errors: as {@link parseState}. */
export function parseGroups(json: string): ReadonlyMap<string, PueueGroup> {
  return readGroups(parseJson(json));
}

function readGroups(value: unknown): ReadonlyMap<string, PueueGroup> {
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
  Stashed: 'stashed',
  Running: 'running',
  Paused: 'paused',
  Locked: 'locked',
  Done: 'done',
};

function parseTask(value: unknown): PueueTask {
  const task = object(value, 'task');
  const { id, group, label, path, original_command: command } = task;
  if (typeof id !== 'number' || ![group, path, command].every(value => typeof value === 'string')) {
    throw unknownShape('task');
  }
  // One key, the name of the phase; version 3 had a text here.
  const [name, details] = Object.entries(object(task.status, `status of task ${id}`))[0] ?? [];
  const phase = name === undefined ? undefined : PHASES[name];
  if (phase === undefined) throw unknownShape(`status ${name} of task ${id}`);
  const { start, end, result } = object(details, `status of task ${id}`);
  return {
    id,
    group: group as string,
    label: typeof label === 'string' ? label : '',
    command: command as string,
    directory: path as string,
    phase,
    result: phase === 'done' ? parseResult(result, id) : undefined,
    createdMs: time(task.created_at) ?? 0,
    startMs: time(start),
    endMs: time(end),
  };
}

const RESULTS: Readonly<Record<string, TaskResult['kind']>> = {
  Success: 'success',
  Killed: 'killed',
  Errored: 'errored',
  DependencyFailed: 'dependency',
  FailedToSpawn: 'spawn',
  Failed: 'failed',
};

function parseResult(value: unknown, id: number): TaskResult {
  const name = typeof value === 'string' ? value : Object.keys(object(value, `result of task ${id}`))[0];
  const kind = name === undefined ? undefined : RESULTS[name];
  if (kind === undefined) throw unknownShape(`result ${name} of task ${id}`);
  const exitCode = typeof value === 'object' ? (value as Record<string, unknown>).Failed : undefined;
  return typeof exitCode === 'number' ? { kind, exitCode } : { kind };
}

function time(value: unknown): number | undefined {
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
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
  return new QrunError('PUEUE_UNSUPPORTED', `pueue's JSON has an unknown shape (${what})`, {
    hint: 'qrun reads that of pueue 4.0: cargo install --locked pueue, then restart pueued',
  });
}
