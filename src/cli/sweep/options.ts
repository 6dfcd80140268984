import { QrunError } from '../../core/errors.js';
import { MAX_PRIORITY } from '../../core/sweep/units.js';
import { commandHoldsSecret } from '../../core/text/secret-names.js';
import { openSweep, type Sweep } from '../../local/sweep/context.js';
import type { Flags } from '../command.js';
import { configFlags } from '../options.js';
import type { Terminal } from '../terminal/streams.js';

/** Opens the sweep of a command line; `--include` and `--exclude` choose units there, not queries. */
export function sweepOf(directory: string, flags: Flags, terminal: Terminal): Sweep {
  const selection = {
    include: (flags.includeUnits as string[] | undefined) ?? [],
    exclude: (flags.excludeUnits as string[] | undefined) ?? [],
  };
  const sweep = openSweep(directory, configFlags(flags), terminal, selection);
  return flags.group === undefined ? sweep : { ...sweep, group: String(flags.group) };
}

/** Bounds of `--priority`; the audit takes one less. */
export const UNIT_PRIORITY = { min: -MAX_PRIORITY, max: MAX_PRIORITY };
export const AUDIT_PRIORITY = { min: -MAX_PRIORITY - 1, max: MAX_PRIORITY };

/** The number of a flag. Errors: QrunError `USAGE`. */
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

/**
 * The commands of `--then`. Errors: QrunError `USAGE` for one with a secret in it: they stand in the state of the queue, in
 * the list of processes and in the report of the audit, where every user of the machine can read them.
 */
export function finalizersOf(flags: Flags): string[] {
  const commands = (flags.then as string[] | undefined) ?? [];
  const at = commands.findIndex(commandHoldsSecret);
  if (at === -1) return commands;
  throw new QrunError('USAGE', `--then: command ${at + 1} looks as if it holds a secret`, {
    hint: 'others can read it in the queue and in the list of processes: let the command read the secret from a file',
  });
}
