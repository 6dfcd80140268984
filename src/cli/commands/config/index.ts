import { cliCommand } from '../../command.js';
import {
  addEngineOptions,
  addOptions,
  addRunOptions,
  addSelectionOptions,
  addUnitOptions,
} from '../../options.js';

/** `qrun config [DIR]`. */
export const config = cliCommand<[directory: string]>({
  name: 'config',
  description: 'print the configuration in force, and where each value comes from',
  declare: command =>
    addOptions(command.argument('[dir]', 'directory of the unit', '.').option('--json', 'as one JSON line'), [
      addRunOptions,
      addEngineOptions,
      addUnitOptions,
      addSelectionOptions,
    ]),
  run: async ({ args: [directory], flags, terminal }) => {
    const { configCommand } = await import('./run.js');
    return await configCommand(directory, flags, terminal);
  },
});
