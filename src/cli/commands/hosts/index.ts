import { cliCommand } from '../../command.js';
import { addTrustOption, collect } from '../../options.js';

/** `qrun hosts`. */
export const hosts = cliCommand({
  name: 'hosts',
  description: 'the machines of [[hosts]] in qrun.toml',
  commands: [
    cliCommand<[root: string]>({
      name: 'check',
      description: 'what each host has of what a sweep needs, and the command that mends what is missing',
      declare: command =>
        addTrustOption(
          command
            .argument('[root]', 'directory of the sweep', '.')
            .option('--host <name>', 'only this host (repeatable)', collect)
            .option('--accept-new', 'remember the keys of hosts that are not known here yet')
            .option('--json', 'what was found as one JSON line'),
        ).addHelpText('after', `\n${HELP}`),
      run: async ({ args: [root], flags, terminal }) => {
        const { checkCommand } = await import('./check.js');
        return await checkCommand(root, flags, terminal);
      },
    }),
    cliCommand<[root: string]>({
      name: 'here',
      description: 'what this machine has for sweeps: what the others ask of a host',
      declare: command =>
        addTrustOption(
          command
            .argument('[root]', 'directory of the sweep', '.')
            .option('--json', 'as one JSON line, which is the only form'),
        ),
      run: async ({ args: [root], flags, terminal }) => {
        const { hereCommand } = await import('./here.js');
        return await hereCommand(root, flags, terminal);
      },
    }),
  ],
});

const HELP = `0: the sweep can run on each host. Otherwise the code of the worst problem: 26 a host, 23 the root of the sweep there.
It logs in once to each host, to all at once, as ssh does: with your ~/.ssh/config, keys and agent. It asks nothing and
changes nothing.`;
