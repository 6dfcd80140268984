import { cliCommand } from '../../command.js';
import {
  accepting,
  addAuditedUnitOptions,
  addBadFileOptions,
  addChoiceOptions,
  UNIT_OPTIONS,
} from '../../options.js';

/** `qrun audit DIR...`. */
export const audit = cliCommand({
  name: 'audit',
  description: 'compare the files of units with their logs: 0 only when complete',
  argument: ['<dir...>', 'directories of the units'],
  options: [
    ['--json', 'the report as JSON: an object, or an array for several units'],
    addAuditedUnitOptions,
    addChoiceOptions,
    addBadFileOptions,
    accepting(UNIT_OPTIONS),
  ],
  help: `The formula is: lines = N_normal x rows_per_query + N_skipped + N_error.
It judges by the same configuration as a run: what a run would refuse or run again is not complete. Give it the
options of the run (--set, --param, --log, --shard, ...); those that only say how queries run have no effect.
Shards with logs of their own are one unit: qrun audit ./sql --log a.ndjson --log b.ndjson`,
  load: () => import('./run.js'),
});
