import { cliCommand } from '../../command.js';
import { addEngineOptions, addOptions, addUnitOptions } from '../../options.js';

/** `qrun doctor [DIR]`. */
export const doctor = cliCommand<[directory: string]>({
  name: 'doctor',
  description: 'check whether everything that a sweep needs is there',
  declare: command =>
    addOptions(
      command
        .argument('[dir]', 'directory of a unit or of the sweep', '.')
        .option('--json', 'the findings as one JSON line'),
      [addEngineOptions, addUnitOptions],
    ).addHelpText('after', `\n${HELP}`),
  run: async ({ args: [directory], flags, terminal }) => {
    const { doctorCommand } = await import('./run.js');
    return await doctorCommand(directory, flags, terminal);
  },
});

const HELP = `0: nothing prevents a sweep. Otherwise the code of the worst problem: 26 pueue, 24 engine, 23 log directory,
2 configuration. Notes prevent nothing.`;
