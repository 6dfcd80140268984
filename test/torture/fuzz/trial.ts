import fc from 'fast-check';
import { QrunError } from '../../../src/core/errors.js';
import { chooseLengths } from './grammar.js';
import { watch } from './watchdog.js';

/** Something that reads what others wrote, and the cases that are fed to it. */
export interface Target {
  readonly name: string;
  /** How many cases the fast share runs. */
  readonly share: number;
  readonly run: (options: fc.Parameters<unknown>) => Promise<fc.RunDetails<unknown>>;
}

/** What a chunk of cases gave. */
export interface FuzzResult {
  readonly target: string;
  readonly seed: number;
  readonly cases: number;
  /** What failed, the smallest case that fails so, and how to run it again; `undefined` when all held. */
  readonly failure: string | undefined;
}

/** Longer than this for one case of some 40 KB is a hang for whoever waits, and grows with the case. */
export const LIMIT_MS = 300;
const MEASURES = 3;
const SHOWN = 600;

/** A case that took too long; what was thrown and measured otherwise is thrown as it is. */
class TooSlow extends Error {}

/**
 * A target: `read` is called with each case and may refuse it with a QrunError; anything else that it throws, and more
 * than {@link LIMIT_MS} of it, is a finding. `name` is what `--case` takes.
 */
export function target<T>(
  name: string,
  share: number,
  cases: fc.Arbitrary<T>,
  read: (value: T) => void | Promise<void>,
): Target {
  const once = async (value: T): Promise<number> => {
    const before = process.cpuUsage();
    try {
      // Without an await where there is nothing to wait for: other work of the loop would be measured too.
      const reading = read(value);
      if (reading !== undefined) await reading;
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  const property = fc.asyncProperty(cases, async value => {
    beat();
    let ms = await once(value);
    // CPU time and not the clock, which also counts what other processes did meanwhile. It is that of all threads, so
    // that the first compilation or a collection of garbage may be in it: a case is slow when it is so each time. This
    // is a measurement of one case, and no second chance for a finding: whatever throws has failed already.
    for (let n = 1; n < MEASURES && ms > LIMIT_MS; n += 1) ms = Math.min(ms, await once(value));
    if (ms > LIMIT_MS) throw new TooSlow(`${Math.round(ms)} ms of CPU time for one case`);
  });
  return {
    name,
    share,
    run: async options => (await fc.check(property, options as never)) as fc.RunDetails<unknown>,
  };
}

let beat: () => void = () => {};

/** Runs cases of one target for a while, or `runs` of them; the same seed gives the same cases. */
export async function fuzz(
  one: Target,
  seed: number,
  limit: { readonly ms?: number; readonly runs?: number; readonly path?: string },
): Promise<FuzzResult> {
  chooseLengths(seed);
  const watched = watch(`${one.name}: seed ${seed}: a case does not end (${again(one.name, seed)})`);
  beat = watched.beat;
  try {
    const details = await one.run({
      seed,
      numRuns: limit.runs ?? 1_000_000_000,
      ...(limit.ms === undefined ? {} : { interruptAfterTimeLimit: limit.ms, markInterruptAsFailure: false }),
      ...(limit.path === undefined ? {} : { path: limit.path, endOnFailure: true }),
    });
    const failure = details.failed ? failureText(one.name, details) : undefined;
    return { target: one.name, seed, cases: details.numRuns, failure };
  } finally {
    beat = () => {};
    await watched.end();
  }
}

function failureText(name: string, details: fc.RunDetails<unknown>): string {
  const { counterexample, counterexamplePath, seed, errorInstance } = details;
  const value = fc.stringify((counterexample as readonly unknown[] | null)?.[0]);
  const shown =
    value.length <= SHOWN ? value : `${value.slice(0, SHOWN)}... (${value.length} characters in all)`;
  const why =
    errorInstance instanceof Error
      ? errorInstance instanceof TooSlow
        ? errorInstance.message
        : (errorInstance.stack ?? errorInstance.message).split('\n').slice(0, 4).join(' | ')
      : String(errorInstance);
  return `${name}: ${why}; smallest case: ${shown}; again: ${again(name, seed, counterexamplePath)}`;
}

function again(name: string, seed: number, path?: string | null): string {
  return `node scripts/torture.mjs --only fuzz --case '${name}/${seed}${path ? `/${path}` : ''}'`;
}
