import { cliCommand } from '../../command.js';
import { addEngineOptions, addJobSizeOptions } from '../../options.js';

/** `qrun probe [DIR]`. */
export const probe = cliCommand({
  name: 'probe',
  description: 'measure this machine and the server, and print what to run on them',
  argument: ['[dir]', 'directory of a unit or sweep, for its configuration', '.'],
  options: [addJobSizeOptions, ['--json', 'as one JSON line'], addEngineOptions],
  load: () => import('./run.js'),
});
