import { Command, type CommanderError } from 'commander';
import { EXIT_TABLE } from '../core/errors.js';
import { withoutOptionValue } from '../core/text/shown-urls.js';
import { version } from '../io/machine/this-process.js';
import { COMMANDS } from './commands/index.js';
import type { Terminal } from './terminal/streams.js';

/**
 * Returns the command line. Commands load what they need when they run, so that `--help` stays quick; the exit code
 * of the command that ran is passed to `done`.
 *
 * Errors: CommanderError for bad flags (nothing was run), QrunError from commands.
 */
export function createProgram(terminal: Terminal, done: (exitCode: number) => void): Command {
  const program = new Command('qrun')
    .description(
      'Runs directories of ClickHouse SQL files with bounded concurrency and records every result exactly once.',
    )
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showSuggestionAfterError(true)
    .exitOverride()
    .configureOutput({
      writeOut: text => terminal.out.write(text),
      writeErr: text => terminal.err.write(text),
      getOutHelpWidth: () => terminal.outStyle.columns,
      getErrHelpWidth: () => terminal.errStyle.columns,
      getOutHasColors: () => terminal.outStyle.color,
      getErrHasColors: () => terminal.errStyle.color,
      outputError: (text, write) => write(withoutOptionValue(text).replace(/^error: /, 'qrun: ')),
    })
    .addHelpText('after', () => `\n${exitTable()}\n\n${EXAMPLES}`);
  for (const add of COMMANDS) add(program, { program, terminal, done });
  return program;
}

/** Returns the exit table as `--help` prints it. */
export function exitTable(): string {
  const rows = EXIT_TABLE.map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`);
  return ['Exit codes:', ...rows].join('\n');
}

/** Returns whether commander ended because it has printed what was asked for. */
export function isHelpOrVersion(error: CommanderError, args: readonly string[]): boolean {
  // For `help COMMAND` commander takes over the exit code that the process would have now: failed.
  return error.exitCode === 0 || (error.code === 'commander.help' && args[0] === 'help');
}

const EXAMPLES = `Examples:
  qrun unit ./sql -P16                              run on the embedded engine
  qrun unit ./sql -P16 --url http://localhost:8123  run on a server
  qrun audit ./sql --rows-per-query 3               prove that nothing is missing
  qrun plan ./sql                                   what would run, and why
  qrun submit-all ./sql --parallel 4                the whole sweep, through pueue
  qrun status ./sql --watch                         how far it is`;
