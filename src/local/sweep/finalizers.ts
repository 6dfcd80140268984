import { QrunError } from '../../core/errors.js';
import { commandHoldsSecret } from '../../core/text/secret-names.js';
import { runShell } from '../../io/machine/child.js';

/**
 * Returns the commands of `--then`. Errors: QrunError `USAGE` for one with a secret in it: every user of the machine
 * can read them in the state of the queue, in the list of processes and in the report of the audit.
 */
export function checkedCommands(commands: readonly string[]): readonly string[] {
  const at = commands.findIndex(commandHoldsSecret);
  if (at === -1) return commands;
  throw new QrunError('USAGE', `--then: command ${at + 1} looks as if it holds a secret`, {
    hint: 'others can read it in the queue and in the list of processes: let the command read the secret from a file',
  });
}

/**
 * Runs the commands after a complete audit, one after the other, each only after the previous one has succeeded.
 * `onCommand` is called before each.
 *
 * Errors: QrunError `FINALIZER_FAILED`; the reason of the signal.
 */
export async function runFinalizers(
  commands: readonly string[],
  where: Parameters<typeof runShell>[1],
  onCommand?: (command: string) => void,
): Promise<void> {
  for (const command of commands) {
    onCommand?.(command);
    const { exitCode, signal: killedBy } = await runShell(command, where);
    where.signal.throwIfAborted();
    if (exitCode === 0) continue;
    throw new QrunError(
      'FINALIZER_FAILED',
      `--then ${command}: ${killedBy === null ? `exit ${exitCode}` : `ended by ${killedBy}`}`,
      {
        hint: 'the audit is complete; correct the command and run it by hand, or qrun audit-all --then again',
      },
    );
  }
}
