import { QrunError } from '../../../core/errors.js';
import { taskOfList, taskOfSweep } from '../../../local/queue/array-task.js';
import { type ArrayTask, runTask } from '../../../local/queue/run-task.js';
import type { Call } from '../../command.js';
import { sweepOf } from '../../sweep/options.js';
import { hearSignals } from '../../terminal/signals.js';

/**
 * `qrun task --index`: runs one task of an array, as a child. Returns the exit code for the scheduler.
 *
 * Errors: QrunError `USAGE` for the number, `CONFIG` and `UNIT_*` for the sweep.
 */
export async function run(call: Call<string>): Promise<number> {
  const { terminal } = call;
  const { err, errStyle, proc } = terminal;
  const task = taskOf(call);
  const signals = hearSignals(proc);
  try {
    const end = await runTask(task, terminal, {
      listen: onSignal => {
        signals.onSignal(onSignal);
        signals.listen();
      },
      onNotice: text => err.write(`${errStyle.paint.accent('qrun task: ')}${errStyle.foreign(text)}\n`),
    });
    if ('exitCode' in end) return end.exitCode;
    signals.dispose();
    // The scheduler shall see what happened to it.
    proc.kill(proc.pid, end.signal);
    return 1;
  } finally {
    signals.dispose();
  }
}

function taskOf(call: Call<string>): ArrayTask {
  const { flags, terminal } = call;
  const index = typeof flags.index === 'string' ? flags.index : undefined;
  if (flags.index === undefined) {
    throw new QrunError('USAGE', '--index is missing: it says that this is a task of an array', {
      hint: 'qrun task ./sql --index 0 runs the first unit; in an array the scheduler says which: qrun task ./sql --index',
    });
  }
  if (flags.list === undefined) return taskOfSweep(sweepOf(call), index, terminal.env, flags.trust === true);
  const list = { path: String(flags.list), digest: String(flags.listDigest ?? '') };
  return taskOfList(list, index, terminal.env);
}
