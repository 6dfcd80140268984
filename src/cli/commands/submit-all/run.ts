import type { Output } from '../../../core/schema.js';
import { formatDuration } from '../../../core/text/duration.js';
import { jsonLine } from '../../../core/text/json.js';
import { type Submission, submitSweep } from '../../../local/sweep/submit.js';
import type { Flags } from '../../command.js';
import { openCounter } from '../../progress/counter.js';
import { stringsFlag, sweepOf, UNIT_PRIORITY, wholeNumberFlag } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import { formatSizing } from '../probe/render.js';
import { renderSubmission } from './render.js';
import type { schema } from './submit-all.schema.js';

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
        rerun: flags.rerun as string | undefined,
        resumeGroup: flags.resumeGroup === true,
        setup: flags.setup === true,
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
    if (!isDry && submission.report.follower === 'not due' && finalizers.length > 0) {
      err.write('--then is not run: nothing is due; qrun audit-all --then runs it\n');
    }
    terminal.out.write(
      flags.json === true
        ? jsonLine<Output<typeof schema>>(submissionJson(submission, isDry))
        : renderSubmission(submission, terminal.outStyle, isDry),
    );
    return 0;
  });
}

function submissionJson({ report, ...submission }: Submission, isDry: boolean): Output<typeof schema> {
  const { sweep, root, group, complete, cannotRun, elsewhere } = submission;
  const { submitted, queued, running, follower, slots, groupPaused, stateBytes } = report;
  return {
    ...{ sweep, root, group, complete, elsewhere, submitted, queued, running, slots },
    cannot_run: cannotRun,
    audit: follower,
    group_paused: groupPaused,
    state_bytes: stateBytes ?? null,
    dry_run: isDry,
  };
}
