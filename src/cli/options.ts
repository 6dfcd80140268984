import { type Command, Option } from 'commander';
import type { Flag } from '../core/config/entry.js';
import {
  CONFIG_KEYS,
  entryOf,
  flagName,
  helpOf,
  keysIn,
  type Section,
  sectionOf,
} from '../core/config/keys.js';
import { nameProblem } from '../core/config/problems.js';
import type { ConfigKey } from '../core/config/table.js';
import { QrunError } from '../core/errors.js';
import { QUEUE_NAMES } from '../core/queue/names.js';
import type { Given } from '../local/config/sweep-context.js';
import type { AddOptions, Flags } from './command.js';

/** Returns an option that collects the values of each time that it is given. */
export function repeatable(flags: string, help: string): Option {
  return collecting(new Option(flags, help));
}

function collecting(option: Option): Option {
  return option.argParser((value: string, before: string[] = []) => [...before, value]);
}

/** An option whose value has its own name, whatever its flag is called. */
class NamedOption extends Option {
  readonly #name: string;

  constructor(name: string, flag: string, help: string) {
    super(flag, help);
    this.#name = name;
  }

  override attributeName(): string {
    return this.#name;
  }
}

/** Adds the options of some configuration keys, as in the table except for `other`. */
function addKeys(command: Command, keys: readonly ConfigKey[], other: Partial<Flag> = {}): Command {
  for (const key of keys) {
    const { also, ...entry } = entryOf(key);
    for (const flag of also === undefined ? [entry] : [entry, also]) {
      if (flag.flag !== undefined) command.addOption(keyOption(key, { ...flag, flag: flag.flag, ...other }));
    }
  }
  return command;
}

function keyOption(key: ConfigKey, given: Flag): Option {
  const { choices } = entryOf(key);
  const option = new NamedOption(key, given.flag, helpOf(key, given)).helpGroup(`${sectionOf(key)}:`);
  option.hideHelp(given.hidden === true);
  if (choices !== undefined) option.choices(choices);
  // What an option without a value has set stays, whatever follows it.
  if (given.repeatable)
    option.argParser((one, before: true | string[] = []) => before === true || [...before, one]);
  return option;
}

function addingKeysOf(section: Section): AddOptions {
  return command => addKeys(command, keysIn(section));
}

/** Adds options that say which results of a unit count: they go into unit id, log name and fingerprints. */
export function addUnitOptions(command: Command): Command {
  return addJobOptions(addSharedUnitOptions(addKeys(command, ['log'])));
}

/** As {@link addUnitOptions}, but `--log` can be repeated. */
export function addAuditedUnitOptions(command: Command): Command {
  const help = 'the log of the unit; all of them (repeatable), where shards of it have logs of their own';
  return addJobOptions(addSharedUnitOptions(addKeys(command, ['log'], { help, repeatable: true })));
}

// What the tasks of a submission are given. The digest proves that the file is the one that was written: a tree could
// contain one of its own, but the command lines of tasks are not in the tree.
function addJobOptions(command: Command): Command {
  return command
    .addOption(new Option('--config <file>', 'configuration that submit-all wrote for its jobs').hideHelp())
    .addOption(new Option('--config-digest <sha256>', 'what that file holds').hideHelp());
}

/** Adds the option that makes a tree trusted; see docs/trust.md. */
export function addTrustOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--trust',
      'for this command, trust what the tree says about its server, even if others own it',
    ).helpGroup('Engine:'),
  );
}

/** Adds those of {@link addUnitOptions} that all units of a sweep can share. */
export function addSharedUnitOptions(command: Command): Command {
  return addKeys(
    command,
    keysIn('Unit and log').filter(key => key !== 'log'),
  );
}

/** Adds options that choose among the queries of a unit. */
export function addSelectionOptions(command: Command): Command {
  return addBadFileOptions(addKeys(command, keysIn('Selection')));
}

/**
 * Adds those of {@link addSelectionOptions} that say which queries are meant, and not in which order or how often
 * they run.
 */
export const addChoiceOptions: AddOptions = command => addKeys(command, ['include', 'exclude', 'shard']);

/** Adds options about files that cannot run. */
export const addBadFileOptions = addingKeysOf('Bad files');

/** Adds options that say how `qrun unit` shows what it does. */
function addShowOptions(command: Command): Command {
  command
    .option('-q, --quiet', 'no progress, only warnings and the summary')
    .option('--why', 'print for each query why it runs or not, then run')
    .option('--dry-run', 'print what would run, and run nothing');
  return addKeys(command, ['events']).option('--json', 'the summary as one JSON line');
}

/**
 * Returns what adds the options of a command that starts queries, hidden, to one that only looks at them. The command
 * line of the one can then be given to the other, and both resolve the same configuration from it. Options that only
 * say how queries run have no effect there.
 */
export function accepting(adders: readonly AddOptions[]): AddOptions {
  return command => {
    const others = command.createCommand();
    for (const add of adders) add(others);
    for (const option of others.options) {
      if (command.options.every(own => own.long !== option.long)) command.addOption(option.hideHelp());
    }
    return command;
  };
}

/** Adds options that choose among the units of a sweep, and its group. */
export function addSweepOptions(command: Command): Command {
  const group = new Option('--group <name>', 'pueue group (default: qrun-<sweep>, or group under [sweep])');
  return addJobOptions(addQueueOption(addUnitGlobs(command).addOption(group.helpGroup('Sweep:'))));
}

/** Adds the option that says what the tasks of a sweep are given to. */
export function addQueueOption(command: Command): Command {
  const on = new Option('--on <queue>', 'where its tasks run (default: pueue, or on under [sweep])');
  return command.addOption(on.choices([...QUEUE_NAMES]).helpGroup('Sweep:'));
}

/** Adds options that choose among the units of a sweep. */
export function addUnitGlobs(command: Command): Command {
  const options = [
    new NamedOption('includeUnits', '--include <glob>', 'only units whose id matches (repeatable)'),
    new NamedOption('excludeUnits', '--exclude <glob>', 'not the units whose id matches (repeatable)'),
  ];
  for (const option of options) command.addOption(collecting(option).helpGroup('Sweep:'));
  return command;
}

/** Adds options that choose among this machine and the hosts of qrun.toml. */
export function addHostOptions(command: Command): Command {
  const options = [
    collecting(
      new NamedOption('hostNames', '--host <name>', 'only this host of qrun.toml (repeatable; default: all)'),
    ),
    new NamedOption('hereOnly', '--here', 'only this machine, whatever hosts qrun.toml names').conflicts(
      'hostNames',
    ),
  ];
  for (const option of options) command.addOption(option.helpGroup('Sweep:'));
  return command;
}

/** Adds options that say what executes the SQL. */
export function addEngineOptions(command: Command): Command {
  addKeys(command, keysIn('Engine'));
  return addTrustOption(
    command.addOption(new Option('--password <secret>').hideHelp().argParser(refusePassword)),
  );
}

function refusePassword(): never {
  throw new QrunError('USAGE', 'a password on the command line is visible to every user of this machine', {
    hint: 'put it into CLICKHOUSE_PASSWORD, into .env in the sweep root, or into a file for --password-file',
  });
}

/** Adds options that say what one job takes of a machine. */
export function addJobSizeOptions(command: Command): Command {
  return command
    .option('--memory-per-job <size>', 'memory that one job takes, such as 8G (default: memory_max)')
    .option('--cores-per-job <n>', 'cores that one job takes (default: 1)');
}

/** Adds options of a run alone. */
export const addRunOptions = addingKeysOf('Run');

/** Adds the options with which a worker of a queue starts a run that ends with it, or one of many machines does. */
export function addAliveOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--alive-fd <n>',
        'stop as after SIGTERM when the pipe that is open as descriptor n ends: whoever started this is gone',
      ).helpGroup('Run:'),
    )
    .addOption(
      new Option(
        '--alive-limit <duration>',
        'the same when nothing came on that pipe for so long, such as 60s (default: no limit)',
      ).helpGroup('Run:'),
    )
    .addOption(
      new Option(
        '--host-logs',
        "record into a log of this machine's own, results/.from/HOST, after what others recorded was imported into it",
      ).helpGroup('Run:'),
    );
}

/** The options of `qrun unit`. */
export const UNIT_OPTIONS: readonly AddOptions[] = [
  addShowOptions,
  addRunOptions,
  addAliveOptions,
  addEngineOptions,
  addUnitOptions,
  addSelectionOptions,
];

/** Those of them that all units of a sweep can share. */
export const SHARED_OPTIONS: readonly AddOptions[] = [
  addRunOptions,
  addEngineOptions,
  addSharedUnitOptions,
  addBadFileOptions,
];

/**
 * Returns what a command line contributes to the configuration: the flags of its keys, and other sources with what
 * applies to them. Errors: QrunError `USAGE`.
 */
export function configFlags(flags: Flags): Given {
  const known = CONFIG_KEYS.filter(key => flags[key] !== undefined).map(key => {
    const value = flags[key];
    return [key, entryOf(key).merged ? parsePairs(flagName(key), value as string[]) : value];
  });
  const digest = flags.configDigest as string | undefined;
  return {
    flags: Object.fromEntries(known),
    submission: flags.config === undefined ? undefined : { file: String(flags.config), digest },
    trust: flags.trust === true,
  };
}

// How much is shown of an invalid value, in characters.
const SHOWN = 100;

/** Returns `name=value` pairs. Errors: QrunError `USAGE`. */
export function parsePairs(option: string, values: readonly string[]): Record<string, string> {
  const result: Record<string, string> = {};
  for (const value of values) {
    const at = value.indexOf('=');
    if (at < 1) throw new QrunError('USAGE', `${option} ${value.slice(0, SHOWN)}: must be name=value`);
    const problem = nameProblem(value.slice(0, at));
    if (problem !== undefined) throw new QrunError('USAGE', `${option} ${value.slice(0, at)}: ${problem}`);
    result[value.slice(0, at)] = value.slice(at + 1);
  }
  return result;
}
