import type { Command } from 'commander';
import type { Call } from '../../command.js';
import { type CommandSpec, commandSpec, type Expected, everyCommand, type OptionSpec } from './tree.js';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** A shell for which {@link completionScript} writes a script. */
export type CompletionShell = keyof typeof SCRIPTS;

/** `qrun completion SHELL`: prints the script of a shell; returns 0. */
export async function run({ argument: shell, terminal, program }: Call<CompletionShell>): Promise<number> {
  terminal.out.write(completionScript(program, shell));
  return 0;
}

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
  return `${SCRIPTS[shell](commandSpec(program)).trimEnd()}\n`;
}

// The list of candidates is compared in a loop: `compgen -W` would expand `$` and backquotes in it, and bash 3.2,
// which macOS still has, supports neither `compopt` nor associative arrays.
function bashScript(root: CommandSpec): string {
  const commands = everyCommand(root);
  const name = functionName(root.path);
  const words = (choices: readonly string[]): string => `${name}_words ${choices.map(quoted).join(' ')}`;
  const add = ({ kind, choices }: Expected): string =>
    ({ choices: words(choices), directory: `${name}_paths -d`, file: `${name}_paths -f`, anything: ':' })[
      kind
    ];
  const patterns = (path: string, names: readonly string[]): string =>
    names.map(word => quoted(`${path} ${word}`)).join('|');
  const steps = commands.flatMap(({ path, commands: children }) =>
    children.map(
      child => `      ${patterns(path, child.names)}) path=${quoted(child.path)}; place=0; continue ;;`,
    ),
  );
  const withValue = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) => (value ? [{ pattern: patterns(path, flags), value }] : [])),
  );
  // An optional value is not skipped: the word after it may just as well be an argument.
  const skips = withValue.filter(({ value }) => value.required).map(({ pattern }) => pattern);
  const values = withValue.map(({ pattern, value }) => `    ${pattern}) ${add(value)}; return ;;`);
  const options = commands.map(
    ({ path, options }) => `      ${quoted(path)}) ${words(options.flatMap(({ flags }) => flags))} ;;`,
  );
  const places = commands.flatMap(({ path, commands: children, arguments: given }) => [
    ...(children.length === 0
      ? []
      : [`    ${quoted(`${path} 0`)}) ${words(children.flatMap(({ names }) => names))} ;;`]),
    ...given.map((argument, index) => {
      const place = argument.variadic ? `${quoted(`${path} `)}[0-9]*` : quoted(`${path} ${index}`);
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
  // Each choice is quoted once more for the list that _arguments evaluates.
  const listed = (choices: readonly string[]): string =>
    `(${choices.map(choice => choice.replace(/[^\w.,/+@%-]/g, '\\$&')).join(' ')})`;
  const wanted = ({ name, kind, choices }: Expected): string => {
    const action = { choices: listed(choices), directory: '_files -/', file: '_files', anything: ' ' }[kind];
    return `:${escaped(name)}:${action}`;
  };
  const optionLines = ({ flags, description, repeatable, value }: OptionSpec): string[] => {
    // One use of either form rules out the other.
    const uses = repeatable ? '*' : `(${flags.join(' ')})`;
    return flags.map(flag => {
      // "=" after a long option: the value may follow as the next word or after "=".
      const joint = value === undefined ? '' : flag.startsWith('--') ? '=' : '+';
      const after = value === undefined ? '' : `${value.required ? '' : ':'}${wanted(value)}`;
      return quoted(`${uses}${flag}${joint}[${escaped(description)}]${after}`);
    });
  };
  const functions = everyCommand(root).map(command => {
    const specs = command.options.flatMap(optionLines);
    if (command.commands.length === 0) {
      for (const [index, argument] of command.arguments.entries()) {
        const place = argument.variadic ? '*' : String(index + 1);
        specs.push(quoted(place + wanted(argument)));
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
  const value = ({ kind, choices }: Expected): string =>
    ({
      // The list after -a is read as fish code once more.
      choices: `-f -a ${fishQuoted(choices.map(fishQuoted).join(' '))}`,
      directory: `-f -a '(__fish_complete_directories)'`,
      file: '-F',
      anything: '-f',
    })[kind];
  const words = (path: string, names: readonly string[]): string =>
    names.map(word => fishQuoted(`${path} ${word}`)).join(' ');
  const steps = commands.flatMap(({ path, commands: children }) =>
    children.map(
      child =>
        `      case ${words(path, child.names)}\n        set path ${fishQuoted(child.path)}\n        set place 0\n        continue`,
    ),
  );
  const skips = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) => (value?.required ? [words(path, flags)] : [])),
  );
  const lines = commands.flatMap(({ path, commands: children, options, arguments: given }) => {
    const when = (place: string): string =>
      `complete -c ${root.path} -n ${fishQuoted(`${at} ${fishQuoted(path)}${place}`)}`;
    const childLines = children.flatMap(({ names, description }) =>
      names.map(word => `${when(' 0')} -f -a ${fishQuoted(fishQuoted(word))} -d ${fishQuoted(description)}`),
    );
    const optionLines = options.map(({ flags, description, value: wanted }) => {
      const written = flags.map(flag =>
        flag.startsWith('--') ? ` -l ${fishQuoted(flag.slice(2))}` : ` -s ${fishQuoted(flag.slice(1))}`,
      );
      const after = wanted === undefined ? '' : ` ${wanted.required ? '-r ' : ''}${value(wanted)}`;
      return `${when('')}${written.join('')}${after} -d ${fishQuoted(description)}`;
    });
    const argumentLines = given
      .map((argument, index) => ({ ...argument, place: argument.variadic ? '' : ` ${index}` }))
      .filter(({ kind }) => kind !== 'anything')
      .map(argument => `${when(argument.place)} ${value(argument)}`);
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
