import type { Parameters } from '../model.js';
import { shortHash, sorted } from './fingerprint.js';

/**
 * Returns the id of a unit: its directory relative to the sweep root with `/`, plus `@k=v,...` sorted by name for its
 * parameters. Everything that belongs to a unit is found by this id. A `,` or `%` in a value (and `=` in a name) is
 * written `%XX`, so that different parameters never have the same id.
 */
export function unitId(relativeDirectory: string, parameters: Parameters): string {
  const entries = sorted(parameters);
  const suffix = entries.length === 0 ? '' : `@${entries.map(pair).join(',')}`;
  return `${relativeDirectory}${suffix}`;
}

function pair([name, value]: [string, string]): string {
  return `${name.replace(/[%,=]/g, encodeCharacter)}=${value.replace(/[%,]/g, encodeCharacter)}`;
}

// The longest file name of the common file systems (255 bytes), less room for `.ndjson.torn-<offset>-<random>`.
const MAX_NAME_BYTES = 200;

/**
 * Returns the file name of a unit's log: the id with `/` as `__`, and every character that is awkward in a file name
 * as `%XX`. So are a `_` next to a `/` or another `_`, and a leading `.`, so that different ids have different names.
 * Ids that are too long for a file name are cut and get a hash of the whole id.
 */
export function logName(unit: string): string {
  // What is cut off in the end does not need encoding: a value may be of any length.
  const name = unit
    .slice(0, MAX_NAME_BYTES + 2)
    .replace(/[^\w.@=,+/-]/gu, encodeCharacter)
    .replace(/_(?=[_/])|(?<=[_/])_|^\./g, encodeCharacter)
    .replaceAll('/', '__');
  if (name.length <= MAX_NAME_BYTES) return `${name}.ndjson`;
  return `${name.slice(0, MAX_NAME_BYTES - 17)}~${shortHash(unit)}.ndjson`;
}

/**
 * Returns the pairs of owners whose files are one file, in the order of the list; `foldsCase` for a disk that does
 * not distinguish upper from lower case. Names are those of {@link logName}, which are ASCII, so it does not matter
 * how a disk folds or normalizes other letters.
 */
export function ownersOfOneFile(
  files: Iterable<readonly [owner: string, file: string]>,
  foldsCase: boolean,
): [string, string][] {
  const owners = new Map<string, string>();
  const pairs: [string, string][] = [];
  for (const [owner, file] of files) {
    const key = foldsCase ? file.toLowerCase() : file;
    const other = owners.get(key);
    if (other === undefined) owners.set(key, owner);
    else pairs.push([other, owner]);
  }
  return pairs;
}

const UTF8 = new TextEncoder();

function encodeCharacter(character: string): string {
  return [...UTF8.encode(character)]
    .map(byte => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');
}
