// Where the versions of qrun are on a host: ~/.qrun/versions/<version>-<digest>, and ~/.qrun/current leads to one.

/** The directory of deployed versions, in the home there. */
export const PLACE = '.qrun';

// Enough that two different ones never meet.
const DIGITS = 12;

/** Returns the name of a version and its content: what is in two directories of one name is the same. */
export function versionName(version: string, digest: string): string {
  return `${version.replace(/[^\w.+-]/g, '_')}-${digest.slice(0, DIGITS)}`;
}

/** Returns whether a name is one that {@link versionName} returns. */
export function isVersionName(name: string): boolean {
  return /^\d[\w.+-]{0,99}-[0-9a-f]{12}$/.test(name);
}

/** Returns the name of a version that is on its way to a host; each host has its own, if some share a home. */
export function partialName(host: string, name: string): string {
  return `${PARTIAL}${host}-${name}`;
}

/** How the names of versions begin that are not whole. */
export const PARTIAL = '.partial-';

/** Returns the name in a link such as `versions/0.1.0-0123456789ab`; `undefined` for what leads elsewhere. */
export function nameInLink(target: string): string | undefined {
  const name = /^versions\/([^/]+)$/.exec(target)?.[1];
  return name !== undefined && isVersionName(name) ? name : undefined;
}

/** A version that was deployed. */
export interface DeployedVersion {
  readonly name: string;
  /** When it was last switched to, in milliseconds since 1970, by the clock there. */
  readonly usedMs: number;
  /** How many tasks and processes name it. */
  readonly users: number;
}

/** How many versions that nobody names are kept besides the current one, to go back to. */
export const KEPT = 2;

/** Returns the names of the versions that can be removed: neither current, nor named by anybody, nor among the latest. */
export function removable(versions: readonly DeployedVersion[], current: string | undefined): string[] {
  const others = versions.filter(({ name }) => name !== current);
  const latest = others.toSorted((a, b) => b.usedMs - a.usedMs);
  const kept = new Set(latest.filter(({ users }) => users === 0).slice(0, KEPT));
  return latest.filter(version => version.users === 0 && !kept.has(version)).map(({ name }) => name);
}
