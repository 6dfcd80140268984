import type { HostProblem } from '../hosts/ssh-failure.js';
import { hostProblemOf } from './collect.js';
import type { HostStatus, SweepStatus, UnitCounts, UnitState, UnitStatus } from './status.js';

/** What is known of a host. */
export interface HostView {
  readonly name: string;
  /** Its last answer: the sweep as that machine sees it. */
  readonly status: SweepStatus | undefined;
  readonly answeredAtMs: number | undefined;
  /** When it was asked first. */
  readonly askedAtMs: number;
  /** Why the last question got no answer; `undefined` if it got one, or is the first and still open. */
  readonly problem: HostProblem | undefined;
}

// In the order in which they say where a unit is, if several hosts have it.
const LIVE: readonly UnitState[] = ['running', 'paused', 'queued', 'delayed'];

// The host has answered that it has nothing of the sweep.
const HAS_NOTHING: ReadonlySet<string> = new Set(['UNIT_EMPTY', 'UNIT_NOT_FOUND']);

/**
 * Returns a sweep at one moment, from what the logs on this machine say (`here`) and what each host says. Of each unit
 * it has the best counts that are known, each query once, and where it waits or runs. What a host that does not answer
 * said last still counts, except for what it was doing: such units are `unknown`, and so are those that belong to it
 * (`hostOf`) if no other host has them.
 */
export function mergeStatus(
  here: SweepStatus,
  hosts: readonly HostView[],
  hostOf: (unit: string) => string | undefined,
): SweepStatus {
  const views = hosts.map(host => ({
    ...host,
    isSilent: isSilent(host),
    units: new Map((host.status?.units ?? []).map(unit => [unit.unit, unit])),
  }));
  const units = here.units.map(unit => {
    const seen = views.flatMap(({ name, isSilent, units }): SeenUnit[] => {
      const one = units.get(unit.unit);
      return one === undefined ? [] : [{ ...one, on: name, isSilent }];
    });
    const home = views.find(({ name }) => name === hostOf(unit.unit));
    return mergeUnit(unit, seen, home?.isSilent === true ? home.name : undefined);
  });
  const answering = views.flatMap(({ isSilent, status }) =>
    isSilent || status === undefined ? [] : [status],
  );
  const rate = units.reduce((sum, unit) => sum + unit.queries_per_second, 0);
  const left = units.reduce((sum, one) => sum + Math.max(0, one.queries - one.settled - one.errors), 0);
  const slots = answering.flatMap(status => status.slots ?? []);
  return {
    ...here,
    slots: slots.length === 0 ? null : slots.includes(0) ? 0 : slots.reduce((sum, one) => sum + one, 0),
    paused_groups: [...new Set(answering.flatMap(({ paused_groups: groups }) => groups))].sort(),
    units,
    audit: mergeAudit(here, views),
    queries_per_second: rate,
    eta_ms: rate > 0 && left > 0 ? (left / rate) * 1000 : null,
    queue_problem: null,
    hosts: views.map(hostStatusOf),
  };
}

interface SeenUnit extends UnitStatus {
  readonly on: string;
  readonly isSilent: boolean;
}

function isSilent({ problem, status }: HostView): boolean {
  if (problem === undefined) return status === undefined;
  return !HAS_NOTHING.has(problem.code);
}

function mergeUnit(here: UnitStatus, seen: readonly SeenUnit[], silentHome: string | undefined): UnitStatus {
  const counts = bestCounts(here, seen);
  const live = LIVE.flatMap(state => seen.filter(one => !one.isSilent && one.state === state));
  const running = live.filter(({ state }) => state === 'running');
  const isHere = LIVE.includes(here.state);
  const rates = [...running, ...(here.state === 'running' ? [here] : [])];
  return {
    ...here,
    ...counts,
    ...whereItIs({ here, counts, seen, live, isHere, silentHome }),
    settled_here: here.settled,
    queries_per_second: rates.reduce((sum, one) => sum + one.queries_per_second, 0),
  };
}

interface UnitViews {
  readonly here: UnitStatus;
  readonly counts: UnitCounts;
  readonly seen: readonly SeenUnit[];
  readonly live: readonly SeenUnit[];
  readonly isHere: boolean;
  readonly silentHome: string | undefined;
}

function whereItIs(views: UnitViews): Pick<UnitStatus, 'state' | 'host' | 'note'> {
  const { here, counts, seen, live, isHere, silentHome } = views;
  const lost = seen.filter(one => one.isSilent && LIVE.includes(one.state));
  const perhaps = lost.map(one => `perhaps ${one.state} on ${one.on}`);
  const [first, ...others] = live;
  if (isHere || first !== undefined) {
    const also = (isHere ? live : others).map(one => `also ${one.state} on ${one.on}`);
    const own = isHere ? here : (first as SeenUnit);
    const host = isHere ? null : (first?.on ?? null);
    return { state: own.state, host, note: joined(own.note, ...also, ...perhaps) };
  }
  const ended = counts.settled + counts.errors;
  const best = bestOf(here, seen);
  const from = 'on' in best ? (best as SeenUnit) : undefined;
  const host = from?.on ?? null;
  if (counts.settled >= counts.queries) return { state: 'complete', host, note: joined(...perhaps) };
  const [missed] = lost;
  if (missed !== undefined) return { state: 'unknown', host: missed.on, note: `was ${missed.state}` };
  if (silentHome !== undefined && ended < counts.queries) {
    return { state: 'unknown', host: silentHome, note: '' };
  }
  if (ended >= counts.queries) return { state: 'errors', host, note: best.note };
  const failed = seen.find(({ state }) => state === 'failed' || state === 'errors');
  if (failed !== undefined) return { state: 'failed', host: failed.on, note: failed.note };
  return ended > 0 || seen.some(({ state }) => state === 'incomplete')
    ? { state: 'incomplete', host, note: here.note }
    : { state: 'not submitted', host: null, note: '' };
}

function joined(...notes: readonly string[]): string {
  return notes.filter(note => note !== '').join('; ');
}

// Logs are not added up: an import may have brought the same results to several of them.
function bestOf(here: UnitStatus, seen: readonly SeenUnit[]): UnitStatus | SeenUnit {
  let best: UnitStatus | SeenUnit = here;
  for (const one of seen) {
    const more = one.settled - best.settled || one.settled + one.errors - (best.settled + best.errors);
    if (more > 0) best = one;
  }
  return best;
}

function bestCounts(here: UnitStatus, seen: readonly SeenUnit[]): UnitCounts {
  const best = bestOf(here, seen);
  const { settled, errors, found_lines, expected_lines, estimated } = best;
  if (best.queries === here.queries) {
    return { queries: here.queries, settled, errors, found_lines, expected_lines, estimated };
  }
  // It has other files there. Those here say what the unit is.
  const known = Math.min(settled, here.queries);
  return {
    queries: here.queries,
    settled: known,
    errors: Math.min(errors, here.queries - known),
    found_lines,
    expected_lines: Math.max(here.expected_lines, found_lines),
    estimated: true,
  };
}

function mergeAudit(
  here: SweepStatus,
  views: readonly {
    readonly name: string;
    readonly isSilent: boolean;
    readonly status: SweepStatus | undefined;
  }[],
): SweepStatus['audit'] {
  // What an audit on a host found is about the logs there alone.
  const there = views.flatMap(({ name, isSilent, status }) =>
    isSilent || status === undefined ? [] : [{ ...status.audit, name }],
  );
  for (const state of ['running', 'queued'] as const) {
    const on = there.filter(audit => audit.state === state).map(({ name }) => name);
    if (on.length > 0) return { ...here.audit, state, note: `on ${on.join(', ')}` };
  }
  return here.audit;
}

function hostStatusOf(view: HostView & { readonly isSilent: boolean }): HostStatus {
  const { name, status, answeredAtMs, askedAtMs, problem, isSilent } = view;
  const at = (ms: number): string => new Date(ms).toISOString();
  const count = (...states: readonly UnitState[]): number | null =>
    status === undefined ? null : status.units.filter(({ state }) => states.includes(state)).length;
  return {
    name,
    answered_at: answeredAtMs === undefined ? null : at(answeredAtMs),
    silent_since: isSilent ? at(answeredAtMs ?? askedAtMs) : null,
    problem: problem === undefined ? null : hostProblemOf(problem),
    slots: status?.slots ?? null,
    running: count('running', 'paused'),
    waiting: count('queued', 'delayed'),
    paused_groups: status?.paused_groups ?? [],
    queue_problem: status?.queue_problem ?? null,
    queries_per_second: isSilent ? 0 : (status?.queries_per_second ?? 0),
  };
}
