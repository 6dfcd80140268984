import { cliCommand } from '../../command.js';
import { addTrustOption } from '../../options.js';

/** `qrun prune [ROOT]`. */
export const prune = cliCommand({
  name: 'prune',
  description: 'list data that is no longer needed, and remove it with --remove',
  argument: ['[root]', 'directory of the sweep', '.'],
  options: [
    ['--dry-run', 'list only, remove nothing (the default)'],
    ['--remove', 'remove what is listed; what is in use always stays'],
    ['-a, --all', 'also what a run would use and then has to create again'],
    ['--json', 'as one JSON line'],
    addTrustOption,
  ],
  help: `Lists the data directories of the embedded engine in .qrun/data: each is named by the content of the setup files
that made it, and stays when they change. Data of a directory given with --data-dir is yours.`,
  load: () => import('./run.js'),
});
