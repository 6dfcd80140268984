import { dirname, join } from 'node:path';
import type { NumberUse, Respelled } from '../../core/config/toml-numbers.js';
import { QrunError } from '../../core/errors.js';
import { readDotEnv, readToml } from '../../io/config/config-files.js';
import type { SubmissionConfig } from '../../io/config/submission-config.js';
import { statOf } from '../../io/files/paths.js';
import { findSweepRoot, type SweepRoot, strangerIn } from '../../io/unit/sweep-root.js';
import { acceptsRoot, type Environment, TreeTrust, type TrustInputs } from './trust.js';

/** The root of a sweep, and what its files say. */
export interface TreeFiles {
  readonly root: string;
  readonly configFile: string | undefined;
  readonly dotEnvFile: string;
  /** The tables of qrun.toml, or of the file of a submission. */
  readonly values: Readonly<Record<string, unknown>>;
  /** Without the empty ones. */
  readonly dotEnv: Environment;
  /** Numbers in qrun.toml that had other digits in the ids of units. */
  readonly respelled: readonly Respelled[];
  /** Not settled yet; see {@link TreeTrust.settle}. */
  readonly trust: TreeTrust;
  /** Which files are not used, and why. */
  readonly notices: readonly string[];
}

/**
 * Returns the root that `directory` belongs to, with the files there that count. Files of other users count only if
 * that is accepted, and `.env` only if somebody has said that this is a root. The file of a submission replaces
 * qrun.toml.
 *
 * Errors: QrunError `CONFIG`.
 */
export function readTree(
  directory: string,
  cwd: string,
  submitted: SubmissionConfig | undefined,
  inputs: TrustInputs,
): TreeFiles {
  const accepts = (at: string): boolean => acceptsRoot(at, inputs);
  const found: SweepRoot =
    submitted === undefined
      ? sweepRootOf(directory, cwd, accepts)
      : { directory: submitted.root, configFile: submitted.file };
  const { directory: root, configFile } = found;
  const trust = new TreeTrust(root, inputs);
  const toml =
    submitted !== undefined || configFile === undefined
      ? undefined
      : readToml(configFile, numberUse, trust.checks(configFile));
  const dotEnvFile = join(root, '.env');
  // Nobody has said that the mere parent of a unit is a root.
  const isGuessed = found.guessed === true;
  const passesOver = isGuessed ? undefined : strangerIn(dotEnvFile, statOf(root), accepts);
  return {
    root,
    configFile,
    dotEnvFile,
    values: submitted?.values ?? toml?.values ?? {},
    dotEnv:
      isGuessed || passesOver !== undefined
        ? {}
        : withoutEmpty(readDotEnv(dotEnvFile, trust.checks(dotEnvFile))),
    respelled: toml?.respelled ?? [],
    trust,
    notices: [
      ...(found.passedOver === undefined ? [] : [notUsed(found.passedOver)]),
      ...(passesOver === undefined ? [] : [notUsed({ file: dotEnvFile, why: passesOver })]),
    ],
  };
}

/** Returns the non-empty variables: an empty one counts as unset, and hides nothing. */
export function withoutEmpty(variables: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
}

function notUsed({ file, why }: { readonly file: string; readonly why: string }): string {
  return `${file} is not used: ${why}`;
}

// What a number in qrun.toml is used for.
function numberUse([table, key]: readonly string[]): NumberUse {
  if (table === 'settings') return 'setting';
  const isParameter = table === 'parameters' || (table === 'sweep' && (key === 'epochs' || key === 'matrix'));
  return isParameter ? 'parameter' : 'number';
}

// A file instead of a directory, or a directory that may not be entered, is reported when its queries are listed; the
// search for a qrun.toml in it fails before that.
function sweepRootOf(directory: string, cwd: string, accepts: (at: string) => boolean): SweepRoot {
  try {
    return findSweepRoot(directory, cwd, accepts);
  } catch (error) {
    if (error instanceof QrunError || dirname(directory) === directory) throw error;
    return sweepRootOf(dirname(directory), cwd, accepts);
  }
}
