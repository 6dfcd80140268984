import { TARGETS } from './targets.js';
import { type FuzzResult, fuzz } from './trial.js';

/** Runs again what a failure names: `target/seed/path`, or all cases of `target/seed`. Throws for what is neither. */
export async function caseAgain(name: string): Promise<FuzzResult> {
  const match = /^([a-z-]+)\/(-?\d+)(?:\/([\d:]+))?$/.exec(name);
  const target = TARGETS.find(one => one.name === match?.[1]);
  if (match === null || target === undefined) {
    throw new Error(`${name}: no case; one looks like ${TARGETS[0]?.name}/1/0:1`);
  }
  const path = match[3];
  return await fuzz(target, Number(match[2]), {
    runs: target.share,
    ...(path === undefined ? {} : { path }),
  });
}
