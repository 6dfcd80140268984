import { Option } from 'commander';
import { cliCommand } from '../../command.js';
import { addTrustOption, repeatable } from '../../options.js';

/** `qrun process-all [FILE]`. */
export const processAll = cliCommand({
  name: 'process-all',
  description: 'submit a command to pueue for each combination of parameters that is not done',
  argument: ['[file]', 'the jobs: command and matrix of parameters', 'jobs.toml'],
  options: [
    ['--dry-run', 'print what would be submitted, and why, and submit nothing'],
    ['--check', 'submit nothing; 0 only if every job is done, otherwise 20'],
    ['--when-ended', 'with --check: first wait until no job of the sweep runs (what follows the jobs)'],
    ['--json', 'the result as one JSON line'],
    new Option('--rerun <which>', 'also submit what is done').choices(['all']),
    repeatable('--include <glob>', 'only jobs whose name matches (repeatable)'),
    repeatable('--exclude <glob>', 'leave out jobs whose name matches (repeatable)'),
    ['--memory-max <size>', 'memory cap of each job, such as 4G (also memory_max)'],
    ['--parallel <n>', 'jobs at a time (default: that of the group; 1 for a new group)'],
    ['--group <name>', 'group of pueue (default: qrun-<name>)'],
    ['--priority <n>', 'higher ones start first (default: 0)'],
    ['--delay <when>', 'start later: seconds, or a time as pueue accepts it'],
    ['--resume-group', 'start the group if it is paused'],
    addTrustOption,
  ],
  help: `jobs.toml:
  name = "features"
  command = ["python3", "job.py", "--symbol", "{symbol}", "--threshold", "{threshold}"]
  [matrix]
  symbol = ["BTCUSDT", "ETHUSDT"]
  threshold = [250, 500]

Run it again to resume: a job runs again only if it did not end with 0, or if its command, parameters or
environment changed. docs/process-jobs.md has the details.`,
  load: () => import('./run.js'),
});
