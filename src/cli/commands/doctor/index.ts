import { cliCommand } from '../../command.js';
import { addEngineOptions, addUnitOptions } from '../../options.js';

/** `qrun doctor [DIR]`. */
export const doctor = cliCommand({
  name: 'doctor',
  description: 'check whether everything that a sweep needs is there',
  argument: ['[dir]', 'directory of a unit or of the sweep', '.'],
  options: [['--json', 'the findings as one JSON line'], addEngineOptions, addUnitOptions],
  help: `0: nothing prevents a sweep. Otherwise the code of the worst problem: 26 pueue, 24 engine, 23 log directory,
2 configuration. Notes prevent nothing.`,
  load: () => import('./run.js'),
});
