import { QrunError } from '../../../core/errors.js';
import { cliCommand } from '../../command.js';
import { addTrustOption, collect } from '../../options.js';

/** `qrun process-all [FILE]`. */
export const processAll = cliCommand<[file: string]>({
  name: 'process-all',
  description: 'submit a command to pueue for each combination of parameters that is not done',
  declare: command =>
    addTrustOption(
      command
        .argument('[file]', 'the jobs: command and matrix of parameters', 'jobs.toml')
        .option('--dry-run', 'print what would be submitted, and why, and submit nothing')
        .option('--check', 'submit nothing; 0 only if every job is done, otherwise 20')
        .option(
          '--when-ended',
          'with --check: first wait until no job of the sweep runs (what follows the jobs)',
        )
        .option('--json', 'the result as one JSON line')
        .option('--rerun <which>', 'also submit what is done: all', onlyAll)
        .option('--include <glob>', 'only jobs whose name matches (repeatable)', collect)
        .option('--exclude <glob>', 'leave out jobs whose name matches (repeatable)', collect)
        .option('--memory-max <size>', 'memory cap of each job, such as 4G (also memory_max)')
        .option('--parallel <n>', 'jobs at a time (default: that of the group; 1 for a new group)')
        .option('--group <name>', 'group of pueue (default: qrun-<name>)')
        .option('--priority <n>', 'higher ones start first (default: 0)')
        .option('--delay <when>', 'start later: seconds, or a time as pueue accepts it')
        .option('--resume-group', 'start the group if it is paused')
        .addHelpText('after', `\n${HELP}`),
    ),
  run: async ({ args: [file], flags, terminal }) => {
    const { processAllCommand } = await import('./run.js');
    return await processAllCommand(file, flags, terminal);
  },
});

function onlyAll(value: string): string {
  if (value === 'all') return value;
  throw new QrunError('USAGE', `--rerun ${value}: must be all`);
}

const HELP = `jobs.toml:
  name = "features"
  command = ["python3", "job.py", "--symbol", "{symbol}", "--threshold", "{threshold}"]
  [matrix]
  symbol = ["BTCUSDT", "ETHUSDT"]
  threshold = [250, 500]

Run it again to resume: a job runs again only if it did not end with 0, or if its command, parameters or
environment changed. docs/process-jobs.md has the details.`;
