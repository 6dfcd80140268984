import type { Socket } from 'node:net';
import { isQueueError } from '../../core/errors.js';
import { taskAnswer } from '../../core/queue/task-end.js';
import { startChild } from '../../io/machine/child.js';
import { shellExitCode } from '../../io/machine/systemd.js';
import { ownCommand } from '../../io/machine/this-process.js';
import { restartIn } from '../../io/queue/queues.js';
import { TASK_GROUP } from '../../io/queue/task-variables.js';
import type { Surroundings } from '../config/sweep-context.js';

/** One task of an array. */
export interface ArrayTask {
  readonly argv: readonly string[];
  /** Where it starts. */
  readonly directory: string;
  /** Its group of the queue; `undefined` if a scheduler that qrun does not know has started it. */
  readonly group: string | undefined;
}

/** How a task is watched and stopped. */
export interface TaskWatch {
  /** Begins to pass on signals: what it is given is called with each. */
  readonly listen: (onSignal: (signal: NodeJS.Signals) => void) => void;
  /** Called with what a person should know. */
  readonly onNotice: (text: string) => void;
}

/** How a task ended, for its own process: with this exit code, or by this signal. */
export type TaskProcessEnd = { readonly exitCode: number } | { readonly signal: NodeJS.Signals };

// The descriptor on which `qrun unit` watches this process.
const ALIVE_FD = 3;

/**
 * Runs a task as a child, and resolves with how the process of the task must end. A `qrun unit` stops when this process
 * dies, however that happens (`--alive-fd`), and drains when this process is asked to end; any other command gets the
 * signal, from the scheduler itself or from here. Of a qrun the exit code becomes what {@link taskAnswer} makes of it for
 * the scheduler, which is asked to start the task again if it can. Any other command ends as it ends.
 *
 * Errors: none; what fails is told, and the exit code of the qrun stands.
 */
export async function runTask(
  { argv, directory, group }: ArrayTask,
  { env }: Pick<Surroundings, 'env'>,
  { listen, onNotice }: TaskWatch,
): Promise<TaskProcessEnd> {
  const own = ownCommand();
  const isOwn = own.every((word, at) => argv[at] === word);
  const isUnit = isOwn && argv[own.length] === 'unit';
  const [program = '', ...args] = isUnit ? [...argv, `--alive-fd=${ALIVE_FD}`] : argv;
  const { child, ended } = startChild(program, args, {
    cwd: directory,
    env: group === undefined ? env : { ...env, [TASK_GROUP]: group },
    stdio: ['ignore', 'inherit', 'inherit', ...(isUnit ? (['pipe'] as const) : [])],
  });
  const alive = (isUnit ? child.stdio[ALIVE_FD] : undefined) as Socket | undefined;
  // It may end before this process does.
  alive?.on('error', () => {});
  let isAsked = false;
  listen(signal => {
    isAsked = true;
    // A cluster sends its signals to all processes of a task. The end of the pipe counts once, whatever came before.
    if (alive !== undefined) alive.destroy();
    else if (group === undefined) child.kill(signal);
  });
  const end = await ended;
  alive?.destroy();
  if (end.startError !== undefined) onNotice(`${program} cannot be started: ${end.startError}`);
  if (!isOwn) {
    return end.signal === null ? { exitCode: end.exitCode ?? 1 } : { signal: end.signal };
  }
  const code = shellExitCode(end);
  const restart = group === undefined ? undefined : restartIn(env);
  const answer = taskAnswer(code, restart?.starts ?? 1);
  if (isAsked || !answer.again || restart === undefined) return answer;
  try {
    onNotice(
      `ended with ${code}: the scheduler is asked to start it again (this was start ${restart.starts})`,
    );
    await restart.ask({ env });
  } catch (error) {
    if (!isQueueError(error)) throw error;
    onNotice(`it is not started again: ${error.message}; submit the sweep again later`);
  }
  return answer;
}
