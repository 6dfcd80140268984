import type { Outcome } from '../model.js';

/** The last whole group of a query in the log. Resume and audit judge the query by it. */
export interface FinalState {
  readonly fingerprint: string;
  readonly outcome: Outcome;
  readonly parts: number;
  readonly run: string;
}

/** Returns whether a query's final state makes another run of it unnecessary. */
export function isSettled(state: FinalState | undefined, fingerprint: string): boolean {
  return state !== undefined && state.fingerprint === fingerprint && state.outcome !== 'error';
}

/** Which queries run again: `errors` those that failed, `all` every one, `none` only new and changed ones. */
export type Rerun = (typeof RERUNS)[number];

/** All of them. */
export const RERUNS = ['errors', 'all', 'none'] as const;

/** Why a query is due, or is not. */
export type PlanReason = (typeof PLAN_REASONS)[number];

/** All reasons. */
export const PLAN_REASONS = ['new', 'changed', 'failed', 'rerun', 'settled', 'kept_error'] as const;

/** How `--why` explains each reason. */
export const REASON_TEXT: Readonly<Record<PlanReason, string>> = {
  new: 'no result recorded',
  changed: 'SQL, parameters or settings changed since it was recorded',
  failed: 'recorded as error',
  rerun: 'settled, runs again because of --rerun all',
  settled: 'settled',
  kept_error: 'recorded as error, left because of --rerun none',
};

/** Returns whether a query is due, and why, from its fingerprint and its final state in the log. */
export function planQuery(state: FinalState | undefined, fingerprint: string, rerun: Rerun): PlanReason {
  if (state === undefined) return 'new';
  if (state.fingerprint !== fingerprint) return 'changed';
  if (state.outcome !== 'error') return rerun === 'all' ? 'rerun' : 'settled';
  return rerun === 'none' ? 'kept_error' : 'failed';
}

/** Returns whether a query with this reason runs. */
export function isDue(reason: PlanReason): boolean {
  return reason !== 'settled' && reason !== 'kept_error';
}
