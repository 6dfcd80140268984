import { Argument } from 'commander';
import { cliCommand } from '../../command.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** `qrun completion SHELL`. */
export const completion = cliCommand<[shell: (typeof SHELLS)[number]]>({
  name: 'completion',
  description: 'print the completion script of a shell',
  declare: command =>
    command
      .addArgument(new Argument('<shell>', 'which shell').choices(SHELLS))
      .addHelpText('after', '\nBash: source <(qrun completion bash)'),
  run: async ({ args: [shell], terminal, program }) => {
    const { completionScript } = await import('./run.js');
    terminal.out.write(completionScript(program, shell));
    return 0;
  },
});
