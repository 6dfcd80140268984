import { formatSize } from '../../../core/text/bytes.js';
import type { UnitContext } from '../../../local/unit/context.js';
import { hearSignals } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';

/** Names the process that started this one under a cap, so that this one does not start itself again. */
const SUPERVISOR = 'QRUN_SUPERVISOR';
/** Under which number the supervised process has the descriptor of `--alive-fd`. */
const ALIVE_FD = 'QRUN_ALIVE_FD';
const KILLED = 137;

/**
 * Runs this command line again under the memory cap of its configuration and resolves with its exit code. Resolves
 * with `undefined` when this process must do the work itself: there is no cap, this process is already under it, or
 * caps do not work here (reported once on stderr).
 *
 * The second process has the terminal, the process group and the standard streams of this one. Signals are passed on
 * to it; one that it already had from the terminal counts once (see `hearSignals`). When it is killed by SIGKILL, the
 * message says whether its cap was the reason, and the exit code is 137.
 *
 * `aliveFd`: the descriptor of `--alive-fd`, which the second process gets too; see {@link suppliedAliveFd}.
 */
export async function runUnderCap(
  context: UnitContext,
  terminal: Terminal,
  aliveFd: number | undefined,
): Promise<number | undefined> {
  const { memoryMax: memoryMaxBytes } = context.config;
  const { proc, env, err, errStyle } = terminal;
  if (memoryMaxBytes === undefined || isSupervised(terminal)) return undefined;
  const cap = formatSize(memoryMaxBytes);
  const uncapped = (reason: string): void => {
    err.write(
      `${errStyle.paint.caution('qrun: ')}runs without its memory cap of ${cap}: ${errStyle.foreign(reason)}\n`,
    );
  };
  const { HELD_FD, runCapped, shellExitCode, systemdUsable } = await import('../../../io/machine/systemd.js');
  const usability = await systemdUsable();
  if (!usability.usable) {
    uncapped(usability.reason);
    return undefined;
  }
  const signals = hearSignals(proc);
  signals.listen();
  const end = await runCapped(
    {
      command: proc.execPath,
      args: [...proc.execArgv, ...proc.argv.slice(1)],
      memoryMaxBytes,
      env: {
        ...env,
        [SUPERVISOR]: String(proc.pid),
        ...(aliveFd === undefined ? {} : { [ALIVE_FD]: String(HELD_FD) }),
      },
      held: aliveFd,
      onStarted: signals.onSignal,
      onUncapped: uncapped,
    },
    usability,
  );
  signals.dispose();
  if (end.signal === 'SIGKILL' && end.killedAtCap) {
    err.write(
      `${errStyle.paint.bad('qrun: ')}killed at its memory cap of ${cap} (${KILLED})\n` +
        `${errStyle.paint.accent('hint: ')}raise --memory-max, or lower -P; what was recorded is kept, and the same command does the rest\n`,
    );
  } else if (end.signal === 'SIGKILL' && signals.received() === undefined) {
    err.write(
      `${errStyle.paint.bad('qrun: ')}killed by SIGKILL (${KILLED})\n` +
        `${errStyle.paint.accent('hint: ')}by kill -9, or for lack of memory on the whole machine (see dmesg); the same command does the rest\n`,
    );
  }
  return shellExitCode(end);
}

/** Returns the number that the descriptor of `--alive-fd` has in this process, which may be a supervised one. */
export function suppliedAliveFd(given: number | undefined, terminal: Terminal): number | undefined {
  const passed = terminal.env[ALIVE_FD];
  return given === undefined || passed === undefined || !isSupervised(terminal) ? given : Number(passed);
}

// A process that inherited the variable from further up has another parent.
function isSupervised({ proc, env }: Terminal): boolean {
  return env[SUPERVISOR] === String(proc.ppid);
}
