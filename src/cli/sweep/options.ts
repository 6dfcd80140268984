import { type ResolvedSweep, resolveSweep } from '../../local/sweep/context.js';
import type { Call } from '../command.js';
import { stringsFlag } from '../flags.js';
import { configFlags } from '../options.js';

/** Returns the sweep of a command line; `--include` and `--exclude` choose units there, not queries. */
export function sweepOf({ argument: directory, flags, terminal }: Call<string>): ResolvedSweep {
  const selection = {
    include: stringsFlag(flags, 'includeUnits'),
    exclude: stringsFlag(flags, 'excludeUnits'),
  };
  const sweep = resolveSweep(directory, configFlags(flags), terminal, selection);
  return flags.group === undefined ? sweep : { ...sweep, group: String(flags.group) };
}
