import type { SweepAudit } from '../../../core/sweep/audit.js';
import { jsonLine } from '../../../core/text/json.js';
import { auditSweep, untilSweepEnded } from '../../../local/sweep/audit.js';
import type { Flags } from '../../command.js';
import { AUDIT_PRIORITY, stringsFlag, sweepOf, wholeNumberFlag } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { verdictExit } from '../audit/run.js';
import { renderSweepAudit } from './render.js';

/**
 * `qrun audit-all ROOT`: returns 0 only when all units are complete, 20 when only errors stand, otherwise 21. With
 * `--when-ended`, as the task after the units, it first waits until none of them runs.
 *
 * Errors: as {@link auditSweep}.
 */
export async function auditAllCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const sweep = sweepOf(directory, flags, terminal);
    const { out, err, outStyle, errStyle } = terminal;
    const isFollower = flags.whenEnded === true;
    if (isFollower) {
      const isOurs = await untilSweepEnded(sweep, terminal, {
        arguments: terminal.proc.argv.slice(2),
        priority: wholeNumberFlag(flags, 'priority', AUDIT_PRIORITY),
        signal,
        onWaiting: text => err.write(`${text}\n`),
      });
      if (!isOurs) return 0;
    }
    const options = { finalizers: stringsFlag(flags, 'then'), onlyOnce: isFollower };
    const audit = await auditSweep(sweep, terminal, options, {
      signal,
      onBegin: listen,
      onAudit: audit =>
        out.write(flags.json === true ? jsonLine<SweepAudit>(audit) : renderSweepAudit(audit, outStyle)),
      onCommand: command => err.write(`then: ${errStyle.foreign(command)}\n`),
      onDoneBefore: at => err.write(`--then was run after the audit of ${at}\n`),
    });
    return verdictExit([audit.verdict]);
  });
}
