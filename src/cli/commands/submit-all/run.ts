import { formatDuration } from '../../../core/text/duration.js';
import { jsonLine } from '../../../core/text/json.js';
import { type SubmissionReport, submitSweep } from '../../../local/sweep/submit.js';
import type { Flags } from '../../command.js';
import { openCounter } from '../../progress/counter.js';
import { stringsFlag, sweepOf, UNIT_PRIORITY, wholeNumberFlag } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import { formatSizing } from '../probe/render.js';
import { renderSubmission } from './render.js';

/** `qrun submit-all ROOT`: returns the exit code. Errors: as {@link submitSweep}. */
export async function submitAllCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  return await untilStopped(terminal.proc, async (signal, listen) => {
    const sweep = sweepOf(directory, flags, terminal);
    tell(terminal, sweep.notices);
    const { err, errStyle } = terminal;
    const counter = await openCounter(terminal);
    const isDry = flags.dryRun === true;
    const finalizers = stringsFlag(flags, 'then');
    const submission = await submitSweep(
      sweep,
      terminal,
      {
        priority: wholeNumberFlag(flags, 'priority', UNIT_PRIORITY),
        slots:
          flags.parallel === 'auto' ? 'auto' : wholeNumberFlag(flags, 'parallel', { min: 1, max: 10_000 }),
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
    terminal.out.write(
      flags.json === true
        ? jsonLine<SubmissionReport>(submission.report)
        : renderSubmission(submission, terminal.outStyle),
    );
    return 0;
  });
}
