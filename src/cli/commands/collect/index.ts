import { cliCommand } from '../../command.js';
import {
  acceptOptions,
  addBadFileOptions,
  addOptions,
  addSharedUnitOptions,
  addSweepOptions,
  collect as repeated,
  SHARED_OPTIONS,
} from '../../options.js';

/** `qrun collect [ROOT]`. */
export const collect = cliCommand<[root: string]>({
  name: 'collect',
  description: 'import what other hosts have recorded into the logs here',
  declare: command => {
    command
      .argument('[root]', 'directory of the sweep', '.')
      .option(
        '--from <path>',
        'a log of another host, or a directory of its logs (repeatable; default: all in results/.from/HOST)',
        repeated,
      )
      .option('--json', 'what became of each log, as one JSON line')
      .addHelpText('after', `\n${HELP}`);
    addOptions(command, [addSweepOptions, addSharedUnitOptions, addBadFileOptions]);
    acceptOptions(command, SHARED_OPTIONS);
  },
  run: async ({ args: [root], flags, terminal }) => {
    const { collectCommand } = await import('./run.js');
    return await collectCommand(root, flags, terminal);
  },
});

const HELP = `Each host records into logs of its own. Copy them (results/*.ndjson and *.runs) and import them, as often as you
like: what is there already is left out, and so is the second result of a query that ran on two hosts. The copies are
only read. Then qrun audit-all proves that nothing is missing or doubled.`;
