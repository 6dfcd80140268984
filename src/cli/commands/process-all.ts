import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkReport, judgeJobs, processAll } from '../../app/process-all.js';
import { submitTasks } from '../../app/submit.js';
import { QrunError } from '../../core/errors.js';
import { isJobDue } from '../../core/job-state.js';
import { type Job, type ResolvedJobs, resolvedName } from '../../core/jobs.js';
import { AUDIT, defaultGroup, nameInLabel, tasksByName } from '../../core/labels.js';
import { isLive } from '../../core/pueue-state.js';
import { shellCommand } from '../../core/shell.js';
import { writeFileAtomic } from '../../io/durable-file.js';
import { FileLock } from '../../io/flock.js';
import { readJobState } from '../../io/job-state.js';
import { makeDirectories, reasonOf } from '../../io/log-file.js';
import { Pueue } from '../../io/pueue.js';
import { filesOf, ownProgram, RESOLVED_DIRECTORY, readJobs } from '../jobs-context.js';
import type { Flags } from '../options.js';
import { renderCheck, renderJobPlan, renderProcessAll } from '../render/jobs.js';
import type { Terminal } from '../terminal.js';

/** Flags of `qrun process-all`, as commander gives them. */
interface ProcessAllFlags {
  readonly check?: boolean;
  readonly dryRun?: boolean;
  readonly json?: boolean;
  readonly parallel?: number;
  readonly priority?: number;
  readonly delay?: string;
  readonly group?: string;
  readonly memoryMax?: string;
  readonly include?: string[];
  readonly exclude?: string[];
  readonly rerun?: 'all';
  readonly resumeGroup?: boolean;
}

/** `qrun process-all jobs.toml`: submits what is not done, or checks that all is. Gives the exit code. */
export async function processAllCommand(file: string, given: Flags, terminal: Terminal): Promise<number> {
  const flags = given as ProcessAllFlags;
  const jobs = readJobs(file, terminal.cwd, flags.memoryMax);
  if (flags.check === true) return await check(jobs, flags, terminal);
  if (flags.dryRun === true) return await showPlan(jobs, flags, terminal);
  const pueue = await Pueue.open({ env: terminal.env });
  const rerunBefore = rerunTime(flags);
  const folder = join(jobs.results, RESOLVED_DIRECTORY);
  makeFolder(folder);
  const report = await processAll(
    {
      readState: stateReader(jobs),
      store: content => store(folder, content),
      jobCommand: (job, config) =>
        shellCommand([
          ...ownProgram(terminal.proc),
          'job',
          ...['--config', config, '--name', job.name],
          ...(rerunBefore === undefined ? [] : ['--rerun-before', rerunBefore]),
        ]),
      submit: request =>
        submitTasks({ pueue, locked: work => locked(join(folder, 'submit.lock'), work) }, request),
    },
    {
      jobs,
      include: flags.include ?? [],
      exclude: flags.exclude ?? [],
      rerunBefore,
      group: flags.group ?? defaultGroup(jobs.sweep),
      slots: flags.parallel,
      newGroupSlots: defaultSlots(),
      priority: flags.priority ?? 0,
      delay: flags.delay,
      resumeGroup: flags.resumeGroup === true,
      check: checkCommand(resolve(terminal.cwd, file), flags, terminal),
    },
  );
  if (flags.json === true) {
    terminal.out.write(`${JSON.stringify({ sweep: jobs.sweep, ...report, results: jobs.results })}\n`);
  } else {
    terminal.out.write(renderProcessAll(report, jobs.sweep, terminal.outStyle));
  }
  return 0;
}

async function check(jobs: ResolvedJobs, flags: ProcessAllFlags, terminal: Terminal): Promise<number> {
  await waitForRunning(jobs.sweep, terminal);
  const judged = judgeJobs(stateReader(jobs), jobs, selectionOf(flags));
  const report = checkReport(jobs.sweep, judged);
  terminal.out.write(
    flags.json === true ? `${JSON.stringify(report)}\n` : renderCheck(report, terminal.outStyle),
  );
  return report.complete ? 0 : 20;
}

async function showPlan(jobs: ResolvedJobs, flags: ProcessAllFlags, terminal: Terminal): Promise<number> {
  const judged = judgeJobs(stateReader(jobs), jobs, selectionOf(flags));
  const rerunBefore = rerunTime(flags);
  const live = await liveJobs(jobs.sweep, terminal);
  if (flags.json !== true) {
    terminal.out.write(renderJobPlan(judged, rerunBefore, live, terminal.outStyle));
    return 0;
  }
  const plan = judged.map(({ job, verdict }) => ({
    job: job.name,
    parameters: job.parameters,
    command: job.command,
    last_run: verdict.phase,
    pueue: live === undefined ? null : (live.get(job.name) ?? 'none'),
    submit: isJobDue(verdict, rerunBefore) && live?.get(job.name) === undefined,
  }));
  terminal.out.write(`${JSON.stringify({ sweep: jobs.sweep, results: jobs.results, jobs: plan })}\n`);
  return 0;
}

function selectionOf(flags: ProcessAllFlags) {
  return { include: flags.include ?? [], exclude: flags.exclude ?? [] };
}

function stateReader(jobs: ResolvedJobs) {
  return (job: Job) => readJobState(filesOf(jobs, job).state);
}

function rerunTime(flags: ProcessAllFlags): string | undefined {
  return flags.rerun === 'all' ? new Date().toISOString() : undefined;
}

/** The phases of the jobs that pueue is to run or runs; `undefined` when it cannot be asked. */
async function liveJobs(sweep: string, terminal: Terminal): Promise<Map<string, string> | undefined> {
  try {
    const { tasks } = await (await Pueue.open({ env: terminal.env })).status();
    const live = [...tasksByName(tasks, sweep)].filter(([, task]) => isLive(task));
    return new Map(live.map(([name, task]) => [name, task.phase]));
  } catch (error) {
    if (error instanceof QrunError) return undefined;
    throw error;
  }
}

// A job takes seconds at least; the read of a large state takes a tenth of one.
const LOOK_EVERY_MS = 2_000;

/**
 * Resolves when no task of the sweep runs. Not for those that are queued: where the check holds the only slot, they
 * would wait for it.
 */
async function waitForRunning(sweep: string, terminal: Terminal): Promise<void> {
  let said = false;
  const pueue = await Pueue.open({ env: terminal.env }).catch(unavailable);
  for (;;) {
    const state = await pueue?.status().catch(unavailable);
    const running = (state?.tasks ?? []).filter(
      task => task.phase === 'running' && ![undefined, AUDIT].includes(nameInLabel(sweep, task.label)),
    );
    if (running.length === 0) return;
    if (!said)
      terminal.err.write(`waiting for ${running.length} running ${running.length === 1 ? 'job' : 'jobs'}\n`);
    said = true;
    await delay(LOOK_EVERY_MS);
  }

  // What ran without pueue, or beside a daemon that is gone, is judged by its records alone.
  function unavailable(error: unknown): undefined {
    if (error instanceof QrunError) return undefined;
    throw error;
  }
}

function checkCommand(file: string, flags: ProcessAllFlags, terminal: Terminal): string {
  return shellCommand([
    ...ownProgram(terminal.proc),
    'process-all',
    file,
    '--check',
    ...(flags.include ?? []).flatMap(glob => ['--include', glob]),
    ...(flags.exclude ?? []).flatMap(glob => ['--exclude', glob]),
  ]);
}

async function store(folder: string, content: string): Promise<string> {
  const path = join(folder, resolvedName(content));
  try {
    await writeFileAtomic(path, content);
    return path;
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

function makeFolder(path: string): void {
  try {
    makeDirectories(path);
  } catch (cause) {
    throw unwritable(path, cause);
  }
}

function unwritable(path: string, cause: unknown): QrunError {
  return new QrunError('LOG_WRITE', `cannot write ${path}: ${reasonOf(cause)}`, {
    hint: 'free space, or choose another place: results = "..." in jobs.toml',
    cause,
  });
}

// 5,000 additions take a few minutes.
const SUBMIT_WAIT_MS = 600_000;

async function locked<T>(path: string, work: () => Promise<T>): Promise<T> {
  const lock = await FileLock.open(path);
  try {
    await lock.acquire({ limitMs: SUBMIT_WAIT_MS });
    return await work();
  } finally {
    lock.close();
  }
}

// A fifth of the machine is left to others.
function defaultSlots(): number {
  return Math.max(1, Math.floor(availableParallelism() * 0.8));
}
