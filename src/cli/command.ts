import type { Command } from 'commander';
import type { Terminal } from './terminal/streams.js';

/** Options of commander: those of the configuration by its keys, all others by the names that it derives from flags. */
export type Flags = Readonly<Record<string, unknown>>;

/** A command line that somebody has given. */
export interface Call<Arguments extends readonly unknown[]> {
  /** One for each argument that is declared; `undefined` for one that may be missing, and is. */
  readonly args: Arguments;
  readonly flags: Flags;
  readonly terminal: Terminal;
  /** The whole command line. */
  readonly program: Command;
}

/** What a command is: declared in `commands/<name>/index.ts`, and done by what that loads. */
export interface CommandSpec<Arguments extends readonly unknown[]> {
  readonly name: string;
  readonly description: string;
  /** Adds its arguments, its options and further help. */
  readonly declare?: (command: Command) => void;
  /**
   * Does it, and resolves with the exit code. Loads its code when it is called, so that `--help` and every other command
   * start without it. Errors: QrunError, whose exit code counts then.
   */
  readonly run?: (call: Call<Arguments>) => Promise<number>;
  /** Commands beneath it. */
  readonly commands?: readonly CliCommand[];
}

/** What a command is added to, and whom it tells its exit code. */
export interface CommandLine {
  readonly program: Command;
  readonly terminal: Terminal;
  readonly done: (exitCode: number) => void;
}

/** A command that can be added to another, or to the program. */
export type CliCommand = (parent: Command, line: CommandLine) => void;

/** Makes a command of what one is. `Arguments` are the types of its arguments, in their order. */
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
