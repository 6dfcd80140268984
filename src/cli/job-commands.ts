import type { Command } from 'commander';
import { QrunError } from '../core/errors.js';
import { addEngineOptions, addTrustOption, addUnitOptions, collect, type Flags } from './options.js';
import type { Terminal } from './terminal/streams.js';

/** What the command line as a whole gives to a part of it. */
interface Registration {
  readonly program: Command;
  /** Makes a command with the settings of the program. */
  readonly command: (parent: Command, name: string, description: string) => Command;
  readonly refusePassword: (flags: Flags) => void;
  readonly terminal: Terminal;
  readonly done: (exitCode: number) => void;
}

/** Adds the commands about process jobs, and `doctor`. */
export function addJobCommands({ program, command, refusePassword, terminal, done }: Registration): void {
  const processAll = command(
    program,
    'process-all',
    'submit a command for each combination of parameters to pueue, as far as it is not done',
  )
    .argument('[file]', 'the jobs: command and matrix of parameters', 'jobs.toml')
    .addHelpText('after', `\n${PROCESS_ALL_HELP}`);
  addTrustOption(addProcessAllOptions(processAll)).action(async (file: string, flags: Flags) => {
    const { processAllCommand } = await import('./commands/process-all/run.js');
    done(await processAllCommand(file, flags, terminal));
  });

  command(program, 'job', 'run one job of process-all, unless it is done; what pueue starts')
    .requiredOption('--config <file>', 'jobs.toml, or what process-all stored of it')
    .requiredOption('--name <job>', 'name of the job: NAME@parameter=value,...')
    .option('--rerun-before <time>', 'run also what was done before this time (ISO 8601, UTC)')
    .option('--trust', 'also if others own its files')
    .action(async (flags: Flags) => {
      const { jobCommand } = await import('./commands/job/run.js');
      done(await jobCommand(flags, terminal));
    });

  const checkpoint = command(program, 'checkpoint', 'read and write how far a job has come, safely');
  for (const [name, does] of CHECKPOINT_ACTIONS) {
    const action = command(checkpoint, name, does);
    if (name === 'set') action.argument('[value]', 'JSON; without it, or for "-", it is read from stdin');
    if (name === 'get') action.option('--default <json>', 'what to print when there is no checkpoint');
    addCheckpointOptions(action).action(async (...args: unknown[]) => {
      const [value, flags] = (name === 'set' ? args : [undefined, ...args]) as [string | undefined, Flags];
      const { checkpointCommand } = await import('./commands/checkpoint/run.js');
      done(await checkpointCommand(name, value, flags, terminal));
    });
  }

  const doctor = command(program, 'doctor', 'look whether everything that a sweep needs is there')
    .argument('[dir]', 'directory of a unit or of the sweep', '.')
    .option('--json', 'the findings as one JSON line')
    .addHelpText('after', `\n${DOCTOR_HELP}`);
  for (const add of [addEngineOptions, addUnitOptions]) add(doctor);
  doctor.action(async (directory: string, flags: Flags) => {
    refusePassword(flags);
    const { doctorCommand } = await import('./commands/doctor/run.js');
    done(await doctorCommand(directory, flags, terminal));
  });
}

/** Options of process-all. */
function addProcessAllOptions(command: Command): Command {
  return command
    .option('--dry-run', 'print what would be submitted, and why, and submit nothing')
    .option('--check', 'submit nothing; 0 only if every job is done, else 20')
    .option('--when-ended', 'with --check: first wait until no job of the sweep runs (what follows the jobs)')
    .option('--json', 'the result as one JSON line')
    .option('--rerun <which>', 'submit also what is done: all', choice('--rerun', ['all']))
    .option('--include <glob>', 'only jobs whose name matches (repeatable)', collect)
    .option('--exclude <glob>', 'not the jobs whose name matches (repeatable)', collect)
    .option('--memory-max <size>', 'memory cap of each job, such as 4G (also memory_max)')
    .option('--parallel <n>', 'jobs at a time (default: as the group is; 1 for a new one)')
    .option('--group <name>', 'group of pueue (default: qrun-<name>)')
    .option('--priority <n>', 'higher ones start first (default: 0)')
    .option('--delay <when>', 'start later: seconds, or a time as pueue takes it')
    .option('--resume-group', 'start the group if it is paused');
}

/** Options that say which checkpoint is meant; without them it is the one of the job that asks. */
function addCheckpointOptions(command: Command): Command {
  return command
    .option('--file <file>', 'the checkpoint itself (default: what QRUN_CHECKPOINT names)')
    .option('--jobs <file>', 'the jobs.toml of the job that is meant')
    .option('--param <name=value>', 'a parameter of that job (repeatable)', collect)
    .option('--trust', 'also if others own the jobs.toml');
}

function choice(name: string, choices: readonly string[]): (value: string) => string {
  return value => {
    if (choices.includes(value)) return value;
    throw new QrunError('USAGE', `${name} ${value}: must be ${choices.join(' or ')}`);
  };
}

const CHECKPOINT_ACTIONS = [
  ['path', 'print the path of the checkpoint'],
  ['get', 'print the checkpoint, or nothing when there is none'],
  ['set', 'replace the checkpoint, atomically and durably'],
  ['clear', 'remove the checkpoint; there may be none'],
] as const;

const DOCTOR_HELP = `0: nothing hinders a sweep. Else the code of the worst problem: 26 pueue, 24 engine, 23 log directory,
2 configuration. Notes hinder nothing.`;

const PROCESS_ALL_HELP = `jobs.toml:
  name = "features"
  command = ["python3", "job.py", "--symbol", "{symbol}", "--threshold", "{threshold}"]
  [matrix]
  symbol = ["BTCUSDT", "ETHUSDT"]
  threshold = [250, 500]

Run it again to resume: a job runs again only if it did not end with 0, or if its command, parameters or
environment changed. docs/process-jobs.md tells all of it.`;
