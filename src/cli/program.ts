import { Argument, Command, type CommanderError, Option } from 'commander';
import { EXIT_TABLE, QrunError } from '../core/errors.js';
import {
  addEngineOptions,
  addRunOptions,
  addSelectionOptions,
  addUnitOptions,
  type Flags,
} from './options.js';
import { withoutOptionValue } from './secrets.js';
import type { Terminal } from './terminal.js';
import { version } from './version.js';

/**
 * The command line. Commands load what they need when they run, so that `--help` stays quick; the exit code
 * of the command that ran goes to `done`.
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

  const unit = command(program, 'unit', 'run a directory of SQL files and record every result')
    .argument(
      '<dir>',
      'directory of *.sql files (with subdirectories; names that begin with "_" do not count)',
    )
    .option('-q, --quiet', 'no progress, only warnings and the summary')
    .option('--why', 'print for each query why it runs or not, then run')
    .option('--dry-run', 'print what would run, and run nothing')
    .option('--events <file>', 'append events to a file, one JSON line each')
    .option('--json', 'the summary as one JSON line')
    .addHelpText('after', `\n${UNIT_EXAMPLES}`);
  for (const add of [addRunOptions, addEngineOptions, addUnitOptions, addSelectionOptions]) add(unit);
  unit.action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { unitCommand } = await import('./commands/unit.js');
    done(await unitCommand(directory, flags, terminal));
  });

  const plan = command(program, 'plan', 'print what a run would do and why, without an engine')
    .argument('<dir>', 'directory of the unit')
    .option('--json', 'the plan as one JSON line');
  for (const add of [addUnitOptions, addSelectionOptions]) add(plan);
  plan.action(async (directory: string, flags: Flags) => {
    const { showPlan } = await import('./commands/plan.js');
    done(await showPlan(directory, flags, terminal));
  });

  const audit = command(program, 'audit', 'compare the files of units with their logs: 0 only when complete')
    .argument('<dir...>', 'directories of the units')
    .option('--json', 'the report as JSON: an object, or an array for several units')
    .addHelpText('after', `\n${AUDIT_HELP}`);
  addUnitOptions(audit).action(async (directories: string[], flags: Flags) => {
    const { auditCommand } = await import('./commands/audit.js');
    done(await auditCommand(directories, flags, terminal));
  });

  const config = command(
    program,
    'config',
    'print the configuration in force, and where each value comes from',
  )
    .argument('[dir]', 'directory of the unit', '.')
    .option('--json', 'as one JSON line');
  for (const add of [addRunOptions, addEngineOptions, addUnitOptions, addSelectionOptions]) add(config);
  config.action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { configCommand } = await import('./commands/config.js');
    done(await configCommand(directory, flags, terminal));
  });

  const probe = command(
    program,
    'probe',
    'measure this machine and the server, and print what to run on them',
  )
    .argument('[dir]', 'directory of a unit or sweep, for its configuration', '.')
    .option('--memory-per-job <size>', 'memory that one job takes, such as 8G (default: memory_max)')
    .option('--cores-per-job <n>', 'cores that one job takes (default: 1)')
    .option('--json', 'as one JSON line');
  addEngineOptions(probe).action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { probeCommand } = await import('./commands/probe.js');
    done(await probeCommand(directory, flags, terminal));
  });

  const autoscale = command(
    program,
    'autoscale',
    "move the slots of pueue's groups with the load of this machine",
  )
    .option('--once', 'one round (the default)')
    .option('--loop', 'a round every interval, until a signal')
    .option('--interval <duration>', 'time between two rounds (default: 60s)')
    .option('--min <n>', 'never fewer slots than this (default: 1)')
    .option('--max <n>', 'never more slots than this (default: what qrun probe says)')
    .option('--memory-per-job <size>', 'memory that one job takes, such as 8G (default: memory_max)')
    .option('--cores-per-job <n>', 'cores that one job takes (default: 1)')
    .addOption(
      new Option(
        '--group <name>',
        "this group (repeatable; default: those called qrun-... and those with qrun's tasks)",
      ).argParser((name: string, before: string[] | undefined) => [...(before ?? []), name]),
    )
    .option('--dry-run', 'decide, and set nothing')
    .option('--json', 'a JSON line for each decision')
    .addHelpText('after', `\n${AUTOSCALE_HELP}`);
  addEngineOptions(autoscale).action(async (flags: Flags) => {
    refusePassword(flags);
    const { autoscaleCommand } = await import('./commands/autoscale.js');
    done(await autoscaleCommand(flags, terminal));
  });

  command(program, 'completion', 'print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', '\nBash: source <(qrun completion bash)')
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScript } = await import('./completion.js');
      terminal.out.write(completionScript(program, shell));
      done(0);
    });
  return program;
}

function command(program: Command, name: string, description: string): Command {
  return program.command(name).description(description).copyInheritedSettings(program);
}

function refusePassword(flags: Flags): void {
  if (flags.password === undefined) return;
  throw new QrunError('USAGE', 'a password on the command line is visible to every user of this machine', {
    hint: 'put it into CLICKHOUSE_PASSWORD, into .env in the sweep root, or into a file for --password-file',
  });
}

/** The exit table as `--help` prints it. */
export function exitTable(): string {
  const rows = EXIT_TABLE.map(({ code, meaning }) => `  ${String(code).padStart(3)}  ${meaning}`);
  return ['Exit codes:', ...rows].join('\n');
}

/** Whether commander ended because it has printed what was asked for. */
export function isHelpOrVersion(error: CommanderError, args: readonly string[]): boolean {
  // For `help COMMAND` commander takes over the exit code that the process would have now: failed.
  return error.exitCode === 0 || (error.code === 'commander.help' && args[0] === 'help');
}

const EXAMPLES = `Examples:
  qrun unit ./sql -P16                              run on the embedded engine
  qrun unit ./sql -P16 --url http://localhost:8123  run on a server
  qrun audit ./sql --rows-per-query 3               prove that nothing is missing
  qrun plan ./sql                                   what would run, and why`;

const UNIT_EXAMPLES = `Examples:
  qrun unit ./sql -P16
  CLICKHOUSE_PASSWORD=... qrun unit ./sql --url https://ch.example:8443 --user sweep --setup
  qrun unit ./sql --include '2down/**' --shard 2/8 --param symbol=BTCUSDT --set max_threads=2

A query file may set its own limits in its first line: -- qrun: timeout=30s rows=3 retries=1
Run it again to resume: a query runs again only if its SQL, parameters or settings changed, or if it failed.`;

const AUDIT_HELP = `The formula is: lines = N_normal x rows_per_query + N_skipped + N_error.
Settings and database of the last run are taken from the log's sidecar unless they are given.`;

const AUTOSCALE_HELP = `Each round: CPU < 40 % and memory < 60 %: a slot more; CPU > 80 % or memory > 80 %: a slot less; else as it is.
A step up is watched for five minutes (--loop): load < 0.9 x cores, no swapping, no queries that fail while they
run (where the server has a query log); otherwise it is taken back.`;
