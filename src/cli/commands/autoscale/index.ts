import { cliCommand } from '../../command.js';
import { addEngineOptions, addJobSizeOptions, collect } from '../../options.js';

/** `qrun autoscale`. */
export const autoscale = cliCommand({
  name: 'autoscale',
  description: "adjust the slots of pueue's groups to the load of this machine",
  declare: command => {
    command
      .option('--once', 'one round (the default)')
      .option('--loop', 'a round every interval, until a signal')
      .option('--interval <duration>', 'time between two rounds (default: 60s)')
      .option('--min <n>', 'never fewer slots than this (default: 1)')
      .option('--max <n>', 'never more slots than this (default: what qrun probe says)');
    addJobSizeOptions(command)
      .option(
        '--group <name>',
        "this group (repeatable; default: those called qrun-... and those with qrun's tasks)",
        collect,
      )
      .option('--dry-run', 'decide, but set nothing')
      .option('--json', 'one JSON line per decision')
      .addHelpText('after', `\n${HELP}`);
    addEngineOptions(command);
  },
  run: async ({ flags, terminal }) => {
    const { autoscaleCommand } = await import('./run.js');
    return await autoscaleCommand(flags, terminal);
  },
});

const HELP = `Each round: CPU < 40 % and memory < 60 %: one slot more; CPU > 80 % or memory > 80 %: one slot less; otherwise
unchanged. A step up is watched for five minutes (--loop): load < 0.9 x cores, no swapping, no queries that fail
while they run (where the server has a query log); otherwise it is taken back.`;
