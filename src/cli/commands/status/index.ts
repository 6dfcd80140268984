import { cliCommand } from '../../command.js';
import { addOptions, addSharedUnitOptions, addSweepOptions, addTrustOption } from '../../options.js';

/** `qrun status [ROOT]`. */
export const status = cliCommand<[root: string]>({
  name: 'status',
  description: 'one table of a sweep, from pueue and the logs',
  declare: command =>
    addOptions(
      command
        .argument('[root]', 'directory of the sweep', '.')
        .option('-w, --watch', 'redraw until everything has ended')
        .option('--interval <duration>', 'how often (default: 2s)')
        .option('-a, --all', 'every unit, including those that wait or are complete')
        .option('--json', 'as JSON, one line per refresh'),
      [addSweepOptions, addSharedUnitOptions, addTrustOption],
    ),
  run: async ({ args: [root], flags, terminal }) => {
    const { statusCommand } = await import('./run.js');
    return await statusCommand(root, flags, terminal);
  },
});
