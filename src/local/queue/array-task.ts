import { arrayIndex } from '../../core/queue/array-index.js';
import { ownCommand } from '../../io/machine/this-process.js';
import { readTaskList } from '../../io/queue/task-list.js';
import type { Surroundings } from '../config/sweep-context.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { ownArguments } from '../sweep/tasks.js';
import type { ArrayTask } from './run-task.js';

/** A list that a submission wrote, as the command line of its tasks names it. */
export interface ListName {
  readonly path: string;
  readonly digest: string;
}

/**
 * Returns the task of a submission that this process is. `index`: its number, if the command line says it. Errors:
 * QrunError `CONFIG` for the list, `USAGE` as {@link arrayIndex}.
 */
export function taskOfList(
  { path, digest }: ListName,
  index: string | undefined,
  env: Surroundings['env'],
): ArrayTask {
  const { tasks, group } = readTaskList(path, digest);
  // The index is one of these.
  const task = tasks[arrayIndex(index, env, tasks.length)] as (typeof tasks)[number];
  return { argv: task.argv, directory: task.directory, group };
}

/**
 * Returns the unit of a sweep that this process is to run, for arrays that a person has made: the units are counted from
 * 0, sorted by their ids. Its configuration is what qrun.toml and the environment say. Errors: QrunError `USAGE`.
 */
export function taskOfSweep(
  sweep: ResolvedSweep,
  index: string | undefined,
  env: Surroundings['env'],
  trust: boolean,
): ArrayTask {
  const { units, root } = sweep;
  const unit = units[arrayIndex(index, env, units.length)] as (typeof units)[number];
  return {
    argv: [
      ...ownCommand(),
      'unit',
      unit.directory,
      ...ownArguments(unit, sweep),
      '--host-logs',
      ...(trust ? ['--trust'] : []),
    ],
    directory: root,
    group: undefined,
  };
}
