import { QrunError } from '../../core/errors.js';
import { MAX_PRIORITY } from '../../core/sweep/units.js';
import { type ResolvedSweep, resolveSweep } from '../../local/sweep/context.js';
import type { Flags } from '../command.js';
import { configFlags } from '../options.js';
import type { Terminal } from '../terminal/streams.js';

/** Returns the sweep of a command line; `--include` and `--exclude` choose units there, not queries. */
export function sweepOf(directory: string, flags: Flags, terminal: Terminal): ResolvedSweep {
  const selection = {
    include: stringsFlag(flags, 'includeUnits'),
    exclude: stringsFlag(flags, 'excludeUnits'),
  };
  const sweep = resolveSweep(directory, configFlags(flags), terminal, selection);
  return flags.group === undefined ? sweep : { ...sweep, group: String(flags.group) };
}

/** Bounds of `--priority`; the audit takes one less. */
export const UNIT_PRIORITY = { min: -MAX_PRIORITY, max: MAX_PRIORITY };
export const AUDIT_PRIORITY = { min: -MAX_PRIORITY - 1, max: MAX_PRIORITY };

/** Returns the number of a flag. Errors: QrunError `USAGE`. */
export function wholeNumberFlag(
  flags: Flags,
  name: string,
  { min = 0, max = Number.MAX_SAFE_INTEGER }: { readonly min?: number; readonly max?: number } = {},
): number | undefined {
  const value = flags[name];
  if (value === undefined) return undefined;
  const number = /^-?\d{1,12}$/.test(String(value)) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new QrunError(
    'USAGE',
    `--${name}: must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`,
  );
}

/** Returns the values of a flag that may be given several times. */
export function stringsFlag(flags: Flags, name: string): string[] {
  return (flags[name] as string[] | undefined) ?? [];
}
