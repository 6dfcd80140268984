import type { SweepAudit } from '../../../core/sweep/audit.js';
import { auditSweep, untilSweepEnded } from '../../../local/sweep/audit.js';
import { type Call, writeResult } from '../../command.js';
import { AUDIT_PRIORITY, stringsFlag, wholeNumberFlag } from '../../flags.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { verdictExit } from '../audit/run.js';
import { renderSweepAudit } from './render.js';

/**
 * `qrun audit-all ROOT`: returns 0 only when all units are complete, 20 when only errors stand, otherwise 21. With
 * `--when-ended`, as the task after the units, it first waits until none of them runs.
 *
 * Errors: as {@link auditSweep}.
 */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const sweep = sweepOf(call);
    const { err, errStyle } = terminal;
    const isFollower = flags.whenEnded === true;
    if (isFollower) {
      const isOurs = await untilSweepEnded(sweep, terminal, {
        arguments: terminal.proc.argv.slice(2),
        priority: wholeNumberFlag(flags, '--priority', AUDIT_PRIORITY),
        signal,
        onWaiting: text => err.write(`${text}\n`),
      });
      if (!isOurs) return 0;
    }
    const options = { finalizers: stringsFlag(flags, 'then'), onlyOnce: isFollower };
    const audit = await auditSweep(sweep, terminal, options, {
      signal,
      onBegin: listen,
      onAudit: audit => writeResult<SweepAudit>(call, audit, style => renderSweepAudit(audit, style)),
      onCommand: command => err.write(`then: ${errStyle.foreign(command)}\n`),
      onDoneBefore: at => err.write(`--then was run after the audit of ${at}\n`),
    });
    return verdictExit([audit.verdict]);
  });
}
