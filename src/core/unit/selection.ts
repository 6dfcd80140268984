import { QrunError } from '../errors.js';
import { compileGlob, globProblem } from '../text/glob.js';
import { shortHash } from './fingerprint.js';

/** Shard `index` (from 1) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** Which queries of a unit take part, by name alone. */
export interface Selection {
  /** Globs over query names; empty means all. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly shard: Shard | undefined;
  /** Seed of a random but repeatable order; `undefined` keeps the order of names. */
  readonly shuffle: string | undefined;
}

/**
 * Returns the selected names in the order in which they run. Shards are chosen by a hash of the name: they are
 * disjoint and together complete, and a name keeps its shard when files are added.
 */
export function selectNames(names: readonly string[], selection: Selection): readonly string[] {
  if (selectsAll(selection)) return names;
  const included = nameMatcher(selection.include, true);
  const excluded = nameMatcher(selection.exclude, false);
  const { shard, shuffle } = selection;
  const selected = names.filter(
    name =>
      included(name) &&
      !excluded(name) &&
      (shard === undefined || shardOf(name, shard.count) === shard.index),
  );
  if (shuffle === undefined) return selected;
  const keyed = selected.map(name => ({ name, key: shortHash(`${shuffle}\0${name}`) }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ name }) => name);
}

// Avoids a second list of several hundred thousand names.
function selectsAll({ include, exclude, shard, shuffle }: Selection): boolean {
  return include.length === 0 && exclude.length === 0 && shard === undefined && shuffle === undefined;
}

function shardOf(name: string, count: number): number {
  return (Number.parseInt(shortHash(name).slice(0, 12), 16) % count) + 1;
}

/**
 * Returns a function that tells whether any of the globs matches a name with `/`; it returns `whenEmpty` if there are
 * no globs. As in .gitignore and most runners, a pattern without a slash matches the last part of the name. See
 * {@link compileGlob} for what a glob may contain.
 *
 * Errors: QrunError `CONFIG` for an invalid glob.
 */
export function nameMatcher(globs: readonly string[], whenEmpty: boolean): (name: string) => boolean {
  if (globs.length === 0) return () => whenEmpty;
  const problems = globs.flatMap(glob => globProblem(glob) ?? []);
  if (problems[0] !== undefined) {
    throw new QrunError('CONFIG', 'a glob is not usable', { details: problems.map(one => `a glob ${one}`) });
  }
  const tests = globs.map(glob => compileGlob(glob.replace(/(?<=[\s\S])\.sql$/, '')));
  return name => tests.some(test => test(name));
}
