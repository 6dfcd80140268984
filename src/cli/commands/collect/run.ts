import type { CollectReport } from '../../../core/sweep/collect.js';
import { collectSweep } from '../../../local/sweep/collect.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { sweepOf } from '../../sweep/options.js';
import { renderCollect } from './render.js';

/**
 * `qrun collect [ROOT]`: imports the logs of other hosts. Returns 0 if all of them were imported, otherwise the exit
 * code of the worst problem: 23 for a log that is damaged or cannot be read or written, 22 for a unit that runs here.
 * Signals are not handled: they end the process at any moment, and importing again does the rest.
 *
 * Errors: QrunError of the sweep; `USAGE` for a `--from` that leads to no log.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const { cwd, err, errStyle } = terminal;
  const report = await collectSweep(sweepOf(call), cwd, stringsFlag(flags, 'from'), {
    onNotice: message => err.write(`${errStyle.paint.caution('qrun: ')}${errStyle.foreign(message)}\n`),
  });
  writeResult<CollectReport>(call, report, style => renderCollect(report, { directory, cwd }, style));
  return report.exit_code;
}
