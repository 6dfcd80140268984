import type { Output } from '../schema.js';
import { nameMatcher, type Selection } from '../unit/selection.js';
import type { cancelledTask, schema } from './cancel.schema.js';

/** What became of the tasks of a sweep; the object that `qrun cancel --json` prints. */
export interface CancelReport extends Output<typeof schema> {}

/** What became of one task. */
export interface CancelledTask extends Output<typeof cancelledTask> {}

/** Which units of a sweep are meant, also those that no file is left of. */
export interface UnitChoice extends Pick<Selection, 'include' | 'exclude'> {
  /** Only units at or below this directory, relative to the root; empty for all. */
  readonly below: string;
}

/** Returns whether a unit is one of those that are meant, by its id. */
export function unitChooser({ include, exclude, below }: UnitChoice): (unit: string) => boolean {
  const included = nameMatcher(include, true);
  const excluded = nameMatcher(exclude, false);
  return unit => {
    // Of a unit with parameters, globs may also mean its directory.
    const names = [unit, unit.replace(/@.*/s, '')];
    const isBelow = below === '' || names.includes(below) || unit.startsWith(`${below}/`);
    return isBelow && names.some(included) && !names.some(excluded);
  };
}

/** Returns whether a choice leaves nothing out but by its place. */
export function isWhole({ include, exclude }: UnitChoice): boolean {
  return include.length + exclude.length === 0;
}
