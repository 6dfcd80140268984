import { Command, Option } from 'commander';
import { type ConfigKey, flagName } from '../core/config/config.js';
import { nameProblem } from '../core/config/table-keys.js';
import { QrunError } from '../core/errors.js';

/** Options of commander, by the names that it derives from the flags. */
export type Flags = Readonly<Record<string, unknown>>;

/** Gathers the values of a repeatable option. */
export const collect = (value: string, before: string[] | undefined): string[] => [...(before ?? []), value];

/**
 * Options that say which results of a unit count: they go into unit id, log name and fingerprints. `severalLogs`: `--log`
 * can be repeated.
 */
export function addUnitOptions(command: Command, { severalLogs = false } = {}): Command {
  const log = severalLogs
    ? new Option(
        '--log <file>',
        'the log of the unit; all of them (repeatable), where shards of it have logs of their own',
      ).argParser(collect)
    : new Option('--log <file>', 'the log of this unit');
  command.addOption(log.helpGroup(UNIT_GROUP));
  addSharedUnitOptions(command);
  return addJobOptions(command);
}

// What the tasks of a submission are given. The digest proves that the file is the one that was written: a tree could
// bring along one of its own, and the command lines of tasks are not in the tree.
function addJobOptions(command: Command): Command {
  return command
    .addOption(new Option('--config <file>', 'configuration that submit-all wrote for its jobs').hideHelp())
    .addOption(new Option('--config-digest <sha256>', 'what that file holds').hideHelp());
}

/** The option that takes a tree as trusted; see docs/trust.md. */
export function addTrustOption(command: Command): Command {
  return command.addOption(
    new Option(
      '--trust',
      'for this command, trust what the tree says about its server, also if others own it',
    ).helpGroup('Engine:'),
  );
}

const UNIT_GROUP = 'Unit and log:';

/** Those of {@link addUnitOptions} that all units of a sweep can share. */
export function addSharedUnitOptions(command: Command): Command {
  const group = UNIT_GROUP;
  return command
    .addOption(
      new Option('--log-dir <dir>', 'directory of all logs (default: <sweep root>/results)').helpGroup(group),
    )
    .addOption(
      new Option(
        '--umask <octal>',
        'rights that others do not get on what is written, such as 0077 (also QRUN_UMASK)',
      ).helpGroup(group),
    )
    .addOption(
      new Option(
        '--follow-links',
        'read SQL through links that lead out of the sweep root (also QRUN_FOLLOW_LINKS)',
      ).helpGroup(group),
    )
    .addOption(
      new Option('--param <name=value>', 'value of {name:Type} in the SQL (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--set <name=value>', 'ClickHouse setting for every query (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(new Option('--database <name>', 'default database').helpGroup(group))
    .addOption(new Option('--rows-per-query <n>', 'rows that each normal result has').helpGroup(group));
}

const SELECTION_GROUP = 'Selection:';

/** Options that choose among the queries of a unit. */
export function addSelectionOptions(command: Command): Command {
  const group = SELECTION_GROUP;
  addChoiceOptions(command)
    .addOption(new Option('--limit <n>', 'run at most n queries').helpGroup(group))
    .addOption(new Option('--shuffle <seed>', 'random order, the same for the same seed').helpGroup(group))
    .addOption(
      new Option('--rerun <which>', 'run again what is recorded: errors (default), all or none')
        .choices(['errors', 'all', 'none'])
        .helpGroup(group),
    );
  return addBadFileOptions(command);
}

/** Those of {@link addSelectionOptions} that say which queries are meant, and not in which order or how often they run. */
export function addChoiceOptions(command: Command): Command {
  const group = SELECTION_GROUP;
  return command
    .addOption(
      new Option('--include <glob>', 'only queries whose name matches (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--exclude <glob>', 'not the queries whose name matches (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(new Option('--shard <i/n>', 'part i of n, chosen by a hash of the name').helpGroup(group));
}

/** Options about files that cannot run. */
export function addBadFileOptions(command: Command): Command {
  const group = 'Bad files:';
  return command
    .addOption(
      new Option(
        '--skip-bad',
        'leave files that cannot run out and run the others; exit code 20 (also skip_bad)',
      ).helpGroup(group),
    )
    .addOption(
      new Option('--allow-placeholder <word>', 'run files that hold this word, such as __X__ (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--allow-placeholders', 'run files that hold any unreplaced placeholder').helpGroup(group),
    );
}

/** How `qrun unit` shows what it does. */
export function addShowOptions(command: Command): Command {
  return command
    .option('-q, --quiet', 'no progress, only warnings and the summary')
    .option('--why', 'print for each query why it runs or not, then run')
    .option('--dry-run', 'print what would run, and run nothing')
    .option('--events <file>', 'append events to a file, one JSON line each')
    .option('--json', 'the summary as one JSON line');
}

/**
 * Adds, hidden, the options of a command that starts queries to one that only looks at them: so that the command line
 * of the one can be given to the other, and both resolve the same configuration from it. What only says how queries run
 * has no effect there.
 */
export function acceptOptions(command: Command, adders: readonly ((command: Command) => Command)[]): Command {
  const others = new Command();
  for (const add of adders) add(others);
  for (const option of others.options) {
    if (command.options.every(own => own.long !== option.long)) command.addOption(option.hideHelp());
  }
  return command;
}

/** Options that choose among the units of a sweep. */
export function addSweepOptions(command: Command): Command {
  const group = 'Sweep:';
  command
    .addOption(
      new Option('--include <glob>', 'only units whose id matches (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--exclude <glob>', 'not the units whose id matches (repeatable)')
        .argParser(collect)
        .helpGroup(group),
    )
    .addOption(
      new Option('--group <name>', 'pueue group (default: qrun-<sweep>, or group under [sweep])').helpGroup(
        group,
      ),
    );
  return addJobOptions(command);
}

/** Options that say what executes the SQL. */
export function addEngineOptions(command: Command): Command {
  const group = 'Engine:';
  command
    .addOption(
      new Option('--engine <name>', 'clickhouse (a server) or embedded (chDB, the default without --url)')
        .choices(['clickhouse', 'embedded'])
        .helpGroup(group),
    )
    .addOption(
      new Option(
        '--url <url>',
        'ClickHouse server, such as http://localhost:8123 (also CLICKHOUSE_URL)',
      ).helpGroup(group),
    )
    .addOption(
      new Option(
        '--user <name>',
        'user; the password comes from CLICKHOUSE_PASSWORD, .env or a file',
      ).helpGroup(group),
    )
    .addOption(new Option('--password-file <file>', 'file that holds the password').helpGroup(group))
    .addOption(new Option('--password <secret>').hideHelp())
    .addOption(new Option('--ca-file <file>', 'certificate authority of an https server').helpGroup(group))
    .addOption(
      new Option(
        '--data-dir <dir>',
        'data of the embedded engine (default: <sweep root>/.qrun/data)',
      ).helpGroup(group),
    )
    .addOption(
      new Option('--allow-files', 'embedded: SQL may read and write files, as file() does').helpGroup(group),
    )
    .addOption(
      new Option('--allow-network', 'embedded: SQL may use the network, as url() and s3() do').helpGroup(
        group,
      ),
    )
    .addOption(
      new Option('--setup', 'run _setup.sql on the server first (embedded: always, once)').helpGroup(group),
    );
  return addTrustOption(command);
}

/** Options of a run alone. */
export function addRunOptions(command: Command): Command {
  const group = 'Run:';
  return (
    command
      .addOption(
        new Option('-P, --concurrency <n>', 'queries at a time, or auto (default: 16)').helpGroup(group),
      )
      .addOption(
        new Option(
          '--memory-max <size>',
          'memory cap of the run, such as 8G, by systemd-run (without it: no cap)',
        ).helpGroup(group),
      )
      .addOption(
        new Option(
          '--timeout <duration>',
          'deadline of each attempt: 500ms, 30s, 5m (default: 1h)',
        ).helpGroup(group),
      )
      .addOption(
        new Option('--retries <n>', 'further attempts after a failure that may pass (default: 3)').helpGroup(
          group,
        ),
      )
      .addOption(
        new Option('--max-outage <duration>', 'how long to wait for a lost server (default: 10m)').helpGroup(
          group,
        ),
      )
      .addOption(
        new Option(
          '--max-result <size>',
          'largest result of a query, such as 4G (default: half of the free space, at most 16G)',
        ).helpGroup(group),
      )
      .addOption(
        new Option(
          '--halt <policy>',
          'stop at errors=N, errors=N%, or same=N|off equal first failures',
        ).helpGroup(group),
      )
      .addOption(
        new Option(
          '--no-redact',
          'show messages of the engine whole, with what looks like a credential in them',
        ).helpGroup(group),
      )
      // Without its counterpart, commander would give true where neither was given.
      .addOption(new Option('--redact', 'hide it (the default)').hideHelp())
  );
}

const KEY_OF_FLAG: Readonly<Record<string, ConfigKey>> = {
  param: 'parameters',
  set: 'settings',
  allowPlaceholder: 'allow_placeholders',
};

// Not configuration: how a command shows itself.
const PRESENTATION: ReadonlySet<string> = new Set([
  'json',
  'why',
  'dryRun',
  'quiet',
  'color',
  'list',
  'password',
  'progress',
]);

/** The flags that a user gave, by configuration key. Errors: QrunError `USAGE`. */
export function configFlags(flags: Flags): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(flags)) {
    if (value === undefined || PRESENTATION.has(name)) continue;
    // All, where both are given.
    if (name === 'allowPlaceholder' && flags.allowPlaceholders === true) continue;
    // Not keys of the configuration, but where one comes from and what that counts.
    if (name === 'config' || name === 'configDigest' || name === 'trust') {
      result[name === 'configDigest' ? 'config_digest' : name] = value;
      continue;
    }
    const key = KEY_OF_FLAG[name] ?? name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
    const pairs = name === 'param' || name === 'set';
    result[key] = pairs ? parsePairs(flagName(key), value as string[]) : value;
  }
  return result;
}

// Of a value that is none.
const SHOWN = 100;

/** `name=value` pairs. Errors: QrunError `USAGE`. */
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
