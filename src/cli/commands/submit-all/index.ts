import { Option } from 'commander';
import { cliCommand } from '../../command.js';
import { addOptions, addSweepOptions, collect, SHARED_OPTIONS } from '../../options.js';

/** `qrun submit-all [ROOT]`. */
export const submitAll = cliCommand<[root: string]>({
  name: 'submit-all',
  description:
    'submit a sweep to pueue: one task for each unit that is not complete, and the audit after them',
  declare: command => {
    command
      .argument(
        '[root]',
        'directory of the sweep: every leaf directory with *.sql files in it is a unit',
        '.',
      )
      .option('--dry-run', 'print what would be submitted, and submit nothing')
      .option('--json', 'what was submitted as one JSON line');
    for (const option of submissionOptions()) command.addOption(option.helpGroup('Submission:'));
    addOptions(command, [addSweepOptions, ...SHARED_OPTIONS]).addHelpText('after', `\n${HELP}`);
  },
  run: async ({ args: [root], flags, terminal }) => {
    const { submitAllCommand } = await import('./run.js');
    return await submitAllCommand(root, flags, terminal);
  },
});

function submissionOptions(): Option[] {
  return [
    new Option(
      '--parallel <n>',
      'units at a time, or auto: what qrun probe recommends (default: as the group is; 1 for a new one)',
    ),
    new Option('--priority <n>', "pueue's priority of the units: higher ones start first"),
    new Option('--delay <when>', 'start later: 3600 (seconds), 22:00, tomorrow'),
    new Option('--then <command>', 'shell command after a complete audit (repeatable, in order)').argParser(
      collect,
    ),
    new Option('--resume-group', 'start the group when it is paused'),
  ];
}

const HELP = `Units that are queued, running or complete are skipped, so it can be run at any time.
Under [sweep] in qrun.toml: name, group, parallel, priority, units = ["2down/*"],
epochs = [{from = "2024-01-01", to = "2024-07-01"}] and matrix = {threshold = [250, 500]}: one unit each.`;
