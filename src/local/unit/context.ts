import { dirname, resolve } from 'node:path';
import type { Config } from '../../core/config/table.js';
import { splitSettings } from '../../core/engines/engine-settings.js';
import { factsOf } from '../../core/engines/facts.js';
import type { Parameters, Settings } from '../../core/model.js';
import type { FingerprintInputs } from '../../core/unit/fingerprint.js';
import { unitId } from '../../core/unit/names.js';
import { unitName } from '../../io/unit/unit-files.js';
import { type Given, type Surroundings, type SweepContext, sweepContext } from '../config/sweep-context.js';
import { logPlaceOf } from './log-place.js';

/** A unit as a command sees it: where it is, what it is called, and its configuration. */
export interface UnitContext extends SweepContext {
  readonly directory: string;
  readonly unit: string;
  readonly logPath: string;
  readonly inputs: FingerprintInputs;
}

/** A unit's context whose concurrency is a number, so that it can run. */
export type RunnableContext = UnitContext & {
  readonly config: Config & { readonly concurrency: number };
  /** How many of these queries each of several servers may run, if that is not an equal part each. */
  readonly shares?: readonly number[] | undefined;
};

/**
 * Returns among how many servers each query of a configuration would choose one, if it may not change data for that
 * reason; see `JudgeRules`. `undefined` with one server.
 */
export function oneOfServers({
  engine,
  url = [],
  allowChanges,
}: Pick<Config, 'engine' | 'url' | 'allowChanges'>): number | undefined {
  const isSeveral = factsOf(engine).data === 'server' && url.length > 1;
  return isSeveral && !allowChanges ? url.length : undefined;
}

/** Resolves the configuration of a unit; see {@link sweepContext}. Errors: QrunError `CONFIG`. */
export function unitContext(directory: string, given: Given, surroundings: Surroundings): UnitContext {
  const sweep = sweepContext(directory, given, surroundings);
  return unitIn(sweep, resolve(surroundings.cwd, directory), {}, surroundings.cwd);
}

/** Returns one unit of a sweep; `parameters` are added to those that all units have. */
export function unitIn(
  sweep: SweepContext,
  directory: string,
  parameters: Parameters,
  cwd = sweep.root,
): UnitContext {
  const config = { ...sweep.config, parameters: { ...sweep.config.parameters, ...parameters } };
  const unit = unitId(unitName(directory, sweep.root), config.parameters);
  const logPath = logPlaceOf({ ...sweep, config }, directory, unit, cwd);
  return {
    ...sweep,
    config,
    directory,
    unit,
    logPath,
    logDirectory: dirname(logPath),
    inputs: {
      parameters: config.parameters,
      settings: resultSettings(config, sweep.timeZone),
      limits: splitSettings(config.settings).limits,
    },
  };
}

// The database decides what an unqualified table name means, as a setting would; the time zone does the same for all
// dates without one. An engine without a time zone works in UTC: that adds nothing to fingerprints.
function resultSettings(config: Config, timeZone: string | undefined): Settings {
  return Object.fromEntries([
    ...Object.entries(splitSettings(config.settings).result),
    ...(config.database === undefined ? [] : [['database', config.database]]),
    ...(timeZone === undefined || timeZone === 'UTC' ? [] : [[TIME_ZONE_INPUT, timeZone]]),
  ]);
}

// No ClickHouse setting has this name.
const TIME_ZONE_INPUT = 'timezone';
