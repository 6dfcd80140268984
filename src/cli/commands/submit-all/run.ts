import { formatDuration } from '../../../core/text/duration.js';
import { type SubmissionReport, submitSweep } from '../../../local/sweep/submit.js';
import { type Call, writeResult } from '../../command.js';
import { PARALLEL, stringsFlag, UNIT_PRIORITY, wholeNumberFlag } from '../../flags.js';
import { openCounter } from '../../progress/counter.js';
import { sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { tell } from '../../terminal/streams.js';
import { formatSizing } from '../probe/render.js';
import { renderSubmission } from './render.js';

/** `qrun submit-all ROOT`: returns the exit code. Errors: as {@link submitSweep}. */
export async function run(call: Call<string>): Promise<number> {
  const { flags, terminal } = call;
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const sweep = sweepOf(call);
    tell(terminal, sweep.notices);
    const { err, errStyle } = terminal;
    const counter = await openCounter(terminal);
    const isDry = flags.dryRun === true;
    const finalizers = stringsFlag(flags, 'then');
    const submission = await submitSweep(
      sweep,
      terminal,
      {
        priority: wholeNumberFlag(flags, '--priority', UNIT_PRIORITY),
        slots: flags.parallel === 'auto' ? 'auto' : wholeNumberFlag(flags, '--parallel', PARALLEL),
        delay: flags.delay as string | undefined,
        resumeGroup: flags.resumeGroup === true,
        dryRun: isDry,
        finalizers,
      },
      {
        signal,
        onBegin: listen,
        onProgress: counter.show,
        onNotice: text => tell(terminal, [text]),
        onSizing: sizing => err.write(`--parallel auto: ${formatSizing(sizing)}\n`),
        onSetup: ({ file, durationMs, at }) =>
          err.write(
            `setup  ${errStyle.foreign(file)}  in ${formatDuration(durationMs)}, on ${errStyle.foreign(at)}\n`,
          ),
      },
    ).finally(() => counter.close());
    if (!isDry && submission.report.audit === 'not due' && finalizers.length > 0) {
      err.write('--then is not run: nothing is due; qrun audit-all --then runs it\n');
    }
    writeResult<SubmissionReport>(call, submission.report, style => renderSubmission(submission, style));
    return 0;
  });
}
