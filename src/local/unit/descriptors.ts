import { availableParallelism } from 'node:os';
import { concurrencyFor, type DescriptorFacts, descriptorsNeeded } from '../../core/engines/descriptors.js';
import { factsOf } from '../../core/engines/facts.js';
import { QrunError } from '../../core/errors.js';
import { countDescriptors } from '../../io/machine/descriptors.js';
import type { RunnableContext } from '../unit/context.js';

/**
 * Returns the context with at most as many simultaneous queries as this process has file descriptors for, and with a
 * warning if that is fewer than requested.
 *
 * Errors: QrunError `CONFIG` when there are not enough for one.
 */
export function withinDescriptors(
  context: RunnableContext,
  count = countDescriptors(),
): { readonly context: RunnableContext; readonly warning: string | undefined } {
  const { config } = context;
  if (count === undefined) return { context, warning: undefined };
  const cores = availableParallelism();
  const engine = factsOf(config.engine);
  const facts: DescriptorFacts = { ...count, engine, cores, servers: config.url?.length ?? 1 };
  const wanted = Math.min(config.concurrency, engine.mostQueries(cores));
  const fits = concurrencyFor(facts, wanted);
  if (fits === wanted) return { context, warning: undefined };
  const enough = (concurrency: number): number => Math.ceil(descriptorsNeeded(facts, concurrency) / 64) * 64;
  if (fits === 0) {
    throw new QrunError(
      'CONFIG',
      `this process may have ${count.limit} files open (ulimit -n), too few to run a single query`,
      { hint: `raise the limit: ulimit -n ${enough(wanted)} (LimitNOFILE= in a unit of systemd)` },
    );
  }
  return {
    context: { ...context, config: { ...config, concurrency: fits } },
    warning:
      `${fits} at once instead of ${wanted}: this process may have ${count.limit} files open; ` +
      `ulimit -n ${enough(wanted)} is enough for ${wanted}`,
  };
}
