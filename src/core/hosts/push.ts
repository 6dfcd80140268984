import type { Output } from '../schema.js';
import { worstExit } from '../sweep/collect.js';
import type { pushedHost, schema } from './hosts-push.schema.js';
import type { HereReport } from './look.js';

/** A host that a sweep was sent to. */
export interface PushedHost extends Output<typeof pushedHost> {}

/** What was sent to each host. */
export interface PushReport extends Output<typeof schema> {}

/** A unit that is queued or running on a host. */
export interface BusyUnit {
  /** Its id there. */
  readonly unit: string;
  readonly state: 'queued' | 'running';
  readonly holder: string | null;
}

/** Which directories, relative to the root of a sweep, are sent to a host. All paths are relative, with `/`. */
export interface Sent {
  /** Those of units: what is in and below them here is there afterwards. */
  readonly units: readonly string[];
  /** Those of units there that are no units here any more: their SQL is removed. */
  readonly gone: readonly string[];
  /** What is neither sent nor removed: where logs and data are, files with secrets. */
  readonly kept: readonly string[];
  /** Links that a run does not follow, and directories that it reads under another name: removed there. */
  readonly hidden: readonly string[];
}

/**
 * Returns the units that are queued or running on a host, by the report of its qrun. `sweep`: the name of the sweep
 * here; what was submitted there by hand has the name that the sweep has there.
 */
export function busyUnits({ tasks, sweep }: HereReport, name: string): BusyUnit[] {
  const names = new Set([name, sweep?.name]);
  const found = new Map<string, BusyUnit>();
  for (const task of tasks) {
    if (!names.has(task.sweep) || task.name.startsWith('#')) continue;
    const runs = task.phase === 'running' || task.phase === 'paused';
    if (!runs && found.has(task.name)) continue;
    found.set(task.name, { unit: task.name, state: runs ? 'running' : 'queued', holder: null });
  }
  for (const { unit, holder } of sweep?.held ?? []) found.set(unit, { unit, state: 'running', holder });
  return [...found.values()];
}

/**
 * Returns which of these directories a unit that is busy there lies in, is, or lies above, each with such a unit. The
 * id of a unit is its directory, and parameters after an `@`; directories may hold the like too, so that whatever may be
 * meant counts. The root (`''`) lies above all.
 */
export function busyDirectories(
  directories: readonly string[],
  busy: readonly BusyUnit[],
): Map<string, BusyUnit> {
  const at = new Map<string, BusyUnit>();
  const above = new Map<string, BusyUnit>();
  for (const one of busy) {
    for (const directory of directoriesOf(one.unit)) {
      at.set(directory, one);
      for (const outer of ancestorsOf(directory)) above.set(outer, one);
    }
  }
  const found = new Map<string, BusyUnit>();
  for (const directory of directories) {
    const outer = ancestorsOf(directory).find(one => one !== '' && at.has(one));
    const one =
      at.get(directory) ?? above.get(directory) ?? (outer === undefined ? undefined : at.get(outer));
    if (one !== undefined) found.set(directory, one);
  }
  return found;
}

const PARAMETERS = /^@[^\s,=@/]+=/;

function directoriesOf(unit: string): string[] {
  const found = [unit];
  for (let cut = unit.indexOf('@'); cut !== -1; cut = unit.indexOf('@', cut + 1)) {
    if (PARAMETERS.test(unit.slice(cut))) found.push(unit.slice(0, cut));
  }
  return found;
}

/** Returns the directories that a relative path lies in, innermost first, the root (`''`) last; none for the root. */
export function ancestorsOf(path: string): string[] {
  const found: string[] = [];
  let at = path;
  while (at !== '') {
    at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
    found.push(at);
  }
  return found;
}

/**
 * Returns the directories of units there that are no units here, so that their SQL must go: a directory that holds some
 * is a unit. `[]` if the sweep there cannot be read. `start`: those that do not lie at or below it stay.
 */
export function goneDirectories(
  { sweep }: HereReport,
  units: ReadonlySet<string>,
  start: string,
): readonly string[] {
  return (sweep?.directories ?? []).filter(
    path =>
      !units.has(path) &&
      (start === '' || path === start || path.startsWith(`${start}/`)) &&
      // What lies in a unit of here goes with it.
      !ancestorsOf(path).some(outer => units.has(outer)),
  );
}

/**
 * Returns whether the sweep at the root of a host is another one than that here: it has another name, and no unit of
 * this one. Sending this one would remove it.
 */
export function isOtherSweep({ sweep }: HereReport, name: string, units: ReadonlySet<string>): boolean {
  if (sweep === null || sweep.name === name || sweep.directories.length === 0) return false;
  return !sweep.directories.some(path => units.has(path));
}

/**
 * Returns the rules by which rsync sends a sweep: its `qrun.toml`, the `*.sql` files in and below the directories of
 * its units, and the setup files above them. Whatever no rule lets through is neither sent nor removed there: logs,
 * data, `.env`, keys, and all else at the root. Joined by NUL, as `--from0 --filter='merge -'` reads them.
 *
 * The rules stand in an order in which nearly every file meets few of them: a sweep has hundreds of directories, and
 * hundreds of thousands of files.
 */
export function pushRules({ units, gone, kept, hidden }: Sent): string {
  const own = [...units, ...gone];
  const above = [...new Set(own.flatMap(ancestorsOf))];
  const needed = new Set([...units, ...units.flatMap(ancestorsOf)]);
  const isGone = new Set(gone);
  const entered = [...new Set([...above, ...own])].filter(path => path !== '').map(path => `+ ${at(path)}/`);
  // What a rule hides is not sent, and is removed there; what a rule excludes is not touched there either.
  const not = (path: string): string => (isGone.has(path) ? 'H' : '-');
  return [
    ...kept.map(path => `- ${at(path)}`),
    ...hidden.map(path => `H ${at(path)}`),
    // They may be here still, and be units no more.
    ...[...above, ...own].filter(path => !needed.has(path)).map(path => `H ${at(path)}/`),
    // What the next rules would take for something else.
    ...entered.filter(isOdd),
    '- .*',
    '- _*/',
    ...above.flatMap(path => [`+ ${at(path, '_setup.sql')}`, `${not(path)} ${at(path, ANY_SQL)}`]),
    '+ *.sql',
    '+ /qrun.toml',
    ...entered.filter(rule => !isOdd(rule)),
    ...above.map(path => `${not(path)} ${at(path, '*')}/`),
    // A unit that is the root is no more than the files in it.
    ...(own.includes('') ? ['- /*/'] : []),
    '+ */',
    '- *',
  ]
    .map(rule => `${rule}\0`)
    .join('');
}

const ANY_SQL = '*.sql';

// A directory that was named, or is called like a file.
function isOdd(rule: string): boolean {
  const name = rule.slice(rule.lastIndexOf('/', rule.length - 2) + 1, -1);
  return name.endsWith('.sql') || /^[._]/.test(name);
}

// A pattern for one path; `glob` is a name in it that may be a pattern itself. rsync takes a backslash as it is, unless
// there are wildcards in the pattern.
function at(path: string, glob?: string): string {
  const isPattern = /[*?[]/.test(`${path}${glob ?? ''}`);
  const own = isPattern ? path.replace(/[\\*?[]/g, '\\$&') : path;
  return glob === undefined ? `/${own}` : own === '' ? `/${glob}` : `/${own}/${glob}`;
}

/** Returns the exit code of a push: 0, or that of the worst problem; 22 if units were left out and nothing is worse. */
export function pushExit(hosts: readonly Pick<PushedHost, 'problem' | 'left_out'>[]): number {
  return worstExit(
    hosts.flatMap(({ problem, left_out: leftOut }) => [
      ...(problem === null ? [] : [problem.exit_code]),
      ...(leftOut.length === 0 ? [] : [22]),
    ]),
  );
}

/** Returns what rsync would do, from its lines with {@link CHANGE_FORMAT}; names hold no line ends there. */
export function changesIn(stdout: string): string[] {
  return stdout.split('\n').flatMap(line => {
    const found = /^(send|del\.) (.*[^/])$/.exec(line);
    return found === null ? [] : [`${found[1] === 'send' ? 'send' : 'remove'} ${found[2]}`];
  });
}

/** The format of rsync's lines that {@link changesIn} reads. */
export const CHANGE_FORMAT = '--out-format=%o %n';
