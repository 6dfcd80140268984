import { cliCommand } from '../../command.js';
import { addEngineOptions, addJobSizeOptions, repeatable } from '../../options.js';

/** `qrun autoscale`. */
export const autoscale = cliCommand({
  name: 'autoscale',
  description: "adjust the slots of pueue's groups to the load of this machine",
  options: [
    ['--once', 'one round (the default)'],
    ['--loop', 'a round every interval, until a signal'],
    ['--interval <duration>', 'time between two rounds (default: 60s)'],
    ['--min <n>', 'never fewer slots than this (default: 1)'],
    ['--max <n>', 'never more slots than this (default: what qrun probe says)'],
    addJobSizeOptions,
    repeatable(
      '--group <name>',
      "this group (repeatable; default: those called qrun-... and those with qrun's tasks)",
    ),
    ['--dry-run', 'decide, but set nothing'],
    ['--json', 'one JSON line per decision'],
    addEngineOptions,
  ],
  help: `Each round: CPU < 40 % and memory < 60 %: one slot more; CPU > 80 % or memory > 80 %: one slot less; otherwise
unchanged. A step up is watched for five minutes (--loop): load < 0.9 x cores, no swapping, no queries that fail
while they run (where the server has a query log); otherwise it is taken back.`,
  load: () => import('./run.js'),
});
