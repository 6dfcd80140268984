import { Argument, type Command, Option } from 'commander';
import { type CliCommand, cliCommand } from '../command.js';
import {
  accepting,
  addAuditedUnitOptions,
  addBadFileOptions,
  addChoiceOptions,
  addEngineOptions,
  addHostOptions,
  addJobSizeOptions,
  addQueueOption,
  addRunOptions,
  addSelectionOptions,
  addSharedUnitOptions,
  addSweepOptions,
  addTrustOption,
  addUnitGlobs,
  addUnitOptions,
  repeatable,
  SHARED_OPTIONS,
  UNIT_OPTIONS,
} from '../options.js';

// Which checkpoint is meant; without these options it is the one of the calling job.
const OF_JOB = [
  ['--file <file>', 'the checkpoint itself (default: what QRUN_CHECKPOINT names)'],
  ['--jobs <file>', 'the jobs.toml of the job'],
  repeatable('--param <name=value>', 'a parameter of that job (repeatable)'),
  ['--trust', 'even if others own the jobs.toml'],
] as const;

/** Every command, in the order of the help. */
export const COMMANDS: readonly CliCommand[] = [
  cliCommand({
    name: 'unit',
    description: 'run a directory of SQL files and record every result',
    argument: [
      '<dir>',
      'directory of *.sql files (with subdirectories; names that begin with "_" do not count)',
    ],
    options: UNIT_OPTIONS,
    help: `Examples:
  qrun unit ./sql -P16
  CLICKHOUSE_PASSWORD=... qrun unit ./sql --url https://ch.example:8443 --user sweep --setup
  qrun unit ./sql --include '2down/**' --shard 2/8 --param symbol=BTCUSDT --set max_threads=2

A query file may set its own limits in its first line: -- qrun: timeout=30s rows=3 retries=1
Run it again to resume: a query runs again only if its SQL, parameters or settings changed, or if it failed.`,
    load: () => import('./unit/run.js'),
  }),
  cliCommand({
    name: 'plan',
    description: 'print what a run would do and why, without an engine',
    argument: ['<dir>', 'directory of the unit'],
    options: [
      ['--json', 'the plan as one JSON line'],
      addUnitOptions,
      addSelectionOptions,
      accepting(UNIT_OPTIONS),
    ],
    load: () => import('./plan/run.js'),
  }),
  cliCommand({
    name: 'audit',
    description: 'compare the files of units with their logs: 0 only when complete',
    argument: ['<dir...>', 'directories of the units'],
    options: [
      ['--json', 'the report as JSON: an object, or an array for several units'],
      addAuditedUnitOptions,
      addChoiceOptions,
      addBadFileOptions,
      accepting(UNIT_OPTIONS),
    ],
    help: `The formula is: lines = N_normal x rows_per_query + N_skipped + N_error.
It judges by the same configuration as a run: what a run would refuse or run again is not complete. Give it the
options of the run (--set, --param, --log, --shard, ...); those that only say how queries run have no effect.
Shards with logs of their own are one unit: qrun audit ./sql --log a.ndjson --log b.ndjson`,
    load: () => import('./audit/run.js'),
  }),
  cliCommand({
    name: 'submit-all',
    description:
      'submit a sweep to pueue or Slurm: one task for each unit that is not complete, and the audit after them',
    argument: [
      '[root]',
      'directory of the sweep: every leaf directory with *.sql files in it is a unit',
      '.',
    ],
    options: [
      ['--dry-run', 'print what would be submitted, and submit nothing'],
      ['--json', 'what was submitted as one JSON line'],
      addSubmissionOptions,
      addSweepOptions,
      addHostOptions,
      ...SHARED_OPTIONS,
    ],
    help: `Units that are queued, running or complete are skipped, so it can be run at any time.
With [[hosts]] in qrun.toml the units go to those of them that answer, and qrun audit-all collects and audits here.
Under [sweep] in qrun.toml: name, group, parallel, priority, units = ["2down/*"],
epochs = [{from = "2024-01-01", to = "2024-07-01"}] and matrix = {threshold = [250, 500]}: one unit each.`,
    load: () => import('./submit-all/run.js'),
  }),
  cliCommand({
    name: 'status',
    description: 'one table of a sweep, from pueue and the logs',
    argument: ['[root]', 'directory of the sweep', '.'],
    options: [
      ['-w, --watch', 'redraw until everything has ended'],
      ['--interval <duration>', 'how often (default: 2s)'],
      ['-a, --all', 'every unit, including those that wait or are complete'],
      ['--json', 'as JSON, one line per refresh'],
      addSweepOptions,
      addHostOptions,
      addSharedUnitOptions,
      addTrustOption,
    ],
    help: `With hosts in qrun.toml it asks all of them at once, with one login each, and shows where each unit waits or runs; what
the logs here say is shown even if a host does not answer.`,
    load: () => import('./status/run.js'),
  }),
  cliCommand({
    name: 'cancel',
    description:
      'end the units of a sweep: those that wait never start, those that run finish what they have begun',
    argument: ['[root]', 'directory of the sweep, or the jobs.toml of process-all', '.'],
    options: [
      ['--dry-run', 'print what would be cancelled, and cancel nothing'],
      ['--wait', 'wait until those that run have ended'],
      ['--json', 'what became of each as one JSON line'],
      addUnitGlobs,
      addQueueOption,
      addHostOptions,
      addSharedUnitOptions,
      addTrustOption,
    ],
    help: `Units that run get SIGTERM: they finish and record the queries that run, cancel what has not ended after 7 seconds,
and end with 143; qrun status shows it. Cancelled again meanwhile, they cancel those queries at once. The audit after
them is cancelled too, unless only some units are chosen or it follows others. What was recorded stays: submit-all
continues from there. Units that run, but not as a task of the queue, are named and left alone. With hosts in qrun.toml
it acts on all of them; 26 if one does not answer.`,
    load: () => import('./cancel/run.js'),
  }),
  cliCommand({
    name: 'audit-all',
    description: 'audit every unit of a sweep: 0 only when all are complete',
    argument: ['[root]', 'directory of the sweep', '.'],
    options: [
      ['--json', 'the report as one JSON line'],
      repeatable('--then <command>', 'shell command after a complete audit (repeatable, in order)'),
      ['--when-ended', 'first wait until no unit of the sweep runs (submit-all uses it)'],
      new Option('--priority <n>').hideHelp(),
      addSweepOptions,
      addHostOptions,
      addSharedUnitOptions,
      addBadFileOptions,
      accepting(SHARED_OPTIONS),
    ],
    load: () => import('./audit-all/run.js'),
  }),
  cliCommand({
    name: 'collect',
    description: 'import what other hosts have recorded into the logs here',
    argument: ['[root]', 'directory of the sweep', '.'],
    options: [
      repeatable(
        '--from <path>',
        'a log of another host, or a directory of its logs (repeatable; default: all in results/.from/HOST)',
      ),
      ['--json', 'what became of each log, as one JSON line'],
      addSweepOptions,
      addHostOptions,
      addSharedUnitOptions,
      addBadFileOptions,
      accepting(SHARED_OPTIONS),
    ],
    help: `Each host records into logs of its own. With [[hosts]] in qrun.toml their logs are first fetched into
results/.from/HOST by rsync; with --here, --from, or without hosts, copies that are here already are imported. Do it as
often as you like, also while units run there: what is there already is left out, and so is the second result of a
query that ran on two hosts. Nothing at a host is changed. Then qrun audit-all proves that nothing is missing or doubled.`,
    load: () => import('./collect/run.js'),
  }),
  cliCommand({
    name: 'task',
    description: 'run one unit of a sweep as a task of an array: what a scheduler starts',
    argument: ['[root]', 'directory of the sweep', '.'],
    options: [
      [
        '--index [n]',
        'which unit, from 0, in the order of their ids (without a number: as the scheduler says)',
      ],
      new Option('--list <file>', 'the tasks of an array that submit-all wrote').hideHelp(),
      new Option('--list-digest <sha256>', 'what that file holds').hideHelp(),
      addTrustOption,
    ],
    help: `Without a number, the variable of the scheduler decides: SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX (Kubernetes),
AWS_BATCH_JOB_ARRAY_INDEX, PBS_ARRAY_INDEX, SGE_TASK_ID and LSB_JOBINDEX (LSF); the last two count from 1.
It ends with 0 if the unit has been run, also if queries of it ended as errors; otherwise with the code of qrun unit.
Each machine records into results/.from/HOST; then qrun collect and qrun audit-all. For Slurm: submit-all --on slurm.`,
    load: () => import('./task/run.js'),
  }),
  cliCommand({
    name: 'hosts',
    description: 'the machines of [[hosts]] in qrun.toml',
    commands: [
      cliCommand({
        name: 'check',
        description: 'what each host has of what a sweep needs, and the command that mends what is missing',
        argument: ['[root]', 'directory of the sweep', '.'],
        options: [
          repeatable('--host <name>', 'only this host (repeatable)'),
          ['--accept-new', 'remember the keys of hosts that are not known here yet'],
          ['--json', 'what was found as one JSON line'],
          addTrustOption,
        ],
        help: `0: the sweep can run on each host. Otherwise the code of the worst problem: 26 a host, 23 the root of the sweep there.
It logs in once to each host, to all at once, as ssh does: with your ~/.ssh/config, keys and agent. It asks nothing and
changes nothing.`,
        load: () => import('./hosts/check.js'),
      }),
      cliCommand({
        name: 'push',
        description: 'send the SQL of the sweep and its qrun.toml to each host',
        argument: ['[root]', 'directory of the sweep', '.'],
        options: [
          repeatable('--host <name>', 'only to this host (repeatable)'),
          ['--dry-run', 'print what would be sent and removed, and change nothing'],
          ['--checksum', 'compare what is in the files, not only their size and time'],
          ['--json', 'what was sent as one JSON line'],
          addTrustOption,
        ],
        help: `0: all of it is there. 22: units were left out because they are queued or running there. 23: the root or the disk
there. 26: a host. Sent are qrun.toml, the *.sql files of the units, and the setup files above them; what of them is not
here any more is removed there. Nothing else there is touched, and secrets stay here: each host needs its own .env or
password file.`,
        load: () => import('./hosts/push.js'),
      }),
      cliCommand({
        name: 'slots',
        description: 'how many units run at a time on each host; --to changes it and watches what that does',
        argument: ['[root]', 'directory of the sweep', '.'],
        options: [
          ['--to <n>', "units at a time, in the sweep's group on each host"],
          ['--from <n>', 'what a host is set back to (default: what it has before the change)'],
          ['--watch <duration>', 'how long each host is watched after slots became more (default: 5m)'],
          ['--no-watch', 'set them, and watch nothing'],
          ['--max-load <n>', 'the load for each core above which a host is set back (default: 1.5)'],
          ['--json', 'what became of each host as one JSON line'],
          new Option(
            '--group <name>',
            'pueue group (default: qrun-<sweep>, or group under [sweep])',
          ).helpGroup('Sweep:'),
          addHostOptions,
          addTrustOption,
          accepting([addSharedUnitOptions]),
        ],
        help: `A host is looked at before the change and every ten seconds after it. Its slots are set back to what they were, on
that host alone, when the load, swapping or the lack of memory lasts for three looks, or clearly more attempts fail
than before (docs/scale.md has the limits). Then the exit code is 25; for a host that does not answer it is 26. If
somebody else changes the slots meanwhile, theirs count. Ctrl-C ends the watch and leaves the slots as they are.`,
        load: () => import('./hosts/slots.js'),
      }),
      cliCommand({
        name: 'deploy',
        description:
          'bring this version of qrun to the hosts, beside the one that they run, and switch to it',
        argument: ['[root]', 'directory of the sweep', '.'],
        options: [
          repeatable('--host <name>', 'only this host (repeatable)'),
          ['--dry-run', 'look at the hosts, say what would happen, and send nothing'],
          ['--with-chdb', 'send the embedded engine too (the default if the sweep uses it)'],
          ['--without-chdb', 'do not send the embedded engine (the default with a server)'],
          [
            '--link <dir>',
            'a directory there, in the PATH that ssh gives, for a link qrun to the current version',
          ],
          ['--prune', 'remove old versions there that no task and no process names, but for the two latest'],
          ['--resubmit', 'then give qrun submit-all, if all hosts run it'],
          ['--json', 'what became of each step, as one JSON line'],
          addTrustOption,
        ],
        help: `Steps: audit, decide, upload, verify, switch, resubmit. A host stops at the first one that fails, and goes on with what it had:
the new version goes to a directory of its own (~/.qrun/versions/...), and one rename of the link ~/.qrun/current makes
it the current one, after it has run a unit there. Tasks name the version that submitted them, so that what runs or
waits is not touched. Give it again after a failure, a cut or a kill: it does what is missing.
0: deployed to each host. Otherwise the code of the worst problem: 26 a host, 23 its disk.`,
        load: () => import('./hosts/deploy.js'),
      }),
      cliCommand({
        name: 'here',
        description: 'what this machine has for sweeps: what the others ask of a host',
        argument: ['[root]', 'directory of the sweep', '.'],
        options: [['--json', 'as one JSON line, which is the only form'], addTrustOption],
        load: () => import('./hosts/here.js'),
      }),
      cliCommand({
        name: 'order',
        description:
          'do what another machine asks for on stdin: what submit-all, status and the like call on a host',
        argument: ['[root]', 'directory of the sweep', '.'],
        load: () => import('./hosts/order.js'),
      }),
      cliCommand({
        name: 'install',
        description: 'do a step of a deployment on stdin: what deploy calls on a host',
        load: () => import('./hosts/install.js'),
      }),
    ],
  }),
  cliCommand({
    name: 'config',
    description: 'print the configuration in force, and where each value comes from',
    argument: ['[dir]', 'directory of the unit', '.'],
    options: [
      ['--json', 'as one JSON line'],
      addRunOptions,
      addEngineOptions,
      addUnitOptions,
      addSelectionOptions,
    ],
    load: () => import('./config/run.js'),
  }),
  cliCommand({
    name: 'trust',
    description: 'show what a tree says about its server, and allow secrets from outside to be sent there',
    argument: ['[dir]', 'directory of the sweep, with its qrun.toml or .env', '.'],
    options: [
      ['--remove', 'stop trusting it'],
      ['--list', 'what is trusted'],
      ['--json', 'as one JSON line'],
    ],
    help: `A password from the environment or from a file of yours goes to a server that you name (--url, CLICKHOUSE_URL),
to this machine, or to one that a trusted qrun.toml or .env names. Trust ends when what it says about the connection
changes. In CI: QRUN_TRUST=/path/of/the/tree, or --trust. docs/trust.md has the details.`,
    load: () => import('./trust/run.js'),
  }),
  cliCommand({
    name: 'probe',
    description: 'measure this machine and the server, and print what to run on them',
    argument: ['[dir]', 'directory of a unit or sweep, for its configuration', '.'],
    options: [addJobSizeOptions, ['--json', 'as one JSON line'], addEngineOptions],
    load: () => import('./probe/run.js'),
  }),
  cliCommand({
    name: 'autoscale',
    description: "adjust the slots of pueue's groups to the load of this machine",
    options: [
      ['--once', 'one round (the default)'],
      ['--loop', 'a round every interval, until a signal'],
      ['--interval <duration>', 'time between two rounds (default: 60s)'],
      ['--min <n>', 'never fewer slots than this (default: 1)'],
      ['--max <n>', 'never more slots than this (default: what qrun probe says)'],
      addJobSizeOptions,
      repeatable(
        '--group <name>',
        "this group (repeatable; default: those called qrun-... and those with qrun's tasks)",
      ),
      ['--dry-run', 'decide, but set nothing'],
      ['--json', 'one JSON line per decision'],
      addEngineOptions,
    ],
    help: `Each round: CPU < 40 % and memory < 60 %: one slot more; CPU > 80 % or memory > 80 %: one slot less; otherwise
unchanged. A step up is watched for five minutes (--loop): load < 0.9 x cores, no swapping, no queries that fail
while they run (where the server has a query log); otherwise it is taken back.`,
    load: () => import('./autoscale/run.js'),
  }),
  cliCommand({
    name: 'prune',
    description: 'list data that is no longer needed, and remove it with --remove',
    argument: ['[root]', 'directory of the sweep', '.'],
    options: [
      ['--dry-run', 'list only, remove nothing (the default)'],
      ['--remove', 'remove what is listed; what is in use always stays'],
      ['-a, --all', 'also what a run would use and then has to create again'],
      ['--json', 'as one JSON line'],
      addTrustOption,
    ],
    help: `Lists the data directories of the embedded engine in .qrun/data: each is named by the content of the setup files
that made it, and stays when they change. Data of a directory given with --data-dir is yours.`,
    load: () => import('./prune/run.js'),
  }),
  cliCommand({
    name: 'process-all',
    description: 'submit a command to pueue for each combination of parameters that is not done',
    argument: ['[file]', 'the jobs: command and matrix of parameters', 'jobs.toml'],
    options: [
      ['--dry-run', 'print what would be submitted, and why, and submit nothing'],
      ['--check', 'submit nothing; 0 only if every job is done, otherwise 20'],
      ['--when-ended', 'with --check: first wait until no job of the sweep runs (what follows the jobs)'],
      ['--json', 'the result as one JSON line'],
      new Option('--rerun <which>', 'also submit what is done').choices(['all']),
      repeatable('--include <glob>', 'only jobs whose name matches (repeatable)'),
      repeatable('--exclude <glob>', 'leave out jobs whose name matches (repeatable)'),
      ['--memory-max <size>', 'memory cap of each job, such as 4G (also memory_max)'],
      ['--parallel <n>', 'jobs at a time (default: that of the group; 1 for a new group)'],
      ['--group <name>', 'group of pueue (default: qrun-<name>)'],
      ['--priority <n>', 'higher ones start first (default: 0)'],
      ['--delay <when>', 'start later: seconds, or a time as pueue accepts it'],
      ['--resume-group', 'start the group if it is paused'],
      addTrustOption,
    ],
    help: `jobs.toml:
  name = "features"
  command = ["python3", "job.py", "--symbol", "{symbol}", "--threshold", "{threshold}"]
  [matrix]
  symbol = ["BTCUSDT", "ETHUSDT"]
  threshold = [250, 500]

Run it again to resume: a job runs again only if it did not end with 0, or if its command, parameters or
environment changed. docs/process-jobs.md has the details.`,
    load: () => import('./process-all/run.js'),
  }),
  cliCommand({
    name: 'job',
    description: 'run one job of process-all, unless it is done; what pueue starts',
    options: [
      command =>
        command
          .requiredOption('--config <file>', 'jobs.toml, or what process-all stored of it')
          .requiredOption('--name <job>', 'name of the job: NAME@parameter=value,...'),
      ['--rerun-before <time>', 'also run what was done before this time (ISO 8601, UTC)'],
      ['--trust', 'even if others own its files'],
    ],
    load: () => import('./job/run.js'),
  }),
  cliCommand({
    name: 'checkpoint',
    description: 'read and write the checkpoint of a job, safely',
    commands: [
      cliCommand({
        name: 'path',
        description: 'print the path of the checkpoint',
        options: OF_JOB,
        load: async () => ({ run: (await import('./checkpoint/run.js')).path }),
      }),
      cliCommand({
        name: 'get',
        description: 'print the checkpoint, or nothing when there is none',
        options: [['--default <json>', 'what to print when there is no checkpoint'], ...OF_JOB],
        load: async () => ({ run: (await import('./checkpoint/run.js')).get }),
      }),
      cliCommand({
        name: 'set',
        description: 'replace the checkpoint, atomically and durably',
        argument: ['[value]', 'JSON; without it, or for "-", it is read from stdin'],
        options: OF_JOB,
        load: async () => ({ run: (await import('./checkpoint/run.js')).set }),
      }),
      cliCommand({
        name: 'clear',
        description: 'remove the checkpoint; there may be none',
        options: OF_JOB,
        load: async () => ({ run: (await import('./checkpoint/run.js')).clear }),
      }),
    ],
  }),
  cliCommand({
    name: 'doctor',
    description: 'check whether everything that a sweep needs is there',
    argument: ['[dir]', 'directory of a unit or of the sweep', '.'],
    options: [['--json', 'the findings as one JSON line'], addHostOptions, addEngineOptions, addUnitOptions],
    help: `0: nothing prevents a sweep. Otherwise the code of the worst problem: 26 pueue or a host, 24 engine, 23 log
directory, 2 configuration. Notes prevent nothing. Hosts of qrun.toml are looked at as by qrun hosts check.`,
    load: () => import('./doctor/run.js'),
  }),
  cliCommand({
    name: 'completion',
    description: 'print the completion script of a shell',
    options: [
      command => command.addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish'])),
    ],
    help: 'Bash: source <(qrun completion bash)',
    load: () => import('./completion/run.js'),
  }),
];

function addSubmissionOptions(command: Command): Command {
  const options = [
    new Option(
      '--parallel <n>',
      'units at a time, or auto: what qrun probe recommends (default: as the group is; 1 for a new one)',
    ),
    new Option('--priority <n>', "pueue's priority of the units: higher ones start first"),
    new Option('--delay <when>', 'start later: 3600 (seconds), 22:00, tomorrow'),
    repeatable('--then <command>', 'shell command after a complete audit (repeatable, in order)'),
    new Option('--resume-group', 'start the group when it is paused'),
  ];
  for (const option of options) command.addOption(option.helpGroup('Submission:'));
  return command;
}
