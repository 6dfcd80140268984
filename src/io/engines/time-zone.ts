import { existsSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { readState } from '../files/read-file.js';

/** Where libc finds the time zone of the machine. */
const LOCAL_TIME = '/etc/localtime';
const TIME_ZONE = '/etc/timezone';
const ZONES = '/usr/share/zoneinfo';
// Zones that differ from UTC only in their name.
const UTC = /^(?:Etc\/)?(?:UTC|UCT|Zulu|Universal|GMT|GMT[+-]?0|Greenwich)$/;
// A longer chain of links is taken for a cycle.
const MAX_LINKS = 8;

/**
 * Returns the time zone of a process with this environment: its name in the tz database, or `UTC` for all names of UTC.
 * It is the one that TZ names (also as `:Asia/Tokyo`, or as the path of a zone file), otherwise the machine's. Does not
 * check that the zone exists. Cost: some microseconds.
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
  // Not a link but a copy of a zone file: Debian notes its name.
  const noted = read(TIME_ZONE)?.trim();
  if (noted !== undefined && /^[\w+/-]+$/.test(noted)) return noted;
  return existsSync(path) ? new Intl.DateTimeFormat().resolvedOptions().timeZone : 'UTC';
}

// The name of the zone whose file this path is or links to.
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
 * Whether the embedded engine will know a time zone: according to the files of the machine, otherwise to what Node
 * knows. Names are matched exactly as written, as in the engine.
 */
export function isTimeZone(name: string): boolean {
  if (name === 'UTC') return true;
  if (!/^[A-Za-z][\w+-]*(?:\/[\w+-]+)*$/.test(name)) return false;
  if (statSync(join(ZONES, name), { throwIfNoEntry: false })?.isFile() === true) return true;
  try {
    // Intl accepts any case, and may return another name for the zone. A name in the wrong case is not accepted.
    const known = new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone;
    return known === name || known.toLowerCase() !== name.toLowerCase();
  } catch {
    return false;
  }
}
