import type { Command } from 'commander';
import type { Terminal } from './terminal/streams.js';

/**
 * Options of commander: those of the configuration under its keys, all others under the names that it derives from
 * flags.
 */
export type Flags = Readonly<Record<string, unknown>>;

/** A parsed command line. */
export interface Call<Arguments extends readonly unknown[]> {
  /** One for each declared argument; `undefined` for an optional one that is missing. */
  readonly args: Arguments;
  readonly flags: Flags;
  readonly terminal: Terminal;
  /** The whole command line. */
  readonly program: Command;
}

/** What a command is: declared in `commands/<name>/index.ts`, and executed by the code that this loads. */
export interface CommandSpec<Arguments extends readonly unknown[]> {
  readonly name: string;
  readonly description: string;
  /** Adds its arguments, its options and further help. */
  readonly declare?: (command: Command) => void;
  /**
   * Executes the command and resolves with the exit code. Loads its code when it is called, so that `--help` and
   * every other command start without it. Errors: QrunError, whose exit code then counts.
   */
  readonly run?: (call: Call<Arguments>) => Promise<number>;
  /** Its subcommands. */
  readonly commands?: readonly CliCommand[];
}

/** What a command is added to, and what receives its exit code. */
export interface CommandLine {
  readonly program: Command;
  readonly terminal: Terminal;
  readonly done: (exitCode: number) => void;
}

/** A command that can be added to another, or to the program. */
export type CliCommand = (parent: Command, line: CommandLine) => void;

/** Returns a command made from its specification. `Arguments` are the types of its arguments, in their order. */
export function cliCommand<Arguments extends readonly unknown[] = []>(
  spec: CommandSpec<Arguments>,
): CliCommand {
  const { name, description, declare, run, commands = [] } = spec;
  return (parent, line) => {
    const { program, terminal, done } = line;
    const command = parent.command(name).description(description);
    declare?.(command);
    for (const add of commands) add(command, line);
    if (run === undefined) return;
    command.action(async () => {
      const args: readonly unknown[] = command.processedArgs;
      done(await run({ args: args as Arguments, flags: command.opts(), terminal, program }));
    });
  };
}
