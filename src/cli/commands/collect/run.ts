import type { CollectReport } from '../../../core/sweep/collect.js';
import { jsonLine } from '../../../core/text/json.js';
import { collectSweep } from '../../../local/sweep/collect.js';
import type { Flags } from '../../command.js';
import { stringsFlag, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderCollect } from './render.js';

/**
 * `qrun collect [ROOT]`: imports the logs of other hosts. Returns 0 if all of them were imported, otherwise the exit
 * code of the worst problem: 23 for a log that is damaged or cannot be read or written, 22 for a unit that runs here.
 * A signal ends it at any moment; importing again does the rest.
 *
 * Errors: QrunError of the sweep; `USAGE` for a `--from` that leads to no log.
 */
export async function collectCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  return await untilStopped(terminal.proc, async signal => {
    const sweep = sweepOf(directory, flags, terminal);
    const { out, err, outStyle, errStyle } = terminal;
    const report = await collectSweep(sweep, terminal.cwd, stringsFlag(flags, 'from'), {
      signal,
      onNotice: message => err.write(`${errStyle.paint.caution('qrun: ')}${errStyle.foreign(message)}\n`),
    });
    const isJson = flags.json === true;
    out.write(
      isJson
        ? jsonLine<CollectReport>(report)
        : renderCollect(report, { directory, cwd: terminal.cwd }, outStyle),
    );
    return report.exit_code;
  });
}
