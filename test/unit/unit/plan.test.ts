import { describe, expect, it } from 'vitest';
import {
  type FinalState,
  isDue,
  isSettled,
  type PlanReason,
  planQuery,
  REASON_TEXT,
  type Rerun,
} from '../../../src/core/unit/plan.js';

const PRESENT = '9f86d081884c7d65';
const state = (outcome: FinalState['outcome'], fingerprint = PRESENT): FinalState => ({
  fingerprint,
  outcome,
  parts: 1,
  run: 'run1',
});

describe('a query', () => {
  it.each<[string, FinalState | undefined, boolean]>([
    ['nothing recorded', undefined, false],
    ['rows', state('normal'), true],
    ['no rows', state('skipped'), true],
    ['an error', state('error'), false],
    ['rows of other SQL', state('normal', '0000000000000000'), false],
  ])('with %s is settled: %s', (_, recorded, settled) => {
    expect(isSettled(recorded, PRESENT)).toBe(settled);
  });

  it.each<[string, FinalState | undefined, Record<Rerun, PlanReason>]>([
    ['nothing recorded', undefined, { errors: 'new', all: 'new', none: 'new' }],
    ['rows', state('normal'), { errors: 'settled', all: 'rerun', none: 'settled' }],
    ['no rows', state('skipped'), { errors: 'settled', all: 'rerun', none: 'settled' }],
    ['an error', state('error'), { errors: 'failed', all: 'failed', none: 'kept_error' }],
    ['rows of other SQL', state('normal', 'x'), { errors: 'changed', all: 'changed', none: 'changed' }],
    ['an error of other SQL', state('error', 'x'), { errors: 'changed', all: 'changed', none: 'changed' }],
  ])('with %s is planned by --rerun', (_, recorded, reasons) => {
    for (const [rerun, reason] of Object.entries(reasons)) {
      expect(planQuery(recorded, PRESENT, rerun as Rerun), rerun).toBe(reason);
    }
  });

  it('runs unless it is settled or kept as error', () => {
    const due = (Object.keys(REASON_TEXT) as PlanReason[]).filter(isDue);
    expect(due).toEqual(['new', 'changed', 'failed', 'rerun']);
  });

  it('never runs while it is settled, unless all run', () => {
    for (const outcome of ['normal', 'skipped', 'error'] as const) {
      for (const fingerprint of [PRESENT, 'x']) {
        const recorded = state(outcome, fingerprint);
        const settled = isSettled(recorded, PRESENT);
        expect(isDue(planQuery(recorded, PRESENT, 'errors'))).toBe(!settled);
        expect(isDue(planQuery(recorded, PRESENT, 'all'))).toBe(true);
      }
    }
  });
});
