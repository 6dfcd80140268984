// Which packages an installation of qrun consists of, and where each goes in a copy of it. Pure.

/** How the packages of an installation are found: as Node does, from where each is. */
export interface PackageLookup {
  /** Returns the names of the packages that one asks for. */
  needsOf(directory: string): readonly string[];
  /** Returns the directory of the package that a package gets by this name; `undefined` if it is not installed. */
  find(name: string, from: string): string | undefined;
}

/** A package in the copy. */
export interface PlacedPackage {
  /** Where it is in the copy, relative to the root, which is empty. */
  readonly at: string;
  /** Where it is here. */
  readonly from: string;
}

// Packages of a package of a package: no installation has as many. Of packages that need each other in several versions
// there would be no end.
const MOST_PLACES = 5_000;

/**
 * Returns the places of a package and of all that it needs, so that Node finds from each in the copy what it finds here:
 * at the top, and below the package that needs it where the top has another version of it. Where they lie here does not
 * matter: npm puts them beside a package, or below it, other programs behind links. A package that is not installed, as
 * an optional one, is left out. `without`: names that are left out with what only they need.
 *
 * Throws a RangeError for packages that no tree of directories can hold.
 */
export function layOut(
  root: string,
  { needsOf, find }: PackageLookup,
  without: ReadonlySet<string>,
): readonly PlacedPackage[] {
  const placed = new Map<string, string>([['', root]]);
  // One package after the other, so that all it needs has its place before what that needs is looked at: nothing is put
  // between a package and what it was found to get.
  for (const [at, from] of placed) {
    for (const name of needsOf(from)) {
      const wanted = without.has(name) ? undefined : find(name, from);
      if (wanted === undefined) continue;
      const top = `node_modules/${name}`;
      const got = foundFrom(at, name, placed);
      if (got === undefined) placed.set(top, wanted);
      else if (got !== wanted) placed.set(`${at}/${top}`, wanted);
      if (placed.size > MOST_PLACES) throw new RangeError(`${name} is needed in too many versions`);
    }
  }
  return [...placed].map(([at, from]) => ({ at, from }));
}

// What Node would find in the copy.
function foundFrom(at: string, name: string, placed: ReadonlyMap<string, string>): string | undefined {
  for (let place = at; place !== ''; place = parentOf(place)) {
    const found = placed.get(`${place}/node_modules/${name}`);
    if (found !== undefined) return found;
  }
  return placed.get(`node_modules/${name}`);
}

// The package that a package is below; empty for the root.
function parentOf(at: string): string {
  const end = at.lastIndexOf('/node_modules/');
  return end === -1 ? '' : at.slice(0, end);
}

/** Returns the names of all packages that a package.json asks for, but for those that only its developers need. */
export function needsIn(manifest: Readonly<Record<string, unknown>>): readonly string[] {
  const names = ['dependencies', 'optionalDependencies', 'peerDependencies'].flatMap(key => {
    const listed = manifest[key];
    return typeof listed === 'object' && listed !== null ? Object.keys(listed) : [];
  });
  // They become paths.
  return [...new Set(names)].filter(name => /^(?:@[\w.~-]+\/)?[\w~-][\w.~-]*$/.test(name));
}
