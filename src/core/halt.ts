/** When a run stops by policy: at a number of failed queries, or at a share of the queries that were due. */
export interface HaltPolicy {
  readonly errors: number;
  readonly unit: 'queries' | 'percent';
}

// 7 % of 100 is 7.000000000000001 in binary fractions, which must not become 8.
const ROUNDING = 1e-9;

/** Number of failed queries at which a run with `due` queries halts; at least 1. */
export function haltThreshold(policy: HaltPolicy, due: number): number {
  if (policy.unit === 'queries') return policy.errors;
  return Math.max(1, Math.ceil((policy.errors / 100) * due - ROUNDING));
}

/** `errors=10` or `errors=5%` as a policy; `undefined` for anything else. */
export function parseHalt(text: string): HaltPolicy | undefined {
  const match = /^errors=(\d+(?:\.\d+)?)(%?)$/.exec(text);
  if (match === null) return undefined;
  const errors = Number(match[1]);
  if (match[2] === '%') return errors > 0 && errors <= 100 ? { errors, unit: 'percent' } : undefined;
  return Number.isInteger(errors) && errors >= 1 ? { errors, unit: 'queries' } : undefined;
}
