import { join } from 'node:path';
import { checkReport, judgeJobs, processAll } from '../../../app/jobs/process-all.js';
import { submitTasks } from '../../../app/sweep/submit.js';
import { QrunError } from '../../../core/errors.js';
import { type Job, type ResolvedJobs, resolvedName } from '../../../core/jobs/jobs-file.js';
import { isJobDue } from '../../../core/jobs/state.js';
import { defaultGroup, tasksByName } from '../../../core/queue/labels.js';
import { isLive } from '../../../core/queue/queue.js';
import type { Output } from '../../../core/schema.js';
import { jsonLine } from '../../../core/text/json.js';
import { orWriteError } from '../../../io/files/failures.js';
import { makeDirectories, writeFileAtomic } from '../../../io/files/write-file.js';
import { readJobState } from '../../../io/jobs/state.js';
import { leaseHolder } from '../../../io/log/lease.js';
import { QUEUE } from '../../../io/queue/queues.js';
import { isAccepted } from '../../../local/config/trust.js';
import {
  filesOf,
  RESOLVED_DIRECTORY,
  RESULTS_HINT,
  readJobs,
  readStoredJobs,
} from '../../../local/jobs/context.js';
import type { Flags } from '../../command.js';
import { UNIT_PRIORITY, wholeNumberFlag } from '../../sweep/options.js';
import { ownCommand, submitDeps } from '../../sweep/unit-tasks.js';
import { untilEnded } from '../../sweep/until-ended.js';
import { untilStopped } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import type { check as checkSchema, plan as planSchema, submission } from './process-all.schema.js';
import { renderCheck, renderJobPlan, renderProcessAll } from './render.js';

/** `qrun process-all jobs.toml`: submits what is not done, or checks that all is. Gives the exit code. */
export async function processAllCommand(file: string, flags: Flags, terminal: Terminal): Promise<number> {
  // What follows the jobs names what was submitted, so that a later change of jobs.toml moves nothing.
  const jobs = flags.check === true ? readStoredJobs(file, terminal, flags) : readJobs(file, terminal, flags);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    if (flags.check === true) return await check(jobs, flags, terminal, signal);
    if (flags.dryRun === true) return await showPlan(jobs, flags, terminal);
    return await submit(jobs, flags, terminal, signal, listen);
  });
}

async function submit(
  jobs: ResolvedJobs,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
  listen: () => void,
): Promise<number> {
  const slots = wholeNumberFlag(flags, 'parallel', { min: 1, max: 10_000 });
  const priority = wholeNumberFlag(flags, 'priority', UNIT_PRIORITY) ?? 0;
  const queue = await QUEUE.open({ env: terminal.env, signal });
  const rerunBefore = rerunTime(flags);
  const own = ownCommand(terminal);
  // The tasks start in a clean environment, and what was accepted stays so.
  const accepted = isAccepted(jobs.directory, { given: flags.trust === true, env: terminal.env });
  const trust = accepted ? ['--trust'] : [];
  const { include, exclude } = selectionOf(flags);
  const report = await processAll(
    {
      readState: stateReader(jobs),
      store: content => store(join(jobs.results, RESOLVED_DIRECTORY), content),
      jobArgv: (job, config) => [
        ...own,
        'job',
        `--config=${config}`,
        `--name=${job.name}`,
        ...(rerunBefore === undefined ? [] : [`--rerun-before=${rerunBefore}`]),
        ...trust,
      ],
      checkArgv: config => [
        ...own,
        'process-all',
        config,
        '--check',
        '--when-ended',
        `--priority=${priority - 1}`,
        ...trust,
        ...include.map(glob => `--include=${glob}`),
        ...exclude.map(glob => `--exclude=${glob}`),
      ],
      submit: request => {
        listen();
        return submitTasks(submitDeps(queue, jobs.directory, terminal, signal), request);
      },
    },
    {
      jobs,
      include,
      exclude,
      rerunBefore,
      group: groupOf(jobs, flags),
      slots,
      priority,
      delay: flags.delay as string | undefined,
      resumeGroup: flags.resumeGroup === true,
    },
  );
  if (flags.json === true) {
    const { groupPaused, stateBytes, follower, ...counts } = report;
    const named = { check: follower, group_paused: groupPaused, state_bytes: stateBytes ?? null };
    terminal.out.write(
      jsonLine<Output<typeof submission>>({ sweep: jobs.sweep, results: jobs.results, ...counts, ...named }),
    );
  } else {
    terminal.out.write(renderProcessAll(report, jobs.sweep, QUEUE, terminal.outStyle));
  }
  return 0;
}

async function check(
  jobs: ResolvedJobs,
  flags: Flags,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  const awaited = {
    kind: 'job' as const,
    sweep: jobs.sweep,
    group: groupOf(jobs, flags),
    directory: jobs.directory,
    orphans: async () => [...(await running(jobs, jobs.jobs)).keys()],
  };
  if (flags.whenEnded === true && !(await untilEnded(awaited, flags, terminal, signal))) return 0;
  const judged = judgeJobs(stateReader(jobs), jobs, selectionOf(flags));
  const open = judged.filter(({ verdict }) => verdict.phase === 'interrupted').map(({ job }) => job);
  const report = checkReport(jobs.sweep, judged, new Set((await running(jobs, open)).keys()));
  terminal.out.write(
    flags.json === true
      ? jsonLine<Output<typeof checkSchema>>(report)
      : renderCheck(report, terminal.outStyle),
  );
  return report.complete ? 0 : 20;
}

/** Who runs each of the jobs that run, by the name of the job. */
async function running(jobs: ResolvedJobs, among: readonly Job[]): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const job of among) {
    const holder = await leaseHolder(filesOf(jobs, job).log);
    if (holder !== undefined) found.set(job.name, holder);
  }
  return found;
}

async function showPlan(jobs: ResolvedJobs, flags: Flags, terminal: Terminal): Promise<number> {
  const judged = judgeJobs(stateReader(jobs), jobs, selectionOf(flags));
  const rerunBefore = rerunTime(flags);
  const live = await liveJobs(jobs.sweep, terminal);
  if (flags.json !== true) {
    terminal.out.write(renderJobPlan(judged, rerunBefore, live, QUEUE, terminal.outStyle));
    return 0;
  }
  const plan = judged.map(({ job, verdict }) => ({
    job: job.name,
    parameters: job.parameters,
    command: job.command,
    last_run: verdict.phase,
    queue: live === undefined ? null : (live.get(job.name) ?? 'none'),
    submit: isJobDue(verdict, rerunBefore) && live?.get(job.name) === undefined,
  }));
  terminal.out.write(
    jsonLine<Output<typeof planSchema>>({ sweep: jobs.sweep, results: jobs.results, jobs: plan }),
  );
  return 0;
}

function selectionOf(flags: Flags) {
  const { include = [], exclude = [] } = flags as { include?: string[]; exclude?: string[] };
  return { include, exclude };
}

function groupOf(jobs: ResolvedJobs, flags: Flags): string {
  return (flags.group as string | undefined) ?? defaultGroup(jobs.sweep);
}

function stateReader(jobs: ResolvedJobs) {
  return (job: Job) => readJobState(filesOf(jobs, job).state);
}

function rerunTime(flags: Flags): string | undefined {
  return flags.rerun === 'all' ? new Date().toISOString() : undefined;
}

/** Returns the phases of the jobs that the queue is to run or runs; `undefined` when it cannot be asked. */
async function liveJobs(sweep: string, terminal: Terminal): Promise<Map<string, string> | undefined> {
  try {
    const { tasks } = await (await QUEUE.open({ env: terminal.env })).state();
    const live = [...tasksByName('job', tasks, sweep)].filter(([, task]) => isLive(task));
    return new Map(live.map(([name, task]) => [name, task.phase]));
  } catch (error) {
    if (error instanceof QrunError) return undefined;
    throw error;
  }
}

async function store(folder: string, content: string): Promise<string> {
  const path = join(folder, resolvedName(content));
  return await orWriteError(path, RESULTS_HINT, async () => {
    makeDirectories(folder);
    await writeFileAtomic(path, content);
    return path;
  });
}
