import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Argument, Command, Option } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CompletionShell, completionScript } from '../../../src/cli/commands/completion/run.js';

const SHELLS: readonly CompletionShell[] = ['bash', 'zsh', 'fish'];

let directory = '';

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'qrun-completion-'));
  mkdirSync(join(directory, 'sweep one'));
  mkdirSync(join(directory, 'sql'));
  writeFileSync(join(directory, 'plan.toml'), '');
  for (const shell of SHELLS) {
    writeFileSync(join(directory, `script.${shell}`), completionScript(sampleProgram(), shell));
  }
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** A program with everything that the scripts must tell apart, and with text that shells could act on. */
function sampleProgram(): Command {
  const program = new Command('qrun')
    .version('1.0.0')
    .option('--color <when>', "it's [when]: $(touch pwned) `id`");
  program
    .command('unit')
    .alias('run')
    .description('run a unit: one directory')
    .argument('<dir>')
    .option('-P, --parallel <n>', 'how many at once')
    .option('--log-dir <DIR>', 'where logs lie')
    .option('--log <file>', 'one log')
    .option('--param <name=value>', 'a parameter (repeatable)', (value: string) => [value])
    .option('--no-retry', 'give up at once')
    .option('--note [text]', 'optional value')
    .addOption(
      new Option('--halt <when>', 'when to stop').choices(['never', 'first error', '$(touch pwned)']),
    )
    .addOption(new Option('--secret', 'not shown').hideHelp());
  program.command('audit').argument('[units...]').option('--json', 'for programs');
  const jobs = program.command('jobs').description('what pueue holds');
  jobs.command('status').addArgument(new Argument('<what>').choices(['all', 'failed']));
  jobs.command('autoscale').option('-i, --interval <seconds>');
  program.command('hidden-one', { hidden: true });
  return program;
}

function has(shell: string): boolean {
  try {
    execFileSync(shell, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function run(program: string, args: string[], env: Record<string, string> = {}): string[] {
  const text = execFileSync(program, args, {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: directory, TERM: 'dumb', LC_ALL: 'C.UTF-8', ...env },
    timeout: 20_000,
  });
  return text.split('\n').filter(line => line !== '');
}

/** Splits a command line as readline does, for which `=` is a word of its own. */
function readlineWords(line: string): string[] {
  return line
    .split(' ')
    .flatMap(word => word.split(/(=)/).filter((part, index) => part !== '' || index === 0));
}

const BASH_DRIVER = `
  source script.bash
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  _qrun
  ((\${#COMPREPLY[@]} == 0)) || printf '%s\\n' "\${COMPREPLY[@]}"
`;

// An interactive zsh in a pseudo-terminal, because its completion works in the line editor only. Each set of
// candidates is written to a file on its way to the display; a line with "--" ends those of one command line.
const ZSH_DRIVER = `
  zmodload zsh/zpty
  zpty inner zsh -f -i
  zpty -w inner 'PS1= PS2= RPS1=; unsetopt zle_bracketed_paste; autoload -Uz compinit && compinit -D -u; source ./script.zsh'
  zpty -w inner 'compadd() {
    local -a hits
    if [[ \${(j: :)@} != *-[OAD]\\ * ]]; then builtin compadd -O hits "$@"; print -rl -- $hits >>hits.txt; fi
    builtin compadd "$@"
  }
  finished() { print -r -- CANDIDATES-""DONE }
  capture() { comppostfuncs=(finished); _main_complete }
  zle -C capture list-choices capture
  bindkey "^T" capture'
  zpty -w inner 'print -r -- SETUP-""DONE'
  zpty -r inner seen '*SETUP-DONE*' || exit 3
  for line in "$@"; do
    : >hits.txt
    zpty -w -n inner $'\\x15'"$line"$'\\x14'
    zpty -r inner seen '*CANDIDATES-DONE*' || exit 4
    cat hits.txt
    print -r -- --
  done
  zpty -d inner
`;

/** What a shell offers at the end of each of the command lines. */
const candidates: Record<CompletionShell, (lines: readonly string[]) => string[][]> = {
  bash: lines =>
    lines.map(line =>
      run('bash', ['--norc', '--noprofile', '-c', BASH_DRIVER, 'bash', ...readlineWords(line)]),
    ),
  fish: lines =>
    lines.map(line =>
      run('fish', ['--no-config', '-c', 'source script.fish; complete -C "$argv[1]"', line]).map(
        found => found.split('\t')[0] ?? '',
      ),
    ),
  zsh: lines => {
    const found: string[][] = [];
    let current: string[] = [];
    for (const line of run('zsh', ['-f', '-c', ZSH_DRIVER, 'zsh', ...lines])) {
      if (line !== '--') {
        current.push(line);
        continue;
      }
      found.push(current);
      current = [];
    }
    return found;
  },
};

/** Paths as names, since shells differ in the slash after a directory, and in how they quote. */
function names(found: readonly string[]): string[] {
  return [...new Set(found.map(name => name.replace(/\/$/, '').replaceAll('\\', '')))].sort();
}

const directories = ['sql', 'sweep one'];

const CASES: readonly (readonly [title: string, line: string, offered: readonly string[]])[] = [
  ['commands and aliases, without hidden ones', 'qrun ', ['audit', 'help', 'jobs', 'run', 'unit']],
  ['commands by their beginning', 'qrun u', ['unit']],
  ['commands of a command', 'qrun jobs ', ['autoscale', 'help', 'status']],
  ['choices of an argument', 'qrun jobs status f', ['failed']],
  ['directories for an argument', 'qrun unit s', directories],
  ['the arguments of a command after its alias', 'qrun run s', directories],
  ['a variadic argument again', 'qrun audit sql s', directories],
  ['nothing after the last argument', 'qrun unit sql s', []],
  ['an argument after the value of an option', 'qrun unit -P 4 s', directories],
  ['commands after the value of an option', 'qrun --color unit j', ['jobs']],
  ['an argument after a switch', 'qrun unit --no-retry s', directories],
  ['directories for an option', 'qrun unit --log-dir s', directories],
  ['files for an option', 'qrun unit --log p', ['plan.toml']],
  ['an argument after two dashes', 'qrun unit -- s', directories],
  ['the names of commands after help', 'qrun help un', ['unit']],
  ['an option again where it may be repeated', 'qrun unit --param a=1 --par', ['--parallel', '--param']],
  // Choices with text that a shell could expand or run.
  ['choices as they are', 'qrun unit --halt ', ['$(touch pwned)', 'first error', 'never']],
];

describe.each(SHELLS)('completion in %s', shell => {
  describe.skipIf(!has(shell))(`${shell} is here`, () => {
    let offered: Record<string, string[]> = {};

    beforeAll(() => {
      const lines = [...CASES.map(([, line]) => line), 'qrun unit -', 'qrun unit --', 'qrun unit --halt=ne'];
      const found = candidates[shell](lines);
      offered = Object.fromEntries(lines.map((line, index) => [line, names(found[index] ?? ['no answer'])]));
    });

    it.each(CASES)('offers %s', (_title, line, wanted) => {
      expect(offered[line]).toEqual(wanted);
    });

    it('offers long and short options, those of the program too, and none that is hidden', () => {
      const flags = [...(offered['qrun unit -'] ?? []), ...(offered['qrun unit --'] ?? [])];
      for (const flag of ['-P', '--parallel', '--log-dir', '--halt', '--no-retry', '--color', '--help']) {
        expect(flags.map(name => name.replace(/=$/, ''))).toContain(flag);
      }
      expect(flags.join(' ')).not.toContain('secret');
    });

    it('offers the value after an equals sign', () => {
      expect(offered['qrun unit --halt=ne']?.map(found => found.replace('--halt=', ''))).toEqual(['never']);
    });

    it('runs nothing that a description or a choice holds', () => {
      expect(run('ls', [])).not.toContain('pwned');
    });
  });
});

describe.skipIf(!has('bash'))('completion in bash', () => {
  it('quotes what it puts on the command line', () => {
    expect(candidates.bash(['qrun unit --halt f'])).toEqual([['first\\ error']]);
  });
});

describe('completionScript', () => {
  it.each(SHELLS)('for %s names every command and ends in one newline', shell => {
    const script = completionScript(sampleProgram(), shell);
    for (const word of ['unit', 'run', 'audit', 'jobs', 'status', 'autoscale', 'interval']) {
      expect(script).toContain(word);
    }
    expect(script).not.toContain('hidden-one');
    expect(script).toMatch(/[^\n]\n$/);
  });

  it('works for a program without commands and options', () => {
    const bare = new Command('tiny').helpOption(false).argument('<file>');
    for (const shell of SHELLS) expect(completionScript(bare, shell)).toContain('tiny');
    const found = run('bash', [
      '--norc',
      '-c',
      `${completionScript(bare, 'bash')}\nCOMP_WORDS=(tiny pl) COMP_CWORD=1; _tiny; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ]);
    expect(found).toEqual(['plan.toml']);
  });
});
