import type { Command } from 'commander';
import {
  type CommandSpec,
  commandSpec,
  type Expected,
  everyCommand,
  flagsOf,
  type OptionSpec,
} from './tree.js';

/** Shells for which {@link completionScript} writes a script. */
export const COMPLETION_SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One of {@link COMPLETION_SHELLS}. */
export type CompletionShell = (typeof COMPLETION_SHELLS)[number];

/** Returns a word that a POSIX shell (and zsh) takes literally. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Returns a word that fish takes literally: inside single quotes it reads only `\\` and `\'`. */
function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function functionName(path: string): string {
  return `_${path.replace(/[^A-Za-z0-9]+/g, '_')}`;
}

/**
 * Returns a script that gives a shell completion for the program: its subcommands, their options, choices, files and
 * directories. It is generated from commander's own tree, so it never differs from what the program accepts. Hidden
 * commands and options are left out. The script starts no process while a user types. It is to be sourced (bash 3.2
 * and later, zsh, fish 3 and later); for zsh it may also be saved as `_<program>` in `$fpath`.
 */
export function completionScript(program: Command, shell: CompletionShell): string {
  const root = commandSpec(program, program.name());
  const script = { bash: bashScript, zsh: zshScript, fish: fishScript }[shell](root);
  return `${script.trimEnd()}\n`;
}

// The list of candidates is compared in a loop: `compgen -W` would expand `$` and backquotes in it, and bash 3.2,
// which macOS still has, supports neither `compopt` nor associative arrays.
function bashScript(root: CommandSpec): string {
  const commands = everyCommand(root);
  const name = functionName(root.path);
  const add = (value: Expected): string => {
    switch (value.kind) {
      case 'choices':
        return `${name}_words ${value.choices.map(quoted).join(' ')}`;
      case 'directory':
        return `${name}_paths -d`;
      case 'file':
        return `${name}_paths -f`;
      case 'anything':
        return ':';
    }
  };
  const patterns = (command: CommandSpec, option: OptionSpec): string =>
    flagsOf(option)
      .map(flag => quoted(`${command.path} ${flag}`))
      .join('|');
  const withValue = commands.flatMap(command =>
    command.options.flatMap(option =>
      option.value === undefined ? [] : [{ command, option, value: option.value }],
    ),
  );
  const steps = commands.flatMap(command =>
    command.commands.map(child => {
      const from = child.names.map(word => quoted(`${command.path} ${word}`)).join('|');
      return `      ${from}) path=${quoted(child.path)}; place=0; continue ;;`;
    }),
  );
  // An optional value is not skipped: the word after it may just as well be an argument.
  const skips = withValue
    .filter(({ value }) => value.required)
    .map(({ command, option }) => patterns(command, option));
  const values = withValue.map(
    ({ command, option, value }) => `    ${patterns(command, option)}) ${add(value)}; return ;;`,
  );
  const options = commands.map(
    command =>
      `      ${quoted(command.path)}) ${name}_words ${command.options.flatMap(flagsOf).map(quoted).join(' ')} ;;`,
  );
  const places = commands.flatMap(command => [
    ...(command.commands.length === 0
      ? []
      : [
          `    ${quoted(`${command.path} 0`)}) ${name}_words ${command.commands
            .flatMap(child => child.names)
            .map(quoted)
            .join(' ')} ;;`,
        ]),
    ...command.arguments.map((argument, index) => {
      const place = argument.variadic
        ? `${quoted(`${command.path} `)}[0-9]*`
        : quoted(`${command.path} ${index}`);
      return `    ${place}) ${add(argument)} ;;`;
    }),
  ]);
  return `# bash completion for ${root.path}: source this file.
${name}_words() {
  local word quoted
  for word in "$@"; do
    if [[ $word == "$cur"* ]]; then
      printf -v quoted %q "$word"
      COMPREPLY+=("$lead$quoted")
    fi
  done
}

${name}_paths() {
  local found
  compopt -o filenames 2>/dev/null
  while IFS= read -r found; do COMPREPLY+=("$lead$found"); done < <(compgen "$1" -- "$cur")
}

${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} lead='' path=${quoted(root.path)} option='' options=1 place=0 i word
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $options == 0 ]]; then place=$((place + 1)); continue; fi
    if [[ $word == -- ]]; then options=0; continue; fi
    # "=" is a word of its own where it is among the word breaks.
    if [[ $word == = ]]; then i=$((i + 1)); continue; fi
    case "$path $word" in
${steps.join('\n')}
${skips.length === 0 ? '' : `      ${skips.join('|')})\n        if [[ \${COMP_WORDS[i + 1]} != = ]]; then i=$((i + 1)); fi\n        continue ;;`}
    esac
    if [[ $word != -?* ]]; then place=$((place + 1)); fi
  done
  if [[ $options == 1 ]]; then
    if [[ $cur == = ]]; then
      option=\${COMP_WORDS[COMP_CWORD - 1]} cur=''
    elif [[ \${COMP_WORDS[COMP_CWORD - 1]} == = ]]; then
      option=\${COMP_WORDS[COMP_CWORD - 2]}
    elif [[ $cur == --*=* ]]; then
      option=\${cur%%=*} lead="\${cur%%=*}=" cur=\${cur#*=}
    else
      option=\${COMP_WORDS[COMP_CWORD - 1]}
    fi
    case "$path $option" in
${values.join('\n')}
    esac
    if [[ $cur == -* ]]; then
      case "$path" in
${options.join('\n')}
      esac
      return
    fi
  fi
  case "$path $place" in
${places.join('\n')}
  esac
}

complete -F ${name} ${root.path}`;
}

function zshScript(root: CommandSpec): string {
  const escaped = (text: string): string => text.replace(/[\\[\]:]/g, '\\$&');
  const action = (value: Expected): string => {
    switch (value.kind) {
      case 'choices':
        // Each choice is quoted once more for the list that _arguments evaluates.
        return `(${value.choices.map(choice => choice.replace(/[^\w.,/+@%-]/g, '\\$&')).join(' ')})`;
      case 'directory':
        return '_files -/';
      case 'file':
        return '_files';
      case 'anything':
        return ' ';
    }
  };
  const optionLines = (option: OptionSpec): string[] => {
    const flags = flagsOf(option);
    const repeat = option.repeatable ? '*' : '';
    // One use of either form rules out the other.
    const exclusive = option.repeatable ? '' : `(${flags.join(' ')})`;
    return flags.map(flag => {
      const { value } = option;
      // "=" after a long option: the value may follow as the next word or after "=".
      const joint = value === undefined ? '' : flag.startsWith('--') ? '=' : '+';
      const colons = value?.required === false ? '::' : ':';
      const wanted = value === undefined ? '' : `${colons}${escaped(value.name)}:${action(value)}`;
      return quoted(`${exclusive}${repeat}${flag}${joint}[${escaped(option.description)}]${wanted}`);
    });
  };
  const functions = everyCommand(root).map(command => {
    const specs = command.options.flatMap(optionLines);
    if (command.commands.length === 0) {
      for (const [index, argument] of command.arguments.entries()) {
        const place = argument.variadic ? '*' : String(index + 1);
        specs.push(quoted(`${place}:${escaped(argument.name)}:${action(argument)}`));
      }
      return `${functionName(command.path)}() {\n  _arguments -s -S ${specs.join(' \\\n    ')}\n}`;
    }
    specs.push("'1: :->command'", "'*:: :->rest'");
    const names = command.commands.flatMap(child =>
      child.names.map(word => quoted(`${escaped(word)}:${child.description}`)),
    );
    const cases = command.commands.map(
      child => `    ${child.names.join('|')}) ${functionName(child.path)} ;;`,
    );
    return `${functionName(command.path)}() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  local -a commands=(
    ${names.join('\n    ')}
  )
  _arguments -C -s -S ${specs.join(' \\\n    ')}
  case $state in
  command) _describe -t commands command commands ;;
  rest)
    case $line[1] in
${cases.join('\n')}
    esac ;;
  esac
}`;
  });
  const name = functionName(root.path);
  return `#compdef ${root.path}
# zsh completion for ${root.path}: source this file after compinit, or save it as ${name} in $fpath.

${functions.join('\n\n')}

if [[ $funcstack[1] == ${name} ]]; then
  ${name} "$@"
else
  compdef ${name} ${root.path}
fi`;
}

function fishScript(root: CommandSpec): string {
  const commands = everyCommand(root);
  const at = `__${functionName(root.path).slice(1)}_at`;
  const value = (what: Expected): string => {
    switch (what.kind) {
      case 'choices':
        // The list after -a is read as fish code once more.
        return `-f -a ${fishQuoted(what.choices.map(fishQuoted).join(' '))}`;
      case 'directory':
        return `-f -a '(__fish_complete_directories)'`;
      case 'file':
        return '-F';
      case 'anything':
        return '-f';
    }
  };
  const steps = commands.flatMap(command =>
    command.commands.map(child => {
      const words = child.names.map(word => fishQuoted(`${command.path} ${word}`)).join(' ');
      return `      case ${words}\n        set path ${fishQuoted(child.path)}\n        set place 0\n        continue`;
    }),
  );
  const skips = commands.flatMap(command =>
    command.options
      .filter(option => option.value?.required === true)
      .flatMap(flagsOf)
      .map(flag => fishQuoted(`${command.path} ${flag}`)),
  );
  const lines = commands.flatMap(command => {
    const here = `complete -c ${root.path} -n ${fishQuoted(`${at} ${fishQuoted(command.path)}`)}`;
    const optionLines = command.options.map(option => {
      const flags = [
        option.short === undefined ? '' : ` -s ${fishQuoted(option.short.slice(1))}`,
        option.long === undefined ? '' : ` -l ${fishQuoted(option.long.slice(2))}`,
      ].join('');
      const wanted =
        option.value === undefined ? '' : ` ${option.value.required ? '-r ' : ''}${value(option.value)}`;
      return `${here}${flags}${wanted} -d ${fishQuoted(option.description)}`;
    });
    const childLines = command.commands.flatMap(child =>
      child.names.map(
        word =>
          `complete -c ${root.path} -n ${fishQuoted(`${at} ${fishQuoted(command.path)} 0`)} -f -a ${fishQuoted(fishQuoted(word))} -d ${fishQuoted(child.description)}`,
      ),
    );
    const argumentLines = command.arguments.flatMap((argument, index) => {
      if (argument.kind === 'anything') return [];
      const place = argument.variadic ? '' : ` ${index}`;
      const condition = fishQuoted(`${at} ${fishQuoted(command.path)}${place}`);
      return [`complete -c ${root.path} -n ${condition} ${value(argument)}`];
    });
    return [...childLines, ...optionLines, ...argumentLines];
  });
  return `# fish completion for ${root.path}: source this file, or save it as ${root.path}.fish among fish's completions.
function ${at} -d 'Whether the command before the cursor is the one given, at that place'
  set -l words (commandline -opc)
  set -l path ${fishQuoted(root.path)}
  set -l place 0
  set -l skip 0
  set -l options 1
  for word in $words[2..-1]
    if test $skip -eq 1
      set skip 0
      continue
    end
    if test $options -eq 0
      set place (math $place + 1)
      continue
    end
    if test "$word" = --
      set options 0
      continue
    end
    switch "$path $word"
${steps.join('\n')}
${skips.length === 0 ? '' : `      case ${skips.join(' ')}\n        set skip 1\n        continue`}
    end
    string match -qr -- '^-.' "$word"; or set place (math $place + 1)
  end
  test "$path" = "$argv[1]"; or return 1
  test (count $argv) -lt 2; or test "$place" = "$argv[2]"
end

complete -c ${root.path} -f
${lines.join('\n')}`;
}
