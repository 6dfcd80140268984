import { QrunError } from '../errors.js';
import { isLive, type QueueTask } from './queue.js';

/** What a task of a sweep runs: a unit of SQL files, or a job of a jobs.toml. */
export type TaskKind = 'unit' | 'job';

const PREFIX: Readonly<Record<TaskKind, string>> = { unit: 'qrun', job: 'qrun-job' };

/**
 * Returns the label by which a task of a sweep is recognised in every queue: `qrun:<sweep>:<name>`, where the name is a
 * unit's id or {@link AUDIT}, and `qrun-job:<sweep>:<name>` for process jobs. A sweep of units and one of jobs may
 * therefore have the same name.
 */
export function taskLabel(kind: TaskKind, sweep: string, name: string): string {
  return `${PREFIX[kind]}:${sweep}:${name}`;
}

/** The name of the task that audits a sweep, or checks its jobs, once they have ended. */
export const AUDIT = '#audit';

/** Returns the name of a task among those of this kind of this sweep; `undefined` when it is not one of them. */
export function nameOfTask(
  kind: TaskKind,
  sweep: string,
  { label, command }: Pick<QueueTask, 'label' | 'command'>,
): string | undefined {
  for (const [its, prefix] of Object.entries(PREFIX)) {
    const start = `${prefix}:${sweep}:`;
    if (!label.startsWith(start)) continue;
    const is = its === 'unit' && runsJob(command) ? 'job' : its;
    return is === kind ? label.slice(start.length) : undefined;
  }
  return undefined;
}

// Up to version 0.1.0, jobs had the labels of units. Those that still wait in a queue are recognised by what they run.
function runsJob(command: string): boolean {
  return /^(?:(?!qrun\.cjs).)*qrun\.cjs'? (?:job|process-all) /s.test(command);
}

/** Returns the sweep that a label names; `undefined` if the label is not one of qrun's. */
export function sweepInLabel(label: string): string | undefined {
  return /^qrun(?:-job)?:([^:]+):/.exec(label)?.[1];
}

/**
 * Returns the group of a sweep that names none. Each sweep has its own, so that pausing or cleaning it affects no
 * other.
 */
export function defaultGroup(sweep: string): string {
  return `qrun-${sweep}`;
}

// Longer than any name that people choose, and short enough for tables.
const MAX_SWEEP_NAME = 64;

/**
 * Returns the name of a sweep after checking it: letters, digits, `_`, `.`, `-`, because it is part of labels, groups
 * and file names.
 *
 * Errors: QrunError `CONFIG`.
 */
export function checkedSweepName(name: string): string {
  if (/^[\p{L}\p{N}_.-]+$/u.test(name) && name.length <= MAX_SWEEP_NAME) return name;
  throw new QrunError('CONFIG', `the sweep cannot be called ${JSON.stringify(name)}`, {
    hint: `give it a name of letters, digits, "_", "." and "-", at most ${MAX_SWEEP_NAME}: name = "..." under [sweep] in qrun.toml`,
  });
}

/** Returns a name for a sweep to which nobody gave one, made from the name of its directory. */
export function sweepNameOf(directoryName: string): string {
  const name = directoryName.replace(/[^\p{L}\p{N}_.-]+/gu, '-').slice(0, MAX_SWEEP_NAME);
  return name === '' ? 'sweep' : name;
}

/**
 * Returns the tasks of one kind of a sweep by name. If several have one label (somebody has restarted one), a live one
 * takes precedence over finished ones, and a later one over earlier ones.
 */
export function tasksByName(
  kind: TaskKind,
  tasks: readonly QueueTask[],
  sweep: string,
): Map<string, QueueTask> {
  const result = new Map<string, QueueTask>();
  for (const task of tasks) {
    const name = nameOfTask(kind, sweep, task);
    if (name === undefined) continue;
    const before = result.get(name);
    if (before === undefined || isLive(task) || !isLive(before)) result.set(name, task);
  }
  return result;
}
