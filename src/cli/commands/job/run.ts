import type { JobOutcome } from '../../../app/jobs/run-job.js';
import { type ExitCode, QrunError } from '../../../core/errors.js';
import { readStoredJobs } from '../../../local/jobs/context.js';
import { runJobOf } from '../../../local/jobs/run.js';
import type { Call } from '../../command.js';
import { parsedFlag } from '../../flags.js';
import { formatLatency } from '../../terminal/format.js';
import { hearSignals, SIGNAL_EXIT } from '../../terminal/signals.js';

/** `qrun job`: runs one job of a jobs.toml unless it is done. Returns the exit code. */
export async function run({ flags, terminal }: Call): Promise<number> {
  const jobs = readStoredJobs(flags.config as string, terminal, flags);
  const job = flags.name as string;
  const { err, errStyle, out, proc } = terminal;
  const note = (text: string): void => err.write(`${errStyle.foreign(job)}: ${errStyle.foreign(text)}\n`);
  const stops = hearSignals(proc);
  try {
    const { outcome, log } = await runJobOf(jobs, terminal, {
      name: job,
      rerunBefore: parsedFlag(flags, '--rerun-before', 'a time such as 2026-01-31T12:00:00Z', isoTime),
      trust: flags.trust === true,
      ...{ note, stops, onStart: stops.listen },
      onOutput: text => out.write(text),
    });
    return exitCodeOf(outcome, { job, log, cap: jobs.memory_max }, note);
  } finally {
    stops.dispose();
  }
}

function isoTime(text: string): string | undefined {
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? undefined : new Date(time).toISOString();
}

/** Reports how a job ended, and returns the exit code. Errors: QrunError `JOB_FAILED`. */
function exitCodeOf(
  outcome: JobOutcome,
  { job, log, cap }: { readonly job: string; readonly log: string; readonly cap: string | null },
  note: (text: string) => void,
): ExitCode {
  if (outcome.kind === 'done before') {
    note('is done already');
    return 0;
  }
  if (outcome.kind === 'stopped') {
    note(`stopped by ${outcome.signal}; it continues when it is submitted again`);
    return SIGNAL_EXIT[outcome.signal];
  }
  const { exitCode, signal, killedAtCap, startError } = outcome.end;
  if (killedAtCap) {
    note(`killed at its memory cap of ${cap} (137); raise memory_max, or let it use less`);
    return 137;
  }
  if (exitCode === 0) {
    note(`done in ${formatLatency(outcome.durationMs)}`);
    return 0;
  }
  if (signal === 'SIGKILL') {
    note('killed by SIGKILL (137): by somebody, or by the system for lack of memory');
    return 137;
  }
  if (signal === 'SIGHUP' || signal === 'SIGINT' || signal === 'SIGTERM') {
    note(`its command was ended by ${signal}`);
    return SIGNAL_EXIT[signal];
  }
  throw new QrunError('JOB_FAILED', `the job ${job} failed: ${howItFailed(exitCode, signal, startError)}`, {
    hint: `its output is in ${log}; submit it again when the cause is fixed`,
  });
}

function howItFailed(exitCode: number | null, signal: string | null, startError: string | undefined): string {
  if (startError !== undefined) return `its command cannot be started (${startError})`;
  return signal === null ? `its command ended with ${exitCode}` : `its command was killed by ${signal}`;
}
