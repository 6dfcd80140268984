import type { Argument, Command, Option } from 'commander';

/** What may appear where a value is expected. */
export type Expected =
  | { readonly kind: 'choices'; readonly choices: readonly string[] }
  | { readonly kind: 'file' | 'directory' | 'anything' };

/** An option as a shell needs to know it. */
export interface OptionSpec {
  readonly short: string | undefined;
  readonly long: string | undefined;
  readonly description: string;
  readonly repeatable: boolean;
  /** `undefined` for a switch. */
  readonly value: (Expected & { readonly name: string; readonly required: boolean }) | undefined;
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
  readonly arguments: readonly (Expected & { readonly name: string; readonly variadic: boolean })[];
  readonly commands: readonly CommandSpec[];
}

// Commander knows no kinds of values, so the name shown in the help decides: `<dir>`, `[log-dir]`, `<FILE>`.
const DIRECTORY_NAME = /(?:^|[-_])(?:dir|directory|directories|dirs|root|unit|units|sweep)$/i;
const FILE_NAME = /(?:^|[-_])(?:file|files|path|paths|log|logs)$/i;

function expected(name: string, choices: readonly string[] | undefined): Expected {
  if (choices !== undefined && choices.length > 0) return { kind: 'choices', choices };
  if (DIRECTORY_NAME.test(name)) return { kind: 'directory' };
  return { kind: FILE_NAME.test(name) ? 'file' : 'anything' };
}

function optionSpec(option: Option): OptionSpec {
  const takesValue = option.required || option.optional;
  const name = /[<[]([^>\].]+)/.exec(option.flags)?.[1] ?? 'value';
  return {
    short: option.short,
    long: option.long,
    description: oneLine(option.description),
    // A parser of its own may collect; the parser that comes with choices does not.
    repeatable: option.variadic || (option.parseArg !== undefined && option.argChoices === undefined),
    value: takesValue ? { ...expected(name, option.argChoices), name, required: option.required } : undefined,
  };
}

/**
 * Returns a command with all its subcommands, read from commander's tree. Hidden commands and options are left out,
 * and `help` is included where commander adds it. `path` is how the command is called.
 */
export function commandSpec(
  command: Command,
  path: string,
  above: readonly OptionSpec[] = [],
  parent?: Command,
): CommandSpec {
  const help = command.createHelp();
  const own = help.visibleOptions(command).map(optionSpec);
  const inherited = above.filter(
    option => !own.some(mine => (mine.long ?? mine.short) === (option.long ?? option.short)),
  );
  const options = [...own, ...inherited];
  return {
    path,
    names: [command.name(), ...command.aliases()],
    description: oneLine(command.summary() || command.description()),
    options,
    arguments: command.registeredArguments.map(argument => ({
      ...expected(argument.name(), choicesOf(command, argument, parent)),
      name: argument.name(),
      variadic: argument.variadic,
    })),
    commands: help
      .visibleCommands(command)
      .map(child => commandSpec(child, `${path} ${child.name()}`, options, command)),
  };
}

/**
 * Returns the choices of an argument; `help [command]`, which commander adds, takes the names of the commands beside
 * it.
 */
function choicesOf(
  command: Command,
  argument: Argument,
  parent: Command | undefined,
): readonly string[] | undefined {
  if (command.name() !== 'help' || argument.name() !== 'command' || parent === undefined) {
    return argument.argChoices;
  }
  return parent
    .createHelp()
    .visibleCommands(parent)
    .map(sibling => sibling.name());
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/** Returns a command and all commands beneath it, parents before their children. */
export function everyCommand(command: CommandSpec): CommandSpec[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** Returns the ways to write an option, the short one first. */
export function flagsOf(option: OptionSpec): string[] {
  return [option.short, option.long].filter(flag => flag !== undefined);
}
