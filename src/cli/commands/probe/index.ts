import { cliCommand } from '../../command.js';
import { addEngineOptions, addJobSizeOptions } from '../../options.js';

/** `qrun probe [DIR]`. */
export const probe = cliCommand<[directory: string]>({
  name: 'probe',
  description: 'measure this machine and the server, and print what to run on them',
  declare: command => {
    command.argument('[dir]', 'directory of a unit or sweep, for its configuration', '.');
    addEngineOptions(addJobSizeOptions(command).option('--json', 'as one JSON line'));
  },
  run: async ({ args: [directory], flags, terminal }) => {
    const { probeCommand } = await import('./run.js');
    return await probeCommand(directory, flags, terminal);
  },
});
