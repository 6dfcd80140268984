import { QrunError } from '../../../core/errors.js';
import type { TaskEnd, TaskPhase } from '../../../core/queue/queue.js';

/** A task of an array, as Slurm tells it. */
export interface ArrayTask {
  /** Of the array. */
  readonly job: string;
  readonly index: number;
  readonly phase: TaskPhase;
  readonly waits?: string;
  /** Only if it is done; the exit code of a failure is another question. */
  readonly end?: TaskEnd;
  readonly host?: string;
  readonly name: string;
  /** What qrun noted at it: which list it is a task of. */
  readonly comment: string;
  readonly directory: string;
}

// Nobody has it in a name or a path.
const SEPARATOR = '\x1f';

/** What `squeue` is asked to print of each task, one line each: the path last. */
export const STATE_FORMAT = ['%F', '%K', '%T', '%r', '%B', '%k', '%j', '%Z'].join(SEPARATOR);

/** What `squeue -O` is asked to print of failed tasks: the only place where it tells exit codes. */
export const EXIT_FORMAT = 'ArrayJobID:20,ArrayTaskID:20,exit_code:20';

/**
 * Returns the tasks in what `squeue` printed, in its order; tasks that are no part of an array are left out. Errors:
 * QrunError `QUEUE_UNSUPPORTED` for another format.
 */
export function parseTasks(stdout: string): ArrayTask[] {
  return lines(stdout).flatMap(line => {
    const [job, index, state, reason, host, comment, name, ...directory] = line.split(SEPARATOR);
    if (job === undefined || !/^\d+$/.test(job) || state === undefined || directory.length === 0) {
      throw new QrunError('QUEUE_UNSUPPORTED', `squeue answered ${JSON.stringify(line.slice(0, 200))}`, {
        hint: 'qrun reads that of Slurm 21 and later; is squeue another program here?',
      });
    }
    if (index === undefined || !/^\d+$/.test(index)) return [];
    const isNowhere = host === undefined || host === 'n/a' || host === '';
    const { phase, end } = stateOf(state, reason ?? '', isNowhere);
    const waits = state === 'PENDING' && !USUAL.test(reason ?? '') ? reason : undefined;
    return [
      {
        job,
        index: Number(index),
        phase,
        ...(waits === undefined ? {} : { waits: `Slurm says: ${waits}` }),
        ...(end === undefined ? {} : { end }),
        ...(isNowhere ? {} : { host }),
        name: name ?? '',
        comment: comment ?? '',
        directory: directory.join(SEPARATOR),
      },
    ];
  });
}

/** Returns how the failed tasks in what `squeue -O` printed ended, by `<job>_<index>`. */
export function parseExits(stdout: string): Map<string, TaskEnd> {
  return new Map(
    lines(stdout).flatMap(line => {
      const [job, index, exit] = line.trim().split(/\s+/);
      const end = exit === undefined ? undefined : endOf(exit);
      return end === undefined ? [] : [[`${job}_${index}`, end] as const];
    }),
  );
}

function lines(stdout: string): string[] {
  return stdout.split('\n').filter(line => line.trim() !== '');
}

// Older versions print the status that wait(2) returns, newer ones `<code>:<signal>`.
function endOf(exit: string): TaskEnd | undefined {
  const pair = /^(\d{1,9}):(\d{1,9})$/.exec(exit);
  const status = /^\d{1,9}$/.test(exit) ? Number(exit) : undefined;
  const signal = pair ? Number(pair[2]) : status === undefined ? undefined : status & 0x7f;
  const exitCode = pair ? Number(pair[1]) : status === undefined ? undefined : (status >> 8) & 0xff;
  if (signal === undefined || exitCode === undefined) return undefined;
  if (signal !== 0) return { kind: 'killed' };
  return exitCode === 0 ? { kind: 'success' } : { kind: 'failed', exitCode };
}

const LIVE: Readonly<Record<string, TaskPhase>> = {
  PENDING: 'queued',
  CONFIGURING: 'running',
  RUNNING: 'running',
  // Its processes have ended or are just being ended.
  COMPLETING: 'running',
  SIGNALING: 'running',
  STAGE_OUT: 'running',
  RESIZING: 'running',
  SUSPENDED: 'paused',
  STOPPED: 'paused',
  REQUEUED: 'delayed',
  REQUEUE_FED: 'delayed',
  REQUEUE_HOLD: 'delayed',
  RESV_DEL_HOLD: 'delayed',
  SPECIAL_EXIT: 'delayed',
};

/** What is said of a task that a person has cancelled. */
export const CANCELLED = 'cancelled';

const ENDS: Readonly<Record<string, TaskEnd>> = {
  COMPLETED: { kind: 'success' },
  FAILED: { kind: 'failed' },
  CANCELLED: { kind: 'killed', says: CANCELLED },
  TIMEOUT: { kind: 'killed', says: 'ended at its time limit' },
  DEADLINE: { kind: 'killed', says: 'ended at its deadline' },
  OUT_OF_MEMORY: { kind: 'killed', says: 'killed at its memory limit' },
  PREEMPTED: { kind: 'killed', says: 'ended for another job' },
  NODE_FAIL: { kind: 'lost', says: 'its node failed' },
  BOOT_FAIL: { kind: 'not started', says: 'its node did not boot' },
  REVOKED: { kind: 'lost', says: 'another cluster has it' },
};

// Why every pending task waits sometimes: for its turn, a slot, a time, or the tasks before it.
const USUAL =
  /^(?:None|Priority|Resources|Dependency|BeginTime|JobArrayTaskLimit|NonZeroExitCode|Cleaning|Prolog)?$/;

// Why a pending task waits for a time or a person, and not for a slot.
const HELD = /^(?:BeginTime|JobHeld\w*|JobHoldMaxRequeue)$|held/i;

function stateOf(state: string, reason: string, isNowhere: boolean): { phase: TaskPhase; end?: TaskEnd } {
  const phase = LIVE[state];
  if (phase !== undefined) return { phase: phase === 'queued' && HELD.test(reason) ? 'delayed' : phase };
  const end: TaskEnd = ENDS[state] ?? { kind: 'lost', says: `Slurm says ${state}` };
  if (!isNowhere || end.kind === 'success' || end.kind === 'lost') return { phase: 'done', end };
  // Slurm keeps a record of what it has refused, too.
  return { phase: 'done', end: { kind: 'not started', says: end.says ?? `Slurm says: ${reason}` } };
}
