import { Argument, Command, type CommanderError, Option } from 'commander';
import { EXIT_TABLE, QrunError } from '../core/errors.js';
import { withoutOptionValue } from '../core/text/shown-urls.js';
import { version } from '../io/machine/version.js';
import { addJobCommands } from './job-commands.js';
import {
  acceptOptions,
  addBadFileOptions,
  addChoiceOptions,
  addEngineOptions,
  addRunOptions,
  addSelectionOptions,
  addSharedUnitOptions,
  addShowOptions,
  addSweepOptions,
  addTrustOption,
  addUnitOptions,
  collect,
  type Flags,
} from './options.js';
import type { Terminal } from './terminal/streams.js';

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
    .addHelpText('after', `\n${UNIT_EXAMPLES}`);
  for (const add of UNIT_OPTIONS) add(unit);
  unit.action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { unitCommand } = await import('./commands/unit/run.js');
    done(await unitCommand(directory, flags, terminal));
  });

  const plan = command(program, 'plan', 'print what a run would do and why, without an engine')
    .argument('<dir>', 'directory of the unit')
    .option('--json', 'the plan as one JSON line');
  for (const add of [addUnitOptions, addSelectionOptions]) add(plan);
  acceptOptions(plan, UNIT_OPTIONS).action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { showPlan } = await import('./commands/plan/run.js');
    done(await showPlan(directory, flags, terminal));
  });

  const audit = command(program, 'audit', 'compare the files of units with their logs: 0 only when complete')
    .argument('<dir...>', 'directories of the units')
    .option('--json', 'the report as JSON: an object, or an array for several units')
    .addHelpText('after', `\n${AUDIT_HELP}`);
  addUnitOptions(audit, { severalLogs: true });
  for (const add of [addChoiceOptions, addBadFileOptions]) add(audit);
  acceptOptions(audit, UNIT_OPTIONS).action(async (directories: string[], flags: Flags) => {
    refusePassword(flags);
    const { auditCommand } = await import('./commands/audit/run.js');
    done(await auditCommand(directories, flags, terminal));
  });

  const submitAll = command(
    program,
    'submit-all',
    'submit a sweep to pueue: one task for each unit that is not complete, and the audit behind them',
  )
    .argument('[root]', 'directory of the sweep: every leaf directory with *.sql files in it is a unit', '.')
    .option('--dry-run', 'print what would be submitted, and submit nothing')
    .option('--json', 'what was submitted as one JSON line')
    .addOption(
      new Option(
        '--parallel <n>',
        'units at a time, or auto: what qrun probe recommends (default: as the group is; 1 for a new one)',
      ).helpGroup(SUBMIT_GROUP),
    )
    .addOption(
      new Option('--priority <n>', "pueue's priority of the units: higher ones start first").helpGroup(
        SUBMIT_GROUP,
      ),
    )
    .addOption(
      new Option('--delay <when>', 'start later: 3600 (seconds), 22:00, tomorrow').helpGroup(SUBMIT_GROUP),
    )
    .addOption(
      new Option('--then <command>', 'shell command after a complete audit (repeatable, in order)')
        .argParser(collect)
        .helpGroup(SUBMIT_GROUP),
    )
    .addOption(new Option('--resume-group', 'start the group when it is paused').helpGroup(SUBMIT_GROUP))
    .addHelpText('after', `\n${SUBMIT_HELP}`);
  for (const add of [addSweepOptions, ...SHARED_OPTIONS]) add(submitAll);
  submitAll.action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { submitAllCommand } = await import('./commands/submit-all/run.js');
    done(await submitAllCommand(directory, flags, terminal));
  });

  const status = command(program, 'status', 'one table of a sweep, from pueue and the logs')
    .argument('[root]', 'directory of the sweep', '.')
    .option('-w, --watch', 'again and again, until everything has ended')
    .option('--interval <duration>', 'how often (default: 2s)')
    .option('-a, --all', 'each unit, also those that wait or are complete')
    .option('--json', 'as JSON, one line for each look');
  for (const add of [addSweepOptions, addSharedUnitOptions, addTrustOption]) add(status);
  status.action(async (directory: string, flags: Flags) => {
    const { statusCommand } = await import('./commands/status/run.js');
    done(await statusCommand(directory, flags, terminal));
  });

  const auditAll = command(program, 'audit-all', 'audit every unit of a sweep: 0 only when all are complete')
    .argument('[root]', 'directory of the sweep', '.')
    .option('--json', 'the report as one JSON line')
    .addOption(
      new Option('--then <command>', 'shell command after a complete audit (repeatable, in order)').argParser(
        collect,
      ),
    )
    .option('--when-ended', 'first wait until no unit of the sweep runs (submit-all uses it)')
    .addOption(new Option('--priority <n>').hideHelp());
  for (const add of [addSweepOptions, addSharedUnitOptions, addBadFileOptions]) add(auditAll);
  acceptOptions(auditAll, SHARED_OPTIONS).action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { auditAllCommand } = await import('./commands/audit-all/run.js');
    done(await auditAllCommand(directory, flags, terminal));
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
    const { configCommand } = await import('./commands/config/run.js');
    done(await configCommand(directory, flags, terminal));
  });

  command(program, 'trust', 'show what a tree says about its server, and let secrets from outside go there')
    .argument('[dir]', 'directory of the sweep, with its qrun.toml or .env', '.')
    .option('--remove', 'trust it no longer')
    .option('--list', 'what is trusted')
    .option('--json', 'as one JSON line')
    .addHelpText('after', `\n${TRUST_HELP}`)
    .action(async (directory: string, flags: Flags) => {
      const { trustCommand } = await import('./commands/trust/run.js');
      done(await trustCommand(directory, flags, terminal));
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
    const { probeCommand } = await import('./commands/probe/run.js');
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
    const { autoscaleCommand } = await import('./commands/autoscale/run.js');
    done(await autoscaleCommand(flags, terminal));
  });

  const pruning = command(program, 'prune', 'list what nothing needs any more, and remove it with --remove')
    .argument('[root]', 'directory of the sweep', '.')
    .option('--dry-run', 'list only, remove nothing (the default)')
    .option('--remove', 'remove what is listed; what is in use always stays')
    .option('-a, --all', 'also what a run would use, which then makes it anew')
    .option('--json', 'as one JSON line')
    .addHelpText('after', `\n${PRUNE_HELP}`);
  addTrustOption(pruning).action(async (directory: string, flags: Flags) => {
    const { pruneCommand } = await import('./commands/prune/run.js');
    done(await pruneCommand(directory, flags, terminal));
  });

  addJobCommands({ program, command, refusePassword, terminal, done });

  command(program, 'completion', 'print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', '\nBash: source <(qrun completion bash)')
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScript } = await import('./commands/completion/run.js');
      terminal.out.write(completionScript(program, shell));
      done(0);
    });
  return program;
}

// Those of `qrun unit`, and those of them that all units of a sweep can share.
const SHARED_OPTIONS = [addRunOptions, addEngineOptions, addSharedUnitOptions, addBadFileOptions];
const UNIT_OPTIONS = [addShowOptions, addRunOptions, addEngineOptions, addUnitOptions, addSelectionOptions];

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
  qrun plan ./sql                                   what would run, and why
  qrun submit-all ./sql --parallel 4                the whole sweep, through pueue
  qrun status ./sql --watch                         how far it is`;

const SUBMIT_GROUP = 'Submission:';

const SUBMIT_HELP = `Units that are queued, running or complete are skipped, so that it can be run at any time.
Under [sweep] in qrun.toml: name, group, parallel, priority, units = ["2down/*"],
epochs = [{from = "2024-01-01", to = "2024-07-01"}] and matrix = {threshold = [250, 500]}: one unit each.`;

const UNIT_EXAMPLES = `Examples:
  qrun unit ./sql -P16
  CLICKHOUSE_PASSWORD=... qrun unit ./sql --url https://ch.example:8443 --user sweep --setup
  qrun unit ./sql --include '2down/**' --shard 2/8 --param symbol=BTCUSDT --set max_threads=2

A query file may set its own limits in its first line: -- qrun: timeout=30s rows=3 retries=1
Run it again to resume: a query runs again only if its SQL, parameters or settings changed, or if it failed.`;

const AUDIT_HELP = `The formula is: lines = N_normal x rows_per_query + N_skipped + N_error.
It judges by the same configuration as a run: what a run would refuse or run again is not complete. Give it the
options of the run (--set, --param, --log, --shard, ...); those that only say how queries run have no effect.
Shards in logs of their own are one unit: qrun audit ./sql --log a.ndjson --log b.ndjson`;

const TRUST_HELP = `A password of the environment or of a file of yours goes to a server that you name (--url, CLICKHOUSE_URL), to
this machine, or to one that a trusted qrun.toml or .env names. Trust ends when what it says about the connection
changes. In CI: QRUN_TRUST=/path/of/the/tree, or --trust. docs/trust.md tells all of it.`;

const PRUNE_HELP = `Looked at are the data directories of the embedded engine in .qrun/data: each is named by what the setup files
that made it hold, and stays when they change. Data of a directory given with --data-dir is yours.`;

const AUTOSCALE_HELP = `Each round: CPU < 40 % and memory < 60 %: a slot more; CPU > 80 % or memory > 80 %: a slot less; else as it is.
A step up is watched for five minutes (--loop): load < 0.9 x cores, no swapping, no queries that fail while they
run (where the server has a query log); otherwise it is taken back.`;
