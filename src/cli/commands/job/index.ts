import { cliCommand } from '../../command.js';

/** `qrun job`. */
export const job = cliCommand({
  name: 'job',
  description: 'run one job of process-all, unless it is done; what pueue starts',
  options: [
    command =>
      command
        .requiredOption('--config <file>', 'jobs.toml, or what process-all stored of it')
        .requiredOption('--name <job>', 'name of the job: NAME@parameter=value,...'),
    ['--rerun-before <time>', 'also run what was done before this time (ISO 8601, UTC)'],
    ['--trust', 'even if others own its files'],
  ],
  load: () => import('./run.js'),
});
