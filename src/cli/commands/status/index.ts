import { cliCommand } from '../../command.js';
import { addSharedUnitOptions, addSweepOptions, addTrustOption } from '../../options.js';

/** `qrun status [ROOT]`. */
export const status = cliCommand({
  name: 'status',
  description: 'one table of a sweep, from pueue and the logs',
  argument: ['[root]', 'directory of the sweep', '.'],
  options: [
    ['-w, --watch', 'redraw until everything has ended'],
    ['--interval <duration>', 'how often (default: 2s)'],
    ['-a, --all', 'every unit, including those that wait or are complete'],
    ['--json', 'as JSON, one line per refresh'],
    addSweepOptions,
    addSharedUnitOptions,
    addTrustOption,
  ],
  load: () => import('./run.js'),
});
