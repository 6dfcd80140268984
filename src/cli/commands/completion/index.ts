import { Argument } from 'commander';
import { cliCommand } from '../../command.js';

/** `qrun completion SHELL`. */
export const completion = cliCommand({
  name: 'completion',
  description: 'print the completion script of a shell',
  options: [
    command => command.addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish'])),
  ],
  help: 'Bash: source <(qrun completion bash)',
  load: () => import('./run.js'),
});
