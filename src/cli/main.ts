import { setImmediate } from 'node:timers/promises';
import { CommanderError } from 'commander';
import { shortageCode } from '../core/engines/shortage.js';
import { QrunError } from '../core/errors.js';
import { createProgram, isHelpOrVersion } from './program.js';
import { endSoon } from './terminal/end-now.js';
import { renderError } from './terminal/error.js';
import { SIGNAL_EXIT } from './terminal/signals.js';
import { openTerminal, type Terminal } from './terminal/streams.js';

// All work is done and closed. What still keeps the process alive after this is a leak or a disk that does not
// answer, and not a reason to hang: whoever sent a signal is waiting.
const EXIT_GRACE_MS = 5_000;
const SIGNALLED_GRACE_MS = 1_000;

/**
 * Runs the command line of a process and sets its exit code; never rejects. The process ends by itself, so that
 * everything written to pipes arrives.
 */
export async function main(proc: NodeJS.Process): Promise<void> {
  // Nothing that qrun writes may be writable by everybody, whatever the umask is: what is read again decides a run.
  proc.umask(proc.umask() | 0o002);
  let terminal: Terminal;
  try {
    terminal = openTerminal(proc);
  } catch (error) {
    proc.stderr.write(
      `qrun: the current directory is gone: ${(error as Error).message}\nhint: cd to another\n`,
    );
    proc.exitCode = 2;
    return;
  }
  proc.exitCode = await runCommandLine(proc.argv.slice(2), terminal);
  // Node aborts if it ends after its terminal has gone, and libchdb's handler for that never returns. Nothing is left
  // to do, so the signal that took the terminal away may end the process.
  const onTerminal = [proc.stdin, proc.stdout, proc.stderr].some(stream => stream.isTTY === true);
  if (proc.exitCode === SIGNAL_EXIT.SIGHUP && onTerminal) proc.kill(proc.pid, 'SIGHUP');
  const code = proc.exitCode;
  const isSignalled = Object.values<number>(SIGNAL_EXIT).includes(code);
  setTimeout(() => void endSoon(proc, code), isSignalled ? SIGNALLED_GRACE_MS : EXIT_GRACE_MS).unref();
}

async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode: number | undefined;
  const program = createProgram(terminal, code => {
    exitCode = code;
  });
  try {
    if (args.length === 0) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync(args, { from: 'user' });
    return await withOutput(terminal, exitCode ?? 1);
  } catch (error) {
    if (error instanceof CommanderError) return isHelpOrVersion(error, args) ? 0 : 2;
    const told = asShortage(error);
    terminal.err.write(renderError(told, terminal.errStyle));
    return told instanceof QrunError ? told.exitCode : 1;
  }
}

// Something could not be opened or started for lack of file descriptors or memory: not a bug.
function asShortage(error: unknown): unknown {
  if (error instanceof QrunError || shortageCode(error) === undefined) return error;
  return new QrunError('LOCAL_SHORTAGE', (error as Error).message, { cause: error });
}

// A reader that left (EPIPE) wanted no more; a result that could not be written is not a success.
async function withOutput(terminal: Terminal, exitCode: number): Promise<number> {
  // A failed write is reported on the next turn of the event loop.
  await setImmediate();
  const failed = terminal.out.failed as NodeJS.ErrnoException | undefined;
  if (failed === undefined || failed.code === 'EPIPE') return exitCode;
  terminal.err.write(`qrun: cannot write to stdout: ${failed.message}\n`);
  return exitCode === 0 ? 1 : exitCode;
}
