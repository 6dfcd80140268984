import type { CheckReport } from '../../../app/jobs/process-all.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { readJobs, readStoredJobs } from '../../../local/jobs/context.js';
import { JobsOf, type JobsPlan, type JobsReport } from '../../../local/jobs/jobs.js';
import { type Call, type Flags, writeResult } from '../../command.js';
import { AUDIT_PRIORITY, PARALLEL, stringsFlag, UNIT_PRIORITY, wholeNumberFlag } from '../../flags.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderCheck, renderJobPlan, renderProcessAll } from './render.js';

/** `qrun process-all jobs.toml`: submits what is not done, or checks that everything is. Returns the exit code. */
export async function run(call: Call<string>): Promise<number> {
  const { argument: file, flags, terminal } = call;
  // The check names the file that was submitted, so that a later change of jobs.toml has no effect on it.
  const read = flags.check === true ? readStoredJobs : readJobs;
  const jobs = new JobsOf(read(file, terminal, flags), terminal, flags.trust === true);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    if (flags.check === true) return await check(jobs, call, signal);
    if (flags.dryRun === true) {
      const plan = await jobs.plan(optionsOf(flags));
      writeResult<JobsPlan>(call, plan, style => renderJobPlan(plan, QUEUE, style));
      return 0;
    }
    const { group, delay } = flags as { group?: string; delay?: string };
    const report = await jobs.submit(
      {
        ...optionsOf(flags),
        ...(group === undefined ? {} : { group }),
        delay,
        slots: wholeNumberFlag(flags, '--parallel', PARALLEL),
        priority: wholeNumberFlag(flags, '--priority', UNIT_PRIORITY) ?? 0,
        resumeGroup: flags.resumeGroup === true,
      },
      { signal, onBegin: listen },
    );
    writeResult<JobsReport>(call, report, style => renderProcessAll(report, QUEUE, style));
    return 0;
  });
}

async function check(jobs: JobsOf, call: Call<string>, signal: AbortSignal): Promise<number> {
  const { flags, terminal } = call;
  if (flags.whenEnded === true) {
    const who = {
      arguments: terminal.proc.argv.slice(2),
      priority: wholeNumberFlag(flags, '--priority', AUDIT_PRIORITY),
      signal,
      onWaiting: (text: string) => terminal.err.write(`${text}\n`),
    };
    if (!(await jobs.untilEnded(who, flags.group as string | undefined))) return 0;
  }
  const report = await jobs.check(optionsOf(flags));
  writeResult<CheckReport>(call, report, style => renderCheck(report, style));
  return report.complete ? 0 : 20;
}

function optionsOf(flags: Flags) {
  return {
    include: stringsFlag(flags, 'include'),
    exclude: stringsFlag(flags, 'exclude'),
    rerun: flags.rerun as 'all' | undefined,
  };
}
