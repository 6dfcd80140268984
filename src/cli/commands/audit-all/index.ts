import { Option } from 'commander';
import { cliCommand } from '../../command.js';
import {
  accepting,
  addBadFileOptions,
  addSharedUnitOptions,
  addSweepOptions,
  repeatable,
  SHARED_OPTIONS,
} from '../../options.js';

/** `qrun audit-all [ROOT]`. */
export const auditAll = cliCommand({
  name: 'audit-all',
  description: 'audit every unit of a sweep: 0 only when all are complete',
  argument: ['[root]', 'directory of the sweep', '.'],
  options: [
    ['--json', 'the report as one JSON line'],
    repeatable('--then <command>', 'shell command after a complete audit (repeatable, in order)'),
    ['--when-ended', 'first wait until no unit of the sweep runs (submit-all uses it)'],
    new Option('--priority <n>').hideHelp(),
    addSweepOptions,
    addSharedUnitOptions,
    addBadFileOptions,
    accepting(SHARED_OPTIONS),
  ],
  load: () => import('./run.js'),
});
