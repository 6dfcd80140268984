import { Option } from 'commander';
import { cliCommand } from '../../command.js';
import {
  acceptOptions,
  addBadFileOptions,
  addOptions,
  addSharedUnitOptions,
  addSweepOptions,
  collect,
  SHARED_OPTIONS,
} from '../../options.js';

/** `qrun audit-all [ROOT]`. */
export const auditAll = cliCommand<[root: string]>({
  name: 'audit-all',
  description: 'audit every unit of a sweep: 0 only when all are complete',
  declare: command => {
    command
      .argument('[root]', 'directory of the sweep', '.')
      .option('--json', 'the report as one JSON line')
      .option('--then <command>', 'shell command after a complete audit (repeatable, in order)', collect)
      .option('--when-ended', 'first wait until no unit of the sweep runs (submit-all uses it)')
      .addOption(new Option('--priority <n>').hideHelp());
    addOptions(command, [addSweepOptions, addSharedUnitOptions, addBadFileOptions]);
    acceptOptions(command, SHARED_OPTIONS);
  },
  run: async ({ args: [root], flags, terminal }) => {
    const { auditAllCommand } = await import('./run.js');
    return await auditAllCommand(root, flags, terminal);
  },
});
