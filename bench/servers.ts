import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startClickHouseServer } from '../test/services/clickhouse-server.js';
import { median, medianRatio, qrun } from './measure.js';
import type { BenchContext, PartResult } from './result.js';
import { makeUnit } from './throughput.js';

const CONCURRENCY = 16;
const ONE = 'one server';
const TWO = 'two servers';

interface Summary {
  readonly elapsed_ms: number;
  readonly servers: readonly { readonly server: string; readonly recorded: number }[];
}

/**
 * Two servers on the machine that had one: they share its cores, so nothing is gained, and what is lost is the cost of
 * choosing among servers. And how evenly queries of mixed lengths are spread.
 */
export async function servers(context: BenchContext): Promise<PartResult> {
  const { directory, rounds, scale, tell } = context;
  const { url } = await context.server();
  const other = await startClickHouseServer();
  try {
    const count = Math.ceil(20_000 / scale);
    const unit = makeUnit(join(directory, 'many'), count);
    const run = async (path: string, urls: readonly string[]): Promise<Summary> => {
      const log = join(directory, 'run.ndjson');
      const named = urls.flatMap(one => ['--url', one]);
      const args = ['-q', '--json', '-P', String(CONCURRENCY), ...named, '--log', log];
      const { stdout } = await qrun('unit', path, ...args);
      await qrun('audit', path, '--log', log);
      for (const suffix of ['', '.runs', '.lock', '.lease']) rmSync(`${log}${suffix}`, { force: true });
      return JSON.parse(stdout) as Summary;
    };
    const both = [url, other.url];
    const rates = { [ONE]: [] as number[], [TWO]: [] as number[] };
    // The first round warms caches and is not counted.
    for (let round = 0; round <= rounds; round += 1) {
      for (const [name, urls] of [[ONE, [url]] as const, [TWO, both] as const]) {
        const { elapsed_ms: elapsedMs } = await run(unit, urls);
        const perSecond = count / (elapsedMs / 1000);
        if (round > 0) rates[name].push(perSecond);
        tell(`round ${round}  ${name}  ${perSecond.toFixed(0)} q/s`);
      }
    }
    const mixed = mixedUnit(join(directory, 'mixed'), Math.ceil(1_000 / scale));
    const summary = await run(mixed, both);
    const counts = summary.servers.map(({ recorded }) => recorded);
    const spread = (Math.max(...counts) - Math.min(...counts)) / (counts.reduce((sum, n) => sum + n, 0) / 2);
    return {
      part: 'servers',
      title: 'Two servers in one run',
      how:
        `${count} small queries at -P${CONCURRENCY} on one server and on two, which share the cores of this machine; ` +
        `medians of ${rounds} alternating rounds within the run. Then queries of 5 ms to 0.5 s on both: the spread is ` +
        'the difference between the numbers of queries that each recorded, of their mean.',
      table: {
        head: ['', 'queries/s'],
        rows: [
          [ONE, median(rates[ONE])],
          [TWO, median(rates[TWO])],
        ],
      },
      targets: [
        {
          what: 'two servers on the cores of one, share of its rate',
          unit: 'times',
          wanted: 0.95,
          reached: medianRatio(rates[TWO], rates[ONE]),
          atLeast: true,
        },
        {
          what: 'mixed lengths on two servers, spread',
          unit: 'of the mean',
          wanted: 0.1,
          reached: spread,
          atLeast: false,
        },
      ],
    };
  } finally {
    await other.stop();
  }
}

// Even on a logarithmic scale from 5 ms to 0.5 s, the same in each run.
function mixedUnit(unit: string, queries: number): string {
  mkdirSync(unit);
  let state = 1;
  for (let i = 0; i < queries; i += 1) {
    // A linear congruential generator (Numerical Recipes).
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const seconds = 0.005 * 100 ** (state / 2 ** 32);
    writeFileSync(
      join(unit, `q${String(i).padStart(4, '0')}.sql`),
      `select sleep(${seconds.toFixed(4)}) -- ${i}\n`,
    );
  }
  return unit;
}
