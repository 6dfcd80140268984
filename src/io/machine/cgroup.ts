import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** Where the kernel keeps the limits of a process for one controller. */
export interface CgroupPlace {
  readonly version: 1 | 2;
  /** The mounted file system of the controller. */
  readonly mount: string;
  /** The group of the process: `mount` itself, or a directory beneath it. */
  readonly directory: string;
}

/**
 * Returns where a process is in the hierarchy of a controller; `undefined` if there is none. A controller uses version
 * 1 on a machine that mounts it that way, also beside version 2 (the "hybrid" layout of systemd).
 *
 * `membership` is the content of `/proc/<pid>/cgroup`, `mounts` that of `/proc/self/mountinfo` (proc(5), cgroups(7)).
 * Returned paths are as in `mounts`.
 */
export function cgroupPlace(
  controller: 'memory' | 'cpu',
  membership: string,
  mounts: string,
): CgroupPlace | undefined {
  const groups = membership
    .split('\n')
    .map(line => /^(\d+):([^:]*):(\/.*)$/.exec(line))
    .filter(match => match !== null)
    .map(([, id, controllers = '', path = '/']) => ({ id, controllers: controllers.split(','), path }));
  const old = groups.find(({ controllers }) => controllers.includes(controller));
  if (old !== undefined) {
    const mount = findMount(mounts, 'cgroup', options => options.includes(controller));
    if (mount !== undefined) return { version: 1, ...mount.holding(old.path) };
  }
  const unified = groups.find(({ id, controllers }) => id === '0' && controllers[0] === '');
  const mount = unified === undefined ? undefined : findMount(mounts, 'cgroup2', () => true);
  return unified === undefined || mount === undefined
    ? undefined
    : { version: 2, ...mount.holding(unified.path) };
}

function findMount(mounts: string, type: string, fits: (options: readonly string[]) => boolean) {
  for (const line of mounts.split('\n')) {
    // id parent major:minor root mount-point options [optional fields] - type source super-options
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '/', mount = ''] = before.split(' ').map(unescapeOctal);
    const [mountedType, , options = ''] = after.split(' ');
    if (mountedType !== type || !fits(options.split(','))) continue;
    return {
      // In a container the root of the mount may be its own group, under its name in the host's hierarchy.
      holding: (path: string) => {
        const inside = root === '/' || !path.startsWith(root) ? path : path.slice(root.length);
        return { mount, directory: posix.join(mount, inside) };
      },
    };
  }
  return undefined;
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The memory limit that is set on the group itself, in bytes; `undefined` if it has none. `root` is for tests. */
export function memoryLimit({ version, directory }: CgroupPlace, root = '/'): number | undefined {
  const text = readText(join(root, directory, version === 2 ? 'memory.max' : 'memory.limit_in_bytes'));
  const bytes = Number(text?.trim() || Number.NaN);
  // Version 1 expresses "no limit" as the largest number of pages, about 2^63 bytes.
  return Number.isFinite(bytes) && bytes < 2 ** 62 ? bytes : undefined;
}

/**
 * Whether the kernel has killed a process because this group was at its memory limit; `undefined` if the group is gone.
 * Kills because the whole machine was out of memory do not count.
 */
export function killedAtLimit({ version, directory }: CgroupPlace): boolean | undefined {
  const kills = readText(join(directory, version === 2 ? 'memory.events' : 'memory.oom_control'));
  if (kills === undefined) return undefined;
  if ((counterIn(kills, 'oom_kill') ?? 0) === 0) return false;
  if (version === 2) return (counterIn(kills, 'oom') ?? 0) > 0;
  return Number(readText(join(directory, 'memory.failcnt')) ?? 0) > 0;
}

/** Returns the number after a name in a file of the kernel's, one of each on a line; `undefined` if it is not there. */
export function counterIn(text: string | undefined, name: string): number | undefined {
  const digits = new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** Returns the text of a file of the kernel's, or `undefined` if it cannot be read. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
