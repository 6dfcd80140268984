import { cliCommand } from '../../command.js';
import { addEngineOptions, addRunOptions, addSelectionOptions, addUnitOptions } from '../../options.js';

/** `qrun config [DIR]`. */
export const config = cliCommand({
  name: 'config',
  description: 'print the configuration in force, and where each value comes from',
  argument: ['[dir]', 'directory of the unit', '.'],
  options: [
    ['--json', 'as one JSON line'],
    addRunOptions,
    addEngineOptions,
    addUnitOptions,
    addSelectionOptions,
  ],
  load: () => import('./run.js'),
});
