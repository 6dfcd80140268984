import { cliCommand } from '../../command.js';
import {
  acceptOptions,
  addOptions,
  addSelectionOptions,
  addUnitOptions,
  UNIT_OPTIONS,
} from '../../options.js';

/** `qrun plan DIR`. */
export const plan = cliCommand<[directory: string]>({
  name: 'plan',
  description: 'print what a run would do and why, without an engine',
  declare: command => {
    command.argument('<dir>', 'directory of the unit').option('--json', 'the plan as one JSON line');
    acceptOptions(addOptions(command, [addUnitOptions, addSelectionOptions]), UNIT_OPTIONS);
  },
  run: async ({ args: [directory], flags, terminal }) => {
    const { showPlan } = await import('./run.js');
    return await showPlan(directory, flags, terminal);
  },
});
