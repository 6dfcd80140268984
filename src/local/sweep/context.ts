import { basename, dirname, join, resolve } from 'node:path';
import type { LastAudit } from '../../app/sweep/status.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import type { Parameters } from '../../core/model.js';
import { AUDIT, defaultGroup, sweepNameOf } from '../../core/queue/labels.js';
import { auditOf } from '../../core/sweep/audit.js';
import { MAX_COMBINATIONS } from '../../core/sweep/matrix.js';
import { chooseUnits, parameterSets } from '../../core/sweep/units.js';
import { ownersOfOneFile } from '../../core/unit/names.js';
import { nameMatcher, type Selection } from '../../core/unit/selection.js';
import { foldsCase } from '../../io/files/case.js';
import { isBeneath, realOf } from '../../io/files/paths.js';
import { auditReportPath, isOutdated, readAuditReport } from '../../io/log/audit-report.js';
import { findSqlDirectories } from '../../io/unit/sweep-files.js';
import { unitName } from '../../io/unit/unit-files.js';
import { type Given, type Surroundings, type SweepContext, sweepContext } from '../config/sweep-context.js';
import { type UnitContext, unitIn } from '../unit/context.js';

/** A sweep with its name and its units. */
export interface ResolvedSweep extends SweepContext {
  readonly name: string;
  readonly group: string;
  /** The given directory, absolute: the units lie at or below it. */
  readonly start: string;
  readonly selection: UnitSelection;
  /** Sorted by id; only selected ones. */
  readonly units: readonly UnitContext[];
}

/** Globs over unit ids. */
export type UnitSelection = Pick<Selection, 'include' | 'exclude'>;

/**
 * Returns the sweep that a directory belongs to, with the units at or below it: those that qrun.toml lists, otherwise
 * each leaf directory, times epochs and matrix. With an embedded engine and `data_dir`, each unit has its own
 * directory below that, because only one process can open one.
 *
 * Errors: QrunError `CONFIG`, `UNIT_*`; `CONFIG` when two units would share a log, also because the disk does not
 * distinguish upper and lower case.
 */
export function resolveSweep(
  directory: string,
  given: Given,
  surroundings: Surroundings,
  selection: UnitSelection,
): ResolvedSweep {
  const { include, exclude } = selection;
  // A queue starts a task in its directory without links, and ids must not depend on the path that was used.
  const start = realOf(resolve(surroundings.cwd, directory));
  const context = sweepContext(start, given, surroundings);
  const root = realOf(context.root);
  const sweep = { ...context, root };
  const name = context.table.name ?? sweepNameOf(basename(root));
  // Without a list of units, the rest of the root, which may be anything, is not searched.
  const candidates = findSqlDirectories(
    context.table.units === undefined ? start : root,
    root,
    context.linksWithin,
  );
  const chosen = chooseUnits(candidates, context.table.units).filter(path =>
    isBeneath(join(root, path), start),
  );
  const sets = parameterSets(context.table);
  // As for the sets of parameters: more are a mistake, and would use up all memory before anybody could report it.
  if (chosen.length * sets.length > MAX_COMBINATIONS) {
    throw new QrunError('CONFIG', 'the sweep has too many units', {
      details: [
        `${chosen.length} directories x ${sets.length} sets of parameters; the limit is ${MAX_COMBINATIONS}`,
      ],
    });
  }
  const included = nameMatcher(include, true);
  const excluded = nameMatcher(exclude, false);
  const units = chosen
    .flatMap(path => sets.map(set => unitOf(sweep, join(root, path), set)))
    .filter(({ unit, directory: at }) => {
      const names = [unit, unitName(at, root)];
      return names.some(included) && !names.some(excluded);
    });
  // A unit that was submitted and is gone is for the audit to report.
  if (units.length === 0 && context.submittedUnits === undefined) {
    throw new QrunError('UNIT_EMPTY', `there is no unit of the sweep ${name} at or below ${start}`, {
      hint:
        include.length + exclude.length > 0
          ? 'look at --include and --exclude; their globs match unit ids such as 2down/BTCUSDT_750'
          : 'a unit is a directory with *.sql files; names that begin with "_" or "." do not count',
    });
  }
  refuseSharedNames(units);
  return { ...sweep, name, group: context.table.group ?? defaultGroup(name), start, selection, units };
}

/** Returns the last audit of a sweep; `undefined` if there is none. */
export function lastAudit({ logDirectory, name, units }: ResolvedSweep): LastAudit | undefined {
  const kept = readAuditReport(auditReportPath(logDirectory, name));
  if (kept === undefined) return undefined;
  const logs = new Map(units.map(({ unit, logPath }) => [unit, logPath]));
  return { audit: auditOf(kept, logs.keys()), outdated: isOutdated(kept, logs) };
}

function unitOf(sweep: SweepContext, directory: string, parameters: Parameters): UnitContext {
  const unit = unitIn(sweep, directory, parameters);
  if (factsOf(sweep.config.engine).data === 'server' || sweep.config.dataDir === undefined) return unit;
  const own = basename(unit.logPath).replace(/\.ndjson$/, '');
  return { ...unit, dataDirectory: join(sweep.config.dataDir, own) };
}

function refuseSharedNames(units: readonly UnitContext[]): void {
  const logs = units.map(({ unit, logPath }) => [unit, logPath] as const);
  const path = new Map(logs);
  const problems = sharing(logs).map(
    ([one, other]) =>
      `${one} and ${other} would share ${path.get(other)}${path.get(one) === path.get(other) ? '' : ', because its disk does not tell upper from lower case'}`,
  );
  if (units.some(({ unit }) => unit === AUDIT)) problems.push(`no unit can be called ${AUDIT}`);
  for (const { unit } of units) {
    // A queue shows labels as they are.
    if (UNPRINTABLE.test(unit)) problems.push(`the unit ${JSON.stringify(unit)} holds control characters`);
  }
  if (problems.length > 0) {
    throw new QrunError('CONFIG', 'the units of the sweep are not usable', { details: problems });
  }
}

// Control characters, and characters that reorder the text around them.
const UNPRINTABLE = /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/u;

// The disk is asked only where it matters.
function sharing(logs: readonly (readonly [string, string])[]): [string, string][] {
  const folded = ownersOfOneFile(logs, true);
  const [, first] = logs[0] ?? [];
  if (folded.length === 0 || first === undefined || foldsCase(dirname(first))) return folded;
  return ownersOfOneFile(logs, false);
}
