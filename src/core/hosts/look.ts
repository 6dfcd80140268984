import type { Output } from '../schema.js';
import { jsonObject, lastLine } from '../text/json.js';
import type { schema } from './hosts-here.schema.js';

/** What the qrun of a host says about it. */
export interface HereReport extends Output<typeof schema> {}

/** The nearest directory that exists, at a place or above it. */
export interface NearestDirectory {
  readonly nearest: string;
  readonly writable: boolean;
  /** On its disk; `undefined` if it did not say. */
  readonly freeBytes: number | undefined;
}

/**
 * What one look at a host returned, with the nearest directory at the root or above it. Each text is one line, and empty
 * for what is not there.
 */
export interface HostLook extends NearestDirectory {
  /** By the clock there, in seconds since 1970; `undefined` if it did not say. */
  readonly clockS: number | undefined;
  readonly node: string;
  readonly rsync: string;
  /** The version of the queue's client. */
  readonly queue: string;
  /** The qrun there: its version and what it says, or what it ended with and said instead. */
  readonly qrun:
    | { readonly here: HereReport }
    | { readonly version: string }
    | { readonly exitCode: number; readonly says: string };
  /** What is at the root: nothing, an empty directory, one with a qrun.toml, another one, or no directory. */
  readonly root: 'none' | 'empty' | 'sweep' | 'other' | 'file';
  /** Whether the root there is the one here: on the same machine, or on a shared disk. */
  readonly isSame: boolean;
}

/** How a script says something: the first line of a value. */
export const SAY = `say() { printf "%s=%s\\n" "$1" "$(printf "%s\\n" "$2" | head -n 1)"; }`;

/** Says what is to know of the directory `$d`; see {@link directorySaid}. */
export const SAY_DIRECTORY = [
  'say nearest "$d"',
  'w=no; [ -d "$d" ] && [ -w "$d" ] && [ -x "$d" ] && w=yes',
  'say writable "$w"',
  'say disk "$(df -Pk "$d" 2>/dev/null | tail -n 1)"',
] as const;

// What the shell of a login may print before it is passed over.
const BEGIN = 'qrun-look 1';

/**
 * Returns the words of the command that looks at a host: a script for any POSIX sh, so that it tells something also
 * where Node or qrun are missing. It changes nothing. `client`: the program of the queue. `mark`: a path relative to the
 * root, of something that was just made here: if it is there too, both roots are one directory.
 */
export function lookCommand(
  root: string,
  client: string,
  qrun: readonly string[],
  mark = '',
): readonly string[] {
  return ['sh', '-c', SCRIPT, 'qrun-look', root, client, mark, ...qrun];
}

// On one line, because csh cannot quote another.
const SCRIPT = [
  'r=$1; q=$2; m=$3; shift 3',
  SAY,
  `printf "%s\\n" "${BEGIN}"`,
  'say clock "$(date +%s)"',
  'say node "$(node --version 2>/dev/null)"',
  'say rsync "$(rsync --version 2>/dev/null)"',
  'say queue "$("$q" --version 2>/dev/null)"',
  'h=$("$@" hosts here "$r" --json --trust 2>/dev/null </dev/null)',
  'if [ -n "$h" ]; then say here "$h"; else v=$("$@" --version 2>&1 </dev/null); say exit "$?"; say qrun "$v"; fi',
  'd=$r',
  'while [ ! -e "$d" ] && [ "$d" != / ]; do d=$(dirname "$d"); done',
  'k=none',
  'if [ -d "$r" ]; then k=other; [ -z "$(ls -A "$r" 2>/dev/null)" ] && k=empty; [ -e "$r/qrun.toml" ] && k=sweep; elif [ -e "$r" ]; then k=file; fi',
  'say root "$k"',
  's=no; [ -n "$m" ] && [ -e "$r/$m" ] && s=yes',
  'say same "$s"',
  ...SAY_DIRECTORY,
].join('; ');

/** Returns what a look at a host printed; `undefined` if it is not the output of the script. */
export function parseLook(stdout: string): HostLook | undefined {
  const found = saidLines(stdout, BEGIN);
  if (found === undefined) return undefined;
  const text = (name: string): string => found.get(name) ?? '';
  const root = ROOTS.find(kind => kind === text('root'));
  if (root === undefined) return undefined;
  const clock = /^\d{1,12}$/.test(text('clock')) ? Number(text('clock')) : undefined;
  return {
    clockS: clock,
    node: text('node').replace(/^v/, ''),
    rsync: VERSION.exec(text('rsync'))?.[0] ?? '',
    queue: VERSION.exec(text('queue'))?.[0] ?? '',
    qrun: qrunOf(text('here'), text('exit'), text('qrun')),
    root,
    isSame: text('same') === 'yes',
    ...directorySaid(found),
  };
}

/**
 * Returns the lines `name=value` that a script printed after it had begun; `undefined` if it has not. What the shell of
 * a login prints before is passed over.
 */
export function saidLines(stdout: string, begin: string): ReadonlyMap<string, string> | undefined {
  const at = stdout.lastIndexOf(`${begin}\n`);
  if (at === -1) return undefined;
  const found = new Map<string, string>();
  for (const line of stdout.slice(at).split('\n').slice(1)) {
    const equals = line.indexOf('=');
    if (equals > 0) found.set(line.slice(0, equals), line.slice(equals + 1).trim());
  }
  return found;
}

/** Returns what {@link SAY_DIRECTORY} has said. */
export function directorySaid(said: ReadonlyMap<string, string>): NearestDirectory {
  const free = /\s\d+\s+\d+\s+(\d{1,15})\s+\d+%/.exec(said.get('disk') ?? '')?.[1];
  return {
    nearest: said.get('nearest') ?? '',
    writable: said.get('writable') === 'yes',
    freeBytes: free === undefined ? undefined : Number(free) * 1024,
  };
}

const ROOTS = ['none', 'empty', 'sweep', 'other', 'file'] as const;
const VERSION = /\d{1,9}\.\d{1,9}(?:\.\d{1,9})?[\w.+-]*/;

function qrunOf(here: string, exit: string, says: string): HostLook['qrun'] {
  const report = reportIn(here);
  if (report !== undefined) return { here: report };
  const exitCode = /^\d{1,3}$/.test(exit) ? Number(exit) : -1;
  const isVersion = exitCode === 0 && VERSION.exec(says)?.[0] === says;
  return isVersion ? { version: says } : { exitCode, says: says.slice(0, 300) };
}

/** Returns the report of another qrun in what it printed, below what its login may have printed. */
export function lastReport(stdout: string): HereReport | undefined {
  return lastLine(stdout, reportIn);
}

/** Returns the report of another qrun; `undefined` if it is none that this version knows. */
export function reportIn(line: string): HereReport | undefined {
  const value = jsonObject(line);
  if (value === undefined) return undefined;
  const { version, queue, tasks, root } = value;
  const isOne =
    typeof version === 'string' &&
    typeof root === 'string' &&
    typeof queue === 'object' &&
    queue !== null &&
    Array.isArray(tasks);
  return isOne ? (value as unknown as HereReport) : undefined;
}
