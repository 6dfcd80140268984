import { cliCommand } from '../../command.js';

/** `qrun job`. */
export const job = cliCommand({
  name: 'job',
  description: 'run one job of process-all, unless it is done; what pueue starts',
  declare: command =>
    command
      .requiredOption('--config <file>', 'jobs.toml, or what process-all stored of it')
      .requiredOption('--name <job>', 'name of the job: NAME@parameter=value,...')
      .option('--rerun-before <time>', 'also run what was done before this time (ISO 8601, UTC)')
      .option('--trust', 'even if others own its files'),
  run: async ({ flags, terminal }) => {
    const { jobCommand } = await import('./run.js');
    return await jobCommand(flags, terminal);
  },
});
