import type { Command, Option } from 'commander';

/** A place where a value is expected. */
export interface Expected {
  readonly name: string;
  /** What may appear there. */
  readonly kind: 'choices' | 'file' | 'directory' | 'anything';
  /** Empty unless it is one of several choices. */
  readonly choices: readonly string[];
}

/** An option as a shell needs to know it. */
export interface OptionSpec {
  /** The ways to write it, the short one first. */
  readonly flags: readonly string[];
  readonly description: string;
  readonly repeatable: boolean;
  /** `undefined` for a switch. */
  readonly value: (Expected & { readonly required: boolean }) | undefined;
}

/** A command as a shell needs to know it. */
export interface CommandSpec {
  /** Names from the program down, joined with spaces. */
  readonly path: string;
  /** Its name and aliases. */
  readonly names: readonly string[];
  readonly description: string;
  /** Its own options and those of the commands above it, which commander accepts here as well. */
  readonly options: readonly OptionSpec[];
  readonly arguments: readonly (Expected & { readonly variadic: boolean })[];
  readonly commands: readonly CommandSpec[];
}

// Commander knows no kinds of values, so the name shown in the help decides: `<dir>`, `[log-dir]`, `<FILE>`.
const DIRECTORY_NAME = /(?:^|[-_])(?:dir|directory|directories|dirs|root|unit|units|sweep)$/i;
const FILE_NAME = /(?:^|[-_])(?:file|files|path|paths|log|logs)$/i;

function expected(name: string, choices: readonly string[] = []): Expected {
  if (choices.length > 0) return { name, kind: 'choices', choices };
  const kind = DIRECTORY_NAME.test(name) ? 'directory' : FILE_NAME.test(name) ? 'file' : 'anything';
  return { name, kind, choices };
}

function optionSpec(option: Option): OptionSpec {
  const { short, long, required, optional, argChoices } = option;
  const name = /[<[]([^>\].]+)/.exec(option.flags)?.[1] ?? 'value';
  return {
    flags: [short, long].filter(flag => flag !== undefined),
    description: oneLine(option.description),
    // A parser of its own may collect; the parser that comes with choices does not.
    repeatable: option.variadic || (option.parseArg !== undefined && argChoices === undefined),
    value: required || optional ? { ...expected(name, argChoices), required } : undefined,
  };
}

/**
 * Returns a command with all its subcommands, read from commander's tree. Hidden commands and options are left out,
 * and `help` is included where commander adds it. `path` is how the command is called, `above` are the options of the
 * commands above it, and `beside` the names of those beside it.
 */
export function commandSpec(
  command: Command,
  path = command.name(),
  above: readonly OptionSpec[] = [],
  beside: readonly string[] = [],
): CommandSpec {
  const help = command.createHelp();
  const own = help.visibleOptions(command).map(optionSpec);
  const inherited = above.filter(({ flags }) => !own.some(mine => mine.flags.at(-1) === flags.at(-1)));
  const options = [...own, ...inherited];
  const children = help.visibleCommands(command);
  const names = children.map(child => child.name());
  return {
    path,
    names: [command.name(), ...command.aliases()],
    description: oneLine(command.summary() || command.description()),
    options,
    arguments: command.registeredArguments.map(argument => {
      // `help [command]`, which commander adds, takes the names of the commands beside it.
      const isName = command.name() === 'help' && argument.name() === 'command';
      const choices = isName ? beside : argument.argChoices;
      return { ...expected(argument.name(), choices), variadic: argument.variadic };
    }),
    commands: children.map(child => commandSpec(child, `${path} ${child.name()}`, options, names)),
  };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/** Returns a command and all commands beneath it, parents before their children. */
export function everyCommand(command: CommandSpec): CommandSpec[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}
