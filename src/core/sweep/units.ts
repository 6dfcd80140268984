import { z } from 'zod';
import { keyProblems, REPORT } from '../config/problems.js';
import { glob, once, oneOf, scalar, scalarText, text } from '../config/values.js';
import { QrunError } from '../errors.js';
import type { Parameters } from '../model.js';
import { clusterKeys } from '../queue/clusters.js';
import { checkedSweepName } from '../queue/labels.js';
import { QUEUE_NAMES } from '../queue/names.js';
import type { Output } from '../schema.js';
import { parameterProblem } from '../text/secret-names.js';
import { nameMatcher } from '../unit/selection.js';
import {
  countCharacters,
  countCombinations,
  expandMatrix,
  lengthOf,
  MAX_CHARACTERS,
  MAX_COMBINATIONS,
} from './matrix.js';

// More slots than this are a mistake.
const MAX_SLOTS = 10_000;
/** The priorities of queues are 32-bit integers, and the audit's priority is one less than that of the units. */
export const MAX_PRIORITY = 1_000_000_000;
const PRIORITY = `must be a whole number from -${MAX_PRIORITY} to ${MAX_PRIORITY}`;
const SLOTS = `must be "auto" or a whole number from 1 to ${MAX_SLOTS}`;

/** What `[sweep]` of a qrun.toml may hold. */
export const sweepSchema = once(() => {
  const value = scalar().transform(scalarText);
  const values = z
    .union([value, z.array(value).min(1, 'must not be empty')], 'must be a value or a list of values')
    .transform(given => (Array.isArray(given) ? given : [given]));
  return z
    .strictObject({
      name: text()
        .describe('Its name, in labels and groups; that of the root directory if it is missing.')
        .optional(),
      group: text().describe('Its group of the queue; qrun-<name> if it is missing.').optional(),
      on: oneOf(QUEUE_NAMES)
        .describe('What its tasks are given to: the queue of this machine, or a cluster.')
        .optional(),
      ...clusterKeys(),
      parallel: z
        .union([z.literal('auto'), z.int(SLOTS).min(1, SLOTS).max(MAX_SLOTS, SLOTS)], SLOTS)
        .describe('Units that run at a time, or auto: what `qrun probe` recommends.')
        .optional(),
      priority: z
        .int(PRIORITY)
        .min(-MAX_PRIORITY, PRIORITY)
        .max(MAX_PRIORITY, PRIORITY)
        .describe('Of its units in the queue: higher ones start first.')
        .optional(),
      units: z
        .array(glob(), 'must be a list of strings')
        .min(1, 'must not be empty')
        .describe(
          'Globs of directories, relative to the root; every leaf directory with SQL files if it is missing.',
        )
        .optional(),
      epochs: z
        .array(z.record(z.string(), value, 'must be a table of parameters'), 'must be a list of tables')
        .min(1, 'must not be empty')
        .describe('Sets of parameters, one unit each, such as periods of time.')
        .optional(),
      matrix: z
        .record(z.string(), values, 'must be a table of lists')
        .describe('Values of parameters: one unit for each combination.')
        .optional(),
    })
    .describe('The sweep that `qrun submit-all` submits.');
});

/** `[sweep]` of a qrun.toml, checked: which units there are, and how they are submitted. */
export interface SweepTable extends Output<ReturnType<typeof sweepSchema>> {}

/** Returns what is wrong with a `[sweep]` table, one line each, for messages that list everything at once. */
export function sweepProblems(label: string, value: unknown): string[] {
  const lost = keyProblems(label, value);
  const result = sweepSchema().safeParse(value, REPORT);
  if (result.success) {
    const problems = [secretNames, namesGivenTwice, tooManySets].flatMap(of => of(label, result.data));
    return [...lost, ...problems];
  }
  const others = result.error.issues.flatMap(issue => {
    const at = [label, ...issue.path.map(String)].join('.');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map(
        key => `${at}.${key}: unknown key; known are ${Object.keys(sweepSchema().shape).join(', ')}`,
      );
    }
    return [`${at}: ${issue.message}`];
  });
  return [...lost, ...others];
}

function secretNames(label: string, { epochs = [], matrix = {} }: SweepTable): string[] {
  const names = [
    ...Object.keys(matrix).map(name => [`${label}.matrix.${name}`, name] as const),
    ...epochs.flatMap((epoch, index) =>
      Object.keys(epoch).map(name => [`${label}.epochs.${index}.${name}`, name] as const),
    ),
  ];
  return names.flatMap(([at, name]) => {
    const problem = parameterProblem(name);
    return problem === undefined ? [] : [`${at}: ${problem}`];
  });
}

function namesGivenTwice(label: string, table: SweepTable): string[] {
  const inEpochs = new Set((table.epochs ?? []).flatMap(epoch => Object.keys(epoch)));
  return Object.keys(table.matrix ?? {})
    .filter(name => inEpochs.has(name))
    .map(name => `${label}.matrix.${name}: is in epochs too`);
}

// Counted before they are made: eight parameters of a hundred values each would take all memory.
function tooManySets(label: string, { epochs = [{}], matrix = {} }: SweepTable): string[] {
  const combinations = countCombinations(matrix);
  const count = epochs.length * combinations;
  if (count > MAX_COMBINATIONS)
    return [`${label}: has ${count} sets of parameters (epochs x matrix); the limit is ${MAX_COMBINATIONS}`];
  const inEpochs = epochs.reduce((total, epoch) => total + lengthOf(Object.values(epoch)), 0);
  const characters = inEpochs * combinations + epochs.length * countCharacters(matrix);
  if (characters <= MAX_CHARACTERS) return [];
  return [
    `${label}: its sets of parameters have ${characters} characters together; the limit is ${MAX_CHARACTERS}`,
  ];
}

/** Returns a `[sweep]` table; empty for `undefined`. Errors: QrunError `CONFIG` with all problems. */
export function parseSweepTable(file: string, value: unknown = {}): SweepTable {
  const problems = sweepProblems(`${file}: sweep`, value);
  if (problems.length > 0) {
    throw new QrunError('CONFIG', 'the configuration is not usable', { details: problems });
  }
  const table = sweepSchema().parse(value);
  if (table.name !== undefined) checkedSweepName(table.name);
  return table;
}

/**
 * Returns the parameter sets of a sweep: each epoch with each combination of the matrix; one empty set without both.
 */
export function parameterSets({ epochs = [{}], matrix = {} }: SweepTable): Parameters[] {
  const combinations = expandMatrix(matrix);
  return epochs.flatMap(epoch => combinations.map(one => ({ ...epoch, ...one })));
}

/** A directory below a sweep's root that holds SQL files, directly or deeper. */
export interface SqlDirectory {
  /** Relative to the root, with `/`; empty for the root itself. */
  readonly path: string;
  /** The number of `*.sql` files directly in it. */
  readonly files: number;
  /** Whether directories below it hold SQL files too. */
  readonly above: boolean;
}

/**
 * Returns which directories are units: those that the globs of `units` match, otherwise every leaf, which is a
 * directory with SQL files and none in directories below it. Paths are relative to the root.
 *
 * Errors: QrunError `CONFIG`, all problems at once: files that would be in no unit or in two, globs that match nothing.
 */
export function chooseUnits(
  directories: readonly SqlDirectory[],
  units: readonly string[] | undefined,
): string[] {
  return units === undefined ? leaves(directories) : listed(directories, units);
}

function leaves(directories: readonly SqlDirectory[]): string[] {
  const mixed = directories.filter(({ files, above }) => files > 0 && above);
  if (mixed.length > 0) {
    throw new QrunError('CONFIG', 'not every SQL file is in a unit', {
      details: mixed.map(
        ({ path, files }) =>
          `${path === '' ? 'the root' : path} has ${files} SQL file${files === 1 ? '' : 's'} of its own beside directories with SQL files`,
      ),
      hint: 'move them into a directory of their own, or list the units: units = ["2down", "3down/*"] under [sweep] in qrun.toml',
    });
  }
  return directories.filter(({ above }) => !above).map(({ path }) => path);
}

function listed(directories: readonly SqlDirectory[], globs: readonly string[]): string[] {
  const problems: string[] = [];
  const chosen = new Set<string>();
  for (const glob of globs) {
    // Nothing is left of `./` and `/`: the root is not a unit.
    const pattern = glob.replace(/^\.\/|\/$/g, '');
    const matches = pattern === '' ? () => false : nameMatcher([pattern], false);
    const found = directories.filter(({ path }) => path !== '' && matches(path));
    if (found.length === 0)
      problems.push(`units: ${JSON.stringify(glob)} matches no directory with SQL files`);
    for (const { path } of found) chosen.add(path);
  }
  for (const path of chosen) {
    const outer = [...chosen].find(other => path.startsWith(`${other}/`));
    if (outer !== undefined) problems.push(`units: ${path} is in ${outer}, so its files would be in both`);
  }
  if (problems.length > 0) {
    throw new QrunError('CONFIG', 'the units of the sweep are not usable', { details: problems });
  }
  return [...chosen].sort();
}
