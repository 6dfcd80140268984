import { QrunError } from '../../core/errors.js';
import type { QueueName } from '../../core/queue/names.js';
import { runsOnHosts } from '../../local/hosts/hosts-of-tree.js';
import { type ResolvedSweep, resolveSweep } from '../../local/sweep/context.js';
import type { Call, Flags } from '../command.js';
import { stringsFlag } from '../flags.js';
import { configFlags } from '../options.js';

/** Returns the sweep of a command line; `--include` and `--exclude` choose units there, not queries. */
export function sweepOf({ argument: directory, flags, terminal }: Call<string>): ResolvedSweep {
  const selection = {
    include: stringsFlag(flags, 'includeUnits'),
    exclude: stringsFlag(flags, 'excludeUnits'),
  };
  const sweep = resolveSweep(directory, configFlags(flags), terminal, selection);
  const on = flags.on as QueueName | undefined;
  return {
    ...sweep,
    ...(flags.group === undefined ? {} : { group: String(flags.group) }),
    ...(on === undefined ? {} : { table: { ...sweep.table, on } }),
  };
}

/**
 * Returns the names of the hosts that a command acts on, empty for all of them; `undefined` if it acts on this machine:
 * because qrun.toml names none, with `--here`, and in a task of a submission.
 *
 * Errors: QrunError `USAGE` for `--host` without hosts.
 */
export function hostsWanted(sweep: ResolvedSweep, flags: Flags): readonly string[] | undefined {
  const names = stringsFlag(flags, 'hostNames');
  if (flags.hereOnly !== true && runsOnHosts(sweep)) return names;
  if (names.length === 0) return undefined;
  throw new QrunError('USAGE', `--host ${names[0]}: the sweep has no hosts`, {
    hint: 'add them to qrun.toml: [[hosts]] with name, ssh and root; see docs/scale.md',
  });
}
