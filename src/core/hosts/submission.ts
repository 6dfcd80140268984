import { type ErrorCode, exitCodeOf, familyOf, QrunError } from '../errors.js';
import type { Output } from '../schema.js';
import type { hostPart } from '../sweep/submit-all.schema.js';
import type { Host } from './host.js';
import type { HostPart, HostPlan, ResultInputs, SubmittedThere, UnitThere } from './part.js';
import type { HostProblem } from './ssh-failure.js';

/** A host, and why it cannot be used. */
export interface HostOut {
  readonly host: Host;
  readonly problem: HostProblem;
}

/**
 * Returns whether a problem of a host is one of how it was called or of the files there, which a person must correct
 * before anything is submitted. Otherwise it is one of the host: then the others do its work.
 */
export function isToCorrect({ code }: Pick<HostProblem, 'code'>): boolean {
  const family = familyOf(code);
  return family === 'call' || family === 'files';
}

/** Returns what a host has of some units. */
export function partOf(part: HostPart, units: ReadonlySet<string>): HostPart {
  const of = (all: readonly string[]): readonly string[] => all.filter(unit => units.has(unit));
  return { ...part, queued: of(part.queued), running: of(part.running), elsewhere: of(part.elsewhere) };
}

/** Returns the units that wait or run on any of the hosts. */
export function liveUnits(parts: Iterable<HostPart>): ReadonlySet<string> {
  const live = new Set<string>();
  for (const { queued, running, elsewhere } of parts) {
    for (const unit of [...queued, ...running, ...elsewhere]) live.add(unit);
  }
  return live;
}

/** What is known here of the units that are due. */
export interface DueHere extends ResultInputs {
  /** The digest of each; see {@link UnitThere}. */
  readonly digests: ReadonlyMap<string, string>;
}

/** What a host has planned. */
export interface PlannedThere extends HostPlan {
  readonly host: Host;
}

// How many units are named in one line.
const NAMED = 3;

/**
 * Returns the units that are complete on the host on which they would run: nothing of them is due there, and there
 * they are what they are here. They wait for `qrun collect`.
 */
export function completeThere({ digests }: DueHere, plans: readonly PlannedThere[]): ReadonlySet<string> {
  const complete = plans.flatMap(({ units }) =>
    units.filter(one => 'due' in one && one.due === 0 && digests.get(one.unit) === one.digest),
  );
  return new Set(complete.map(({ unit }) => unit));
}

/**
 * Checks that the units that are due are on their hosts what they are here, and can run there. All problems are
 * reported at once; units that share one are one line.
 *
 * Errors: QrunError with the code of the worst problem: of a log there, otherwise the first.
 */
export function refuseDifferences(here: DueHere, plans: readonly PlannedThere[]): void {
  const problems = plans.flatMap(plan => differences(here, plan));
  const [first] = problems;
  if (first === undefined) return;
  const worst = problems.find(({ code }) => familyOf(code) === 'disk') ?? first;
  throw new QrunError(worst.code, 'the units cannot run on the hosts; nothing was submitted', {
    details: problems.map(({ says }) => says),
    hint: worst.hint,
  });
}

interface Difference {
  readonly code: ErrorCode;
  readonly says: string;
  readonly hint: string;
}

/** What to do about files that a host does not have. */
export const PUSH = 'send the files: qrun hosts push';

function differences(here: DueHere, { host, engine, settings, units }: PlannedThere): Difference[] {
  const due = units.filter(({ unit }) => here.digests.has(unit));
  if (due.length === 0) return [];
  const others = { code: 'CONFIG' as const, hint: `look at qrun.toml and .env in the root of ${host.name}` };
  if (engine !== here.engine) {
    const says = `${host.name}: its units would run on the engine ${engine} there, and here it is ${here.engine}`;
    return [{ ...others, says }];
  }
  const names = new Set([...Object.keys(settings), ...Object.keys(here.settings)]);
  const unlike = [...names].filter(name => settings[name] !== here.settings[name]).sort();
  if (unlike.length > 0) {
    const says = `${host.name}: what decides the results is not the same there as here: ${unlike.join(', ')}`;
    return [{ ...others, says }];
  }
  const missing = due.filter(one => 'refusal' in one && one.refusal === null);
  const differing = due.filter(one => 'digest' in one && one.digest !== here.digests.get(one.unit));
  return [
    ...told('UNIT_NOT_FOUND', host.name, 'not there', missing),
    ...told('CONFIG', host.name, 'not the same there as here', differing),
    ...refusals(host.name, due),
  ];
}

function told(code: ErrorCode, host: string, what: string, units: readonly UnitThere[]): Difference[] {
  if (units.length === 0) return [];
  const ids = units.slice(0, NAMED).map(({ unit }) => unit);
  const more = units.length > ids.length ? ', ...' : '';
  const are = units.length === 1 ? 'unit is' : 'units are';
  return [{ code, says: `${host}: ${units.length} ${are} ${what}: ${ids.join(', ')}${more}`, hint: PUSH }];
}

function refusals(host: string, units: readonly UnitThere[]): Difference[] {
  return units.flatMap(one => {
    if (!('refusal' in one) || one.refusal === null) return [];
    const { code, says, details, hint } = one.refusal;
    const text = [says, ...details].join('; ');
    return [{ code, says: `${host}: ${one.unit}: ${text}`, hint: hint ?? PUSH }];
  });
}

/** What a submission did on one host. */
export interface HostRow extends Output<typeof hostPart> {}

/** What is known of a host at the end of a submission. */
export interface HostEnd {
  /** What was there before; `undefined` if it did not say. */
  readonly part: Omit<HostPart, 'log_directory' | 'has_logs'> | undefined;
  /** The units that were to be added there. */
  readonly planned: readonly string[];
  /** What it did; `undefined` if it was not asked, or failed; `dry` if nothing was to be done. */
  readonly done: SubmittedThere | 'dry' | undefined;
  readonly problem: HostProblem | undefined;
  readonly chosenSlots: number | 'auto';
}

const NOTHING: Omit<HostPart, 'log_directory' | 'has_logs'> = {
  ...{ queued: [], running: [], elsewhere: [] },
  ...{ slots: null, group_paused: false, state_bytes: null, queue_problem: null },
};

/** Returns what a submission did on a host, or would have done. */
export function hostRow(
  { name }: Host,
  { part = NOTHING, planned, done, problem, chosenSlots }: HostEnd,
): HostRow {
  const { queued, running, elsewhere, slots, group_paused, state_bytes } = part;
  const before = { name, elsewhere, problem: problem ?? null, not_submitted: [] };
  if (done === 'dry') {
    const would = chosenSlots === 'auto' ? slots : chosenSlots;
    return { ...before, submitted: planned, queued, running, slots: would, group_paused, state_bytes };
  }
  if (done === undefined) {
    const kept = { submitted: [], queued, running, slots, group_paused, state_bytes };
    return { ...before, ...kept, not_submitted: planned };
  }
  return {
    ...before,
    submitted: done.submitted,
    // Those that another submission was faster with.
    queued: [...queued, ...done.queued],
    running: [...running, ...done.running],
    slots: done.slots,
    group_paused: done.group_paused,
    state_bytes: done.state_bytes,
  };
}

/** Returns the sums of the hosts, each unit once. */
export function sums(rows: readonly HostRow[]): Pick<
  HostRow,
  'submitted' | 'queued' | 'running' | 'elsewhere' | 'group_paused' | 'state_bytes'
> & {
  readonly slots: number;
} {
  const units = (pick: (row: HostRow) => readonly string[]): string[] =>
    [...new Set(rows.flatMap(row => pick(row)))].sort();
  const sizes = rows.flatMap(({ state_bytes: bytes }) => bytes ?? []);
  return {
    submitted: units(row => row.submitted),
    queued: units(row => row.queued),
    running: units(row => row.running),
    elsewhere: units(row => row.elsewhere),
    slots: rows.reduce((total, { slots }) => total + (slots ?? 0), 0),
    group_paused: rows.some(row => row.group_paused),
    state_bytes: sizes.length === 0 ? null : Math.max(...sizes),
  };
}

/**
 * Returns the exit code of a submission: 0 if each unit that is due was submitted, also if a host was left out for
 * that; otherwise that of the problem of the first host that failed with units of its own.
 */
export function submissionExit({ hosts }: { readonly hosts: readonly HostRow[] | null }): number {
  const failed = hosts?.find(({ not_submitted: lost }) => lost.length > 0);
  return failed === undefined ? 0 : exitCodeOf((failed.problem?.code ?? 'HOST_FAILED') as ErrorCode);
}
