import { QrunError } from './errors.js';
import { isLive, type PueueTask } from './pueue-state.js';

/**
 * How a sweep's tasks are recognised in pueue: `qrun:<sweep>:<name>`, where the name is a unit's id, that of a
 * process job, or {@link AUDIT}. Ids of pueue are recycled, so that nothing is found by them.
 */
export function taskLabel(sweep: string, name: string): string {
  return `qrun:${sweep}:${name}`;
}

/** The name of the task that audits a sweep when its units have ended. */
export const AUDIT = '#audit';

/** The name in a label of this sweep; `undefined` when the label is not of this sweep. */
export function nameInLabel(sweep: string, label: string): string | undefined {
  const prefix = taskLabel(sweep, '');
  return label.startsWith(prefix) ? label.slice(prefix.length) : undefined;
}

/** The sweep that a label names; `undefined` when it is not one of qrun's. */
export function sweepInLabel(label: string): string | undefined {
  return /^qrun:([^:]+):/.exec(label)?.[1];
}

/** The pueue group of a sweep that names none: one for each, so that pausing or cleaning it touches no other. */
export function defaultGroup(sweep: string): string {
  return `qrun-${sweep}`;
}

// Longer than any name that people choose, short enough for tables.
const MAX_SWEEP_NAME = 64;

/**
 * Checks the name of a sweep: letters, digits, `_`, `.`, `-`, because it stands in labels, groups and file names.
 *
 * Errors: QrunError `CONFIG`.
 */
export function checkedSweepName(name: string): string {
  if (/^[\p{L}\p{N}_.-]+$/u.test(name) && name.length <= MAX_SWEEP_NAME) return name;
  throw new QrunError('CONFIG', `the sweep cannot be called ${JSON.stringify(name)}`, {
    hint: `give it a name of letters, digits, "_", "." and "-", at most ${MAX_SWEEP_NAME}: name = "..." under [sweep] in qrun.toml`,
  });
}

/** A name for a sweep from that of its directory, where nobody gave one. */
export function sweepNameOf(directoryName: string): string {
  const name = directoryName.replace(/[^\p{L}\p{N}_.-]+/gu, '-').slice(0, MAX_SWEEP_NAME);
  return name === '' ? 'sweep' : name;
}

/**
 * The tasks of a sweep by name; of several with one label (a clone by `pueue restart`) a live one counts before
 * finished ones, and later ones before earlier ones.
 */
export function tasksByName(tasks: readonly PueueTask[], sweep: string): Map<string, PueueTask> {
  const result = new Map<string, PueueTask>();
  for (const task of tasks) {
    const name = nameInLabel(sweep, task.label);
    if (name === undefined) continue;
    const before = result.get(name);
    if (before === undefined || isLive(task) || !isLive(before)) result.set(name, task);
  }
  return result;
}
