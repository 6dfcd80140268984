import { cliCommand } from '../../command.js';
import { addTrustOption } from '../../options.js';

/** `qrun prune [ROOT]`. */
export const prune = cliCommand<[root: string]>({
  name: 'prune',
  description: 'list data that is no longer needed, and remove it with --remove',
  declare: command =>
    addTrustOption(
      command
        .argument('[root]', 'directory of the sweep', '.')
        .option('--dry-run', 'list only, remove nothing (the default)')
        .option('--remove', 'remove what is listed; what is in use always stays')
        .option('-a, --all', 'also what a run would use and then has to create again')
        .option('--json', 'as one JSON line')
        .addHelpText('after', `\n${HELP}`),
    ),
  run: async ({ args: [root], flags, terminal }) => {
    const { pruneCommand } = await import('./run.js');
    return await pruneCommand(root, flags, terminal);
  },
});

const HELP = `Lists the data directories of the embedded engine in .qrun/data: each is named by the content of the setup files
that made it, and stays when they change. Data of a directory given with --data-dir is yours.`;
