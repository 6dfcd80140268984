import { type Command, Option } from 'commander';
import { QrunError } from '../core/errors.js';
import { collect, configFlags, type Flags, flagName } from './options.js';
import { openSweep, type Sweep } from './sweep-context.js';
import type { Terminal } from './terminal.js';

/** Options that choose among the units of a sweep. */
export function addSweepOptions(command: Command): Command {
  const group = 'Sweep:';
  return command
    .addOption(
      new Option('--include <glob>', 'only units whose id matches (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--exclude <glob>', 'not the units whose id matches (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--group <name>', 'pueue group (default: qrun-<sweep>, or group under [sweep])').helpGroup(
        group,
      ),
    )
    .addOption(new Option('--config <file>', 'configuration that submit-all wrote for its jobs').hideHelp());
}

/** The flags that {@link addSweepOptions} and the commands above a unit have, and that are no configuration. */
const NO_CONFIGURATION = [
  'include',
  'exclude',
  'group',
  'parallel',
  'priority',
  'delay',
  'then',
  'resumeGroup',
  'whenEnded',
  'watch',
  'interval',
  'all',
] as const;

/** Opens the sweep of a command line; `--include` and `--exclude` choose units there, not queries. */
export function sweepOf(directory: string, flags: Flags, terminal: Terminal): Sweep {
  const configuration = { ...flags };
  for (const name of NO_CONFIGURATION) delete configuration[name];
  const selection = {
    include: (flags.include as string[] | undefined) ?? [],
    exclude: (flags.exclude as string[] | undefined) ?? [],
  };
  const sweep = openSweep(directory, configFlags(configuration), terminal, selection, flagName);
  return flags.group === undefined ? sweep : { ...sweep, group: String(flags.group) };
}

// pueue's priorities are 32-bit integers; the audit takes one less than the units.
const MAX_PRIORITY = 1_000_000_000;

/** The number of a flag. Errors: QrunError `USAGE`. */
export function wholeNumberFlag(
  flags: Flags,
  name: string,
  { min = 0, max = MAX_PRIORITY }: { readonly min?: number; readonly max?: number } = {},
): number | undefined {
  const value = flags[name];
  if (value === undefined) return undefined;
  const number = /^-?\d{1,10}$/.test(String(value)) ? Number(value) : Number.NaN;
  if (number >= min && number <= max) return number;
  throw new QrunError(
    'USAGE',
    `${flagName(name)}: must be a whole number from ${min} to ${max}, not ${JSON.stringify(value)}`,
  );
}
