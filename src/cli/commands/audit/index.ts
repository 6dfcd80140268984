import { cliCommand } from '../../command.js';
import {
  acceptOptions,
  addBadFileOptions,
  addChoiceOptions,
  addOptions,
  addUnitOptions,
  UNIT_OPTIONS,
} from '../../options.js';

/** `qrun audit DIR...`. */
export const audit = cliCommand<[directories: readonly string[]]>({
  name: 'audit',
  description: 'compare the files of units with their logs: 0 only when complete',
  declare: command => {
    command
      .argument('<dir...>', 'directories of the units')
      .option('--json', 'the report as JSON: an object, or an array for several units')
      .addHelpText('after', `\n${HELP}`);
    addUnitOptions(command, { severalLogs: true });
    acceptOptions(addOptions(command, [addChoiceOptions, addBadFileOptions]), UNIT_OPTIONS);
  },
  run: async ({ args: [directories], flags, terminal }) => {
    const { auditCommand } = await import('./run.js');
    return await auditCommand(directories, flags, terminal);
  },
});

const HELP = `The formula is: lines = N_normal x rows_per_query + N_skipped + N_error.
It judges by the same configuration as a run: what a run would refuse or run again is not complete. Give it the
options of the run (--set, --param, --log, --shard, ...); those that only say how queries run have no effect.
Shards with logs of their own are one unit: qrun audit ./sql --log a.ndjson --log b.ndjson`;
