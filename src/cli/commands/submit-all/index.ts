import { type Command, Option } from 'commander';
import { cliCommand } from '../../command.js';
import { addSweepOptions, repeatable, SHARED_OPTIONS } from '../../options.js';

/** `qrun submit-all [ROOT]`. */
export const submitAll = cliCommand({
  name: 'submit-all',
  description:
    'submit a sweep to pueue: one task for each unit that is not complete, and the audit after them',
  argument: ['[root]', 'directory of the sweep: every leaf directory with *.sql files in it is a unit', '.'],
  options: [
    ['--dry-run', 'print what would be submitted, and submit nothing'],
    ['--json', 'what was submitted as one JSON line'],
    addSubmissionOptions,
    addSweepOptions,
    ...SHARED_OPTIONS,
  ],
  help: `Units that are queued, running or complete are skipped, so it can be run at any time.
Under [sweep] in qrun.toml: name, group, parallel, priority, units = ["2down/*"],
epochs = [{from = "2024-01-01", to = "2024-07-01"}] and matrix = {threshold = [250, 500]}: one unit each.`,
  load: () => import('./run.js'),
});

function addSubmissionOptions(command: Command): Command {
  const options = [
    new Option(
      '--parallel <n>',
      'units at a time, or auto: what qrun probe recommends (default: as the group is; 1 for a new one)',
    ),
    new Option('--priority <n>', "pueue's priority of the units: higher ones start first"),
    new Option('--delay <when>', 'start later: 3600 (seconds), 22:00, tomorrow'),
    repeatable('--then <command>', 'shell command after a complete audit (repeatable, in order)'),
    new Option('--resume-group', 'start the group when it is paused'),
  ];
  for (const option of options) command.addOption(option.helpGroup('Submission:'));
  return command;
}
