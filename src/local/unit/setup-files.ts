import { relative } from 'node:path';
import {
  checkSetupFiles,
  readSetupFile,
  type SetupFile,
  setupParameterNames,
} from '../../app/setup/setup.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import { fingerprinter } from '../../core/unit/fingerprint.js';
import { TreeLinks } from '../../io/unit/tree-links.js';
import { findSetupFiles, readSetupBytes } from '../../io/unit/unit-files.js';
import type { UnitContext } from '../unit/context.js';

/** Setup files that were read already, by path: those above many units are read once. */
export type ReadSetups = Map<string, SetupFile>;

/** The unit whose chain is meant, and where links in its tree may lead. */
type Place = Pick<UnitContext, 'directory' | 'root' | 'linksWithin'>;

/**
 * Returns the chain of setup files that a run of a unit would use, outermost first: always with the embedded engine,
 * on a server only with `--setup`; otherwise none.
 *
 * Errors: QrunError `SQL_INVALID`, `UNIT_UNREADABLE`.
 */
export function setupFilesOf(
  { config, ...place }: Place & Pick<UnitContext, 'config'>,
  read: ReadSetups = new Map(),
): SetupFile[] {
  if (factsOf(config.engine).data === 'server' && !config.setup) return [];
  return chainAt(place, read);
}

/** Returns the chain of a directory, whoever would run it. Errors: as {@link setupFilesOf}. */
export function chainAt({ directory, root, linksWithin }: Place, read: ReadSetups = new Map()): SetupFile[] {
  const links = new TreeLinks(directory, linksWithin);
  return findSetupFiles(directory, root).map(path => {
    const known = read.get(path);
    if (known !== undefined) return known;
    const file = readSetupFile(relative(root, path), readSetupBytes(path, links), print);
    read.set(path, file);
    return file;
  });
}

/**
 * Returns the parameters that the setup of a unit uses. They count as used although no query names them, even in a
 * run that finds the data prepared. Errors: as {@link setupFilesOf}.
 */
export function usedBySetup(
  { config, ...place }: Place & Pick<UnitContext, 'config'>,
  read?: ReadSetups,
): ReadonlySet<string> {
  const given = Object.keys(config.parameters).length > 0;
  return given ? setupParameterNames(chainAt(place, read)) : new Set();
}

/**
 * Returns what plan and audit have to know about the setup of a unit: the error with which a run would refuse it, its
 * problems, and the parameters that it uses. They are all given ones if it cannot be read, because they are not known
 * then.
 */
export function setupOutlook(context: Place & Pick<UnitContext, 'config'>, read: ReadSetups = new Map()) {
  const { parameters, allowPlaceholders } = context.config;
  let used: ReadonlySet<string> = new Set(Object.keys(parameters));
  try {
    used = usedBySetup(context, read);
    checkSetupFiles(setupFilesOf(context, read), { parameters, allowPlaceholders });
    return { error: undefined, cannotRun: [], used };
  } catch (error) {
    if (!(error instanceof QrunError)) throw error;
    const problems = error.details.length === 0 ? [error.message] : error.details;
    return { error, cannotRun: problems.map(problem => ({ query: null, problem })), used };
  }
}

const print = fingerprinter({ parameters: {}, settings: {} });
