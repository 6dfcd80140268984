import type { Command, Option } from 'commander';
import { jsonLine } from '../core/text/json.js';
import type { Terminal } from './terminal/streams.js';
import type { Style } from './terminal/style.js';

/**
 * Options of commander: those of the configuration under its keys, all others under the names that it derives from
 * flags.
 */
export type Flags = Readonly<Record<string, unknown>>;

/** A parsed command line. */
export interface Call<Argument = undefined> {
  /** The argument; those of a command that takes several are an array, and a missing one is `undefined`. */
  readonly argument: Argument;
  readonly flags: Flags;
  readonly terminal: Terminal;
  /** The whole command line. */
  readonly program: Command;
}

/** Adds options to a command, and returns it. */
export type AddOptions = (command: Command) => Command;

/** What a command is: declared in `commands/index.ts`, and executed by the code that this loads. */
interface CommandSpec<Argument> {
  readonly name: string;
  readonly description: string;
  /** As commander takes it: `<dir>` or `[dir]`, what it is, and its default. */
  readonly argument?: readonly [name: string, description: string, byDefault?: string];
  /** Flags with their descriptions, options of commander, and what adds several. */
  readonly options?: readonly (readonly [flags: string, description: string] | Option | AddOptions)[];
  /** Further help, below the options. */
  readonly help?: string;
  /**
   * Loads the code that executes the command and resolves with its exit code; not before it is called, so that
   * `--help` and every other command start without it. Errors of `run`: QrunError, whose exit code then counts.
   */
  readonly load?: () => Promise<{ readonly run: (call: Call<Argument>) => Promise<number> }>;
  /** Its subcommands. */
  readonly commands?: readonly CliCommand[];
}

/** What a command is added to, and what receives its exit code. */
interface CommandLine {
  readonly program: Command;
  readonly terminal: Terminal;
  readonly done: (exitCode: number) => void;
}

/** A command that can be added to another, or to the program. */
export type CliCommand = (parent: Command, line: CommandLine) => void;

/** Returns a command made from its specification. */
export function cliCommand<Argument = undefined>(spec: CommandSpec<Argument>): CliCommand {
  const { name, description, argument, options = [], help, load, commands = [] } = spec;
  return (parent, line) => {
    const { program, terminal, done } = line;
    const command = parent.command(name).description(description);
    if (argument !== undefined) command.argument(...argument);
    for (const one of options) {
      if (typeof one === 'function') one(command);
      else if ('flags' in one) command.addOption(one);
      else command.option(...one);
    }
    if (help !== undefined) command.addHelpText('after', `\n${help}`);
    for (const add of commands) add(command, line);
    if (load === undefined) return;
    command.action(async () => {
      const { run } = await load();
      done(
        await run({
          argument: command.processedArgs[0] as Argument,
          flags: command.opts(),
          terminal,
          program,
        }),
      );
    });
  };
}

/**
 * Writes what a command found to stdout: with `--json` a value of its schema `T` as one line of JSON, otherwise the
 * text for people.
 */
export function writeResult<T = never>(
  { flags, terminal }: Pick<Call, 'flags' | 'terminal'>,
  value: NoInfer<T>,
  text: (style: Style) => string,
): void {
  terminal.out.write(flags.json === true ? jsonLine<T>(value) : text(terminal.outStyle));
}
