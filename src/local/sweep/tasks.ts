import { join } from 'node:path';
import { byTomlName, TOML_KEYS } from '../../core/config/keys.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import { refusePasswordInUrl } from '../../core/text/shown-urls.js';
import { writeSubmission } from '../../io/config/submission-config.js';
import { ownCommand } from '../../io/machine/this-process.js';
import { queueOf } from '../../io/queue/queues.js';
import { serverUrls } from '../config/connection.js';
import { checkSubmissions } from '../config/places.js';
import type { UnitContext } from '../unit/context.js';
import type { ResolvedSweep } from './context.js';

/**
 * Checks that the tasks of a sweep would find what they need. Errors: QrunError `CONFIG` when they could not find the
 * password, and for a connection that may not be made.
 */
export function checkTasks(sweep: ResolvedSweep): void {
  const usesServer = factsOf(sweep.config.engine).data === 'server';
  if (usesServer && !sweep.passwordSurvives()) {
    throw new QrunError(
      'CONFIG',
      'the tasks could not find the password: they start in a clean environment',
      {
        hint: `put CLICKHOUSE_PASSWORD into ${join(sweep.root, '.env')}, or the password into a file: --password-file`,
      },
    );
  }
  // Refuses a password in a URL, which would otherwise be written to the file.
  serverUrls(sweep).forEach(refusePasswordInUrl);
  // Checked now, while somebody can still answer, and by the same rule as everywhere: asking for the connection
  // throws.
  if (usesServer) sweep.connections();
}

/** Returns what the command line of a unit says of it alone: its parameters and directory of data. */
export function ownArguments(
  { config: { parameters }, dataDirectory }: UnitContext,
  sweep: Pick<ResolvedSweep, 'config' | 'dataDirectory'>,
): string[] {
  const shared = sweep.config.parameters;
  return [
    ...Object.entries(parameters)
      .filter(([name, value]) => shared[name] !== value)
      .map(([name, value]) => `--param=${name}=${value}`),
    ...(dataDirectory === sweep.dataDirectory ? [] : [`--data-dir=${dataDirectory}`]),
  ];
}

/**
 * Writes the configuration of a submission and returns the commands of its tasks, as lists of words, which name it.
 * Tasks start in a clean environment, and resolve the same configuration from that file alone. It holds no secrets.
 *
 * Errors: QrunError `WRITE_FAILED`; as {@link checkTasks}.
 */
export async function prepareTasks(sweep: ResolvedSweep) {
  checkTasks(sweep);
  checkSubmissions(sweep.root);
  const { given, name, group } = sweep;
  // Choices of one submission (setup, rerun) do not belong to a configuration; its units get theirs as flags.
  // A task runs on this machine, whatever other hosts the sweep has.
  const keys = TOML_KEYS.filter(key => key !== 'hosts');
  const kept = Object.fromEntries(keys.map(key => [key, given[key]]));
  const written = await writeSubmission(
    sweep.root,
    { ...byTomlName(kept), sweep: { ...sweep.table, name, group } },
    sweep.units.map(({ unit }) => unit),
    { timeZone: sweep.timeZone, made: { givers: byTomlName(sweep.givers), trusted: sweep.trust.trusted() } },
  );
  const config = [`--config=${written.path}`, `--config-digest=${written.digest}`];
  const own = ownCommand();
  const isElsewhere = queueOf(sweep.table).isCluster === true;
  return {
    unit: (unit: UnitContext): string[] => [
      ...own,
      'unit',
      unit.directory,
      ...config,
      ...ownArguments(unit, sweep),
      ...(given.rerun === undefined ? [] : [`--rerun=${given.rerun}`]),
      ...(isElsewhere ? ['--host-logs'] : []),
    ],
    // `finalizers`: commands that run after a complete audit; `priority`: its own, for when it submits itself again.
    audit: (finalizers: readonly string[], priority: number): string[] => [
      ...own,
      'audit-all',
      sweep.start,
      ...config,
      '--when-ended',
      `--priority=${priority}`,
      ...finalizers.map(command => `--then=${command}`),
    ],
  };
}
