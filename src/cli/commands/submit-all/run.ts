import { type HostOut, submissionExit } from '../../../core/hosts/submission.js';
import { formatDuration } from '../../../core/text/duration.js';
import type { ResolvedSweep } from '../../../local/sweep/context.js';
import {
  type Submission,
  type SubmissionReport,
  type SubmitWatch,
  type SweepSubmitOptions,
  submitSweep,
} from '../../../local/sweep/submit.js';
import { type Call, writeResult } from '../../command.js';
import { PARALLEL, stringsFlag, UNIT_PRIORITY, wholeNumberFlag } from '../../flags.js';
import { openCounter } from '../../progress/counter.js';
import { hostsWanted, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import { formatSizing } from '../probe/render.js';
import { renderSubmission } from './render.js';
import { renderHostsSubmission } from './render-hosts.js';

/**
 * `qrun submit-all ROOT`: returns 0 if each unit that is due was submitted, waits or runs; otherwise the exit code of
 * the host that failed. Errors: as {@link submitSweep} and `submitToHosts`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const sweep = sweepOf(call);
    tell(terminal, sweep.notices);
    const { err, errStyle } = terminal;
    const counter = await openCounter(terminal);
    const isDry = flags.dryRun === true;
    const finalizers = stringsFlag(flags, 'then');
    const options: SweepSubmitOptions = {
      priority: wholeNumberFlag(flags, '--priority', UNIT_PRIORITY),
      slots: flags.parallel === 'auto' ? 'auto' : wholeNumberFlag(flags, '--parallel', PARALLEL),
      delay: flags.delay as string | undefined,
      resumeGroup: flags.resumeGroup === true,
      dryRun: isDry,
      finalizers,
    };
    const watch: SubmitWatch = {
      signal,
      onBegin: listen,
      onProgress: counter.show,
      onNotice: text => tell(terminal, [text]),
      onSizing: sizing => err.write(`--parallel auto: ${formatSizing(sizing)}\n`),
      onSetup: ({ file, durationMs, at }) =>
        err.write(
          `setup  ${errStyle.foreign(file)}  in ${formatDuration(durationMs)}, on ${errStyle.foreign(at)}\n`,
        ),
    };
    const names = hostsWanted(sweep, flags);
    const submission = await (names === undefined
      ? submitSweep(sweep, terminal, options, watch)
      : overHosts(sweep, names, options, watch, terminal)
    ).finally(() => counter.close());
    const { report } = submission;
    if (!isDry && report.audit === 'not due' && finalizers.length > 0) {
      err.write('--then is not run: nothing is due; qrun audit-all --then runs it\n');
    }
    const { hosts } = report;
    writeResult<SubmissionReport>(call, report, style =>
      hosts === null ? renderSubmission(submission, style) : renderHostsSubmission(submission, hosts, style),
    );
    return submissionExit(report);
  });
}

async function overHosts(
  sweep: ResolvedSweep,
  names: readonly string[],
  options: SweepSubmitOptions,
  watch: SubmitWatch,
  terminal: Terminal,
): Promise<Submission> {
  // Logins are ended, whatever ends this.
  watch.onBegin?.();
  const { submitToHosts } = await import('../../../local/hosts/sweep/submit.js');
  const onHostOut = ({ host, problem }: HostOut): void =>
    tell(terminal, [`${host.name} is left out: ${problem.says} (${problem.mend})`]);
  return await submitToHosts(sweep, names, terminal, options, { ...watch, onHostOut });
}
