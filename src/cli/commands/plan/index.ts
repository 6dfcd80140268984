import { cliCommand } from '../../command.js';
import { accepting, addSelectionOptions, addUnitOptions, UNIT_OPTIONS } from '../../options.js';

/** `qrun plan DIR`. */
export const plan = cliCommand({
  name: 'plan',
  description: 'print what a run would do and why, without an engine',
  argument: ['<dir>', 'directory of the unit'],
  options: [
    ['--json', 'the plan as one JSON line'],
    addUnitOptions,
    addSelectionOptions,
    accepting(UNIT_OPTIONS),
  ],
  load: () => import('./run.js'),
});
