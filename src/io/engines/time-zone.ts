import { existsSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readState } from '../files/read-file.js';

/** What libc takes for the time zone of the machine. */
const LOCAL_TIME = '/etc/localtime';
const TIME_ZONE = '/etc/timezone';
const ZONES = '/usr/share/zoneinfo';
// Zones that no result can tell from UTC but by its name.
const UTC = /^(?:Etc\/)?(?:UTC|UCT|Zulu|Universal|GMT|GMT[+-]?0|Greenwich)$/;
// Links to links to ... are a circle after these.
const MAX_LINKS = 8;

/**
 * The time zone that a process with this environment is in, by its name in the tz database, and `UTC` for all names
 * of that. It is what TZ says (also as `:Asia/Tokyo`, or as a path of a zone's file), else the machine's. It is not
 * checked to exist. Cost: some microseconds.
 */
export function localTimeZone(
  env: Readonly<Record<string, string | undefined>>,
  machine = LOCAL_TIME,
): string {
  const given = env.TZ?.trim().replace(/^:/, '');
  if (given === '') return 'UTC';
  if (given === undefined || given === 'localtime') return canonical(ofMachine(machine));
  return canonical(given.startsWith('/') ? (ofPath(given) ?? given) : given);
}

function canonical(name: string): string {
  const zone = name.replace(/^posix\//, '');
  return UTC.test(zone) ? 'UTC' : zone;
}

function ofMachine(path: string): string {
  const linked = ofPath(path);
  if (linked !== undefined) return linked;
  // No link, but a copy of a zone's file: Debian notes its name.
  const noted = read(TIME_ZONE)?.trim();
  if (noted !== undefined && /^[\w+/-]+$/.test(noted)) return noted;
  return existsSync(path) ? new Intl.DateTimeFormat().resolvedOptions().timeZone : 'UTC';
}

// The name of the zone whose file this is, or is a link to.
function ofPath(path: string): string | undefined {
  let at = path;
  for (let links = 0; links < MAX_LINKS; links += 1) {
    const name = /\/zoneinfo(?:\.default)?\/(.+)$/.exec(at)?.[1];
    if (name !== undefined) return name;
    try {
      at = resolve(dirname(at), readlinkSync(at));
    } catch {
      return undefined;
    }
  }
  return undefined;
}

function read(path: string): string | undefined {
  try {
    return readState(path, 'state');
  } catch {
    return undefined;
  }
}

/**
 * Whether the embedded engine will know a time zone: by the files of the machine, else by what Node knows. The names
 * are matched as they are written, as the engine does it.
 */
export function isTimeZone(name: string): boolean {
  if (name === 'UTC') return true;
  if (!/^[A-Za-z][\w+-]*(?:\/[\w+-]+)*$/.test(name)) return false;
  if (statSync(join(ZONES, name), { throwIfNoEntry: false })?.isFile() === true) return true;
  try {
    // It takes any spelling, and may call the zone by another name; a name in another spelling is none.
    const known = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
    return known === name || known.toLowerCase() !== name.toLowerCase();
  } catch {
    return false;
  }
}
