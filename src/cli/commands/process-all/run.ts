import type { CheckReport } from '../../../app/jobs/process-all.js';
import { jsonLine } from '../../../core/text/json.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { readJobs, readStoredJobs } from '../../../local/jobs/context.js';
import { JobsOf, type JobsPlan, type JobsReport } from '../../../local/jobs/jobs.js';
import type { Flags } from '../../command.js';
import { AUDIT_PRIORITY, stringsFlag, UNIT_PRIORITY, wholeNumberFlag } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { renderCheck, renderJobPlan, renderProcessAll } from './render.js';

/** `qrun process-all jobs.toml`: submits what is not done, or checks that everything is. Returns the exit code. */
export async function processAllCommand(file: string, flags: Flags, terminal: Terminal): Promise<number> {
  // The check names the file that was submitted, so that a later change of jobs.toml has no effect on it.
  const read = flags.check === true ? readStoredJobs : readJobs;
  const jobs = new JobsOf(read(file, terminal, flags), terminal, flags.trust === true);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    if (flags.check === true) return await check(jobs, flags, terminal, signal);
    if (flags.dryRun === true) return await showPlan(jobs, flags, terminal);
    const { group, delay } = flags as { group?: string; delay?: string };
    const report = await jobs.submit(
      {
        ...optionsOf(flags),
        ...(group === undefined ? {} : { group }),
        delay,
        slots: wholeNumberFlag(flags, 'parallel', { min: 1, max: 10_000 }),
        priority: wholeNumberFlag(flags, 'priority', UNIT_PRIORITY) ?? 0,
        resumeGroup: flags.resumeGroup === true,
      },
      { signal, onBegin: listen },
    );
    terminal.out.write(
      flags.json === true ? jsonLine<JobsReport>(report) : renderProcessAll(report, QUEUE, terminal.outStyle),
    );
    return 0;
  });
}

async function check(jobs: JobsOf, flags: Flags, terminal: Terminal, signal: AbortSignal): Promise<number> {
  if (flags.whenEnded === true) {
    const who = {
      arguments: terminal.proc.argv.slice(2),
      priority: wholeNumberFlag(flags, 'priority', AUDIT_PRIORITY),
      signal,
      onWaiting: (text: string) => terminal.err.write(`${text}\n`),
    };
    if (!(await jobs.untilEnded(who, flags.group as string | undefined))) return 0;
  }
  const report = await jobs.check(optionsOf(flags));
  terminal.out.write(
    flags.json === true ? jsonLine<CheckReport>(report) : renderCheck(report, terminal.outStyle),
  );
  return report.complete ? 0 : 20;
}

async function showPlan(jobs: JobsOf, flags: Flags, terminal: Terminal): Promise<number> {
  const plan = await jobs.plan(optionsOf(flags));
  terminal.out.write(
    flags.json === true ? jsonLine<JobsPlan>(plan) : renderJobPlan(plan, QUEUE, terminal.outStyle),
  );
  return 0;
}

function optionsOf(flags: Flags) {
  return {
    include: stringsFlag(flags, 'include'),
    exclude: stringsFlag(flags, 'exclude'),
    rerun: flags.rerun as 'all' | undefined,
  };
}
