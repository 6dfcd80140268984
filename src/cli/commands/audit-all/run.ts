import type { SweepAudit } from '../../../core/sweep/audit.js';
import { type AuditWatch, auditSweep, untilSweepEnded } from '../../../local/sweep/audit.js';
import { type Call, writeResult } from '../../command.js';
import { AUDIT_PRIORITY, stringsFlag, wholeNumberFlag } from '../../flags.js';
import { hostsWanted, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { tell } from '../../terminal/streams.js';
import { verdictExit } from '../audit/run.js';
import { renderSweepAudit } from './render.js';

/**
 * `qrun audit-all ROOT`: returns 0 only when all units are complete, 20 when only errors stand, otherwise 21. With
 * `--when-ended`, as the task after the units, it first waits until none of them runs. With hosts it collects from them
 * first, and waits for the units there.
 *
 * Errors: as {@link auditSweep} and `auditHosts`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const sweep = sweepOf(call);
    const { err, errStyle } = terminal;
    const whenEnded = flags.whenEnded === true;
    const onWaiting = (text: string): unknown => err.write(`${text}\n`);
    const names = hostsWanted(sweep, flags);
    if (names === undefined && whenEnded) {
      const isOurs = await untilSweepEnded(sweep, terminal, {
        arguments: terminal.proc.argv.slice(2),
        priority: wholeNumberFlag(flags, '--priority', AUDIT_PRIORITY),
        signal,
        onWaiting,
      });
      if (!isOurs) return 0;
    }
    const options = { finalizers: stringsFlag(flags, 'then'), onlyOnce: whenEnded };
    const watch: AuditWatch = {
      signal,
      onBegin: listen,
      onNotice: text => tell(terminal, [text]),
      onAudit: audit => writeResult<SweepAudit>(call, audit, style => renderSweepAudit(audit, style)),
      onCommand: command => err.write(`then: ${errStyle.foreign(command)}\n`),
      onDoneBefore: at => err.write(`--then was run after the audit of ${at}\n`),
    };
    if (names === undefined)
      return verdictExit([(await auditSweep(sweep, terminal, options, watch)).verdict]);
    // Logins are ended, whatever ends this.
    listen();
    const { auditHosts } = await import('../../../local/hosts/sweep/audit.js');
    const audit = await auditHosts(
      sweep,
      names,
      terminal,
      { ...options, whenEnded },
      { ...watch, onWaiting: text => onWaiting(errStyle.foreign(text)) },
    );
    return verdictExit([audit.verdict]);
  });
}
