import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HTTP_PARAMETERS } from '../src/core/engines/engine-settings.js';
import { isInstalled, measure, median, medianRatio, qrun, REPOSITORY, worker } from './measure.js';
import type { BenchContext, PartResult } from './result.js';

const SQL = 'select number from system.numbers limit 3';
const CONCURRENCY = 16;

interface Rate {
  readonly perSecond: number;
  readonly cpuUs: number;
}

interface Peer {
  readonly name: string;
  readonly what: string;
  readonly needs: readonly string[];
  run(round: number): Promise<Rate>;
}

/** Small queries, 16 at once, on one server: qrun, what it replaces, and what is possible at all. */
export async function throughput(context: BenchContext): Promise<PartResult> {
  const { rounds, tell } = context;
  const peers = await peersOf(context);
  const usable = peers.filter(peer => peer.needs.every(isInstalled));
  const rates = new Map<string, Rate[]>(usable.map(peer => [peer.name, []]));
  // The first round warms caches and is not counted.
  for (let round = 0; round <= rounds; round += 1) {
    for (const peer of usable) {
      const rate = await peer.run(round);
      if (round > 0) rates.get(peer.name)?.push(rate);
      tell(`round ${round}  ${peer.name}  ${rate.perSecond.toFixed(0)} q/s  ${rate.cpuUs.toFixed(0)} us`);
    }
  }
  const perSecond = (name: string): number[] => (rates.get(name) ?? []).map(rate => rate.perSecond);
  const cpuUs = (name: string): number[] => (rates.get(name) ?? []).map(rate => rate.cpuUs);
  const own = perSecond(QRUN);
  const target = (what: string, peer: string, wanted: number) => ({
    what,
    unit: 'times',
    wanted,
    reached: medianRatio(own, perSecond(peer)),
    atLeast: true,
  });
  return {
    part: 'throughput',
    title: 'Small queries, 16 at once',
    how:
      `\`${SQL}\`, medians of ${rounds} alternating rounds. The first row is the rate within the run, from the start ` +
      'of the first query to the last fdatasync; the second is the whole process, with its start and the planning. ' +
      "qrun's CPU is that of one additional query: what a run of 20,000 needs more than one of 5,000. This excludes " +
      'start and compilation and includes everything else: reading each file, checking it again, checking its SQL twice, ' +
      'hash, request, record, fdatasync. After each run `qrun audit` had to find it complete. The loops and `wrk` ' +
      'discard results.',
    table: {
      head: ['peer', 'what it does', 'queries/s', 'CPU of the client, µs per query', 'qrun is times as fast'],
      rows: peers.map(({ name, what, needs }) => {
        const all = perSecond(name);
        if (all.length === 0) return [name, what, `left out: needs ${needs.join(', ')}`, '', ''];
        return [name, what, median(all), median(cpuUs(name)), medianRatio(own, all)];
      }),
    },
    targets: [
      target('small queries, times as fast as the scripts', SCRIPTS, 150),
      target('small queries, times as fast as clickhouse-benchmark', BENCHMARK, 1.5),
      target('small queries, share of the bare undici loop', UNDICI, 0.65),
      {
        what: 'CPU of qrun for a small query',
        unit: 'µs',
        wanted: 110,
        reached: median(cpuUs(QRUN)),
        atLeast: false,
      },
    ],
  };
}

const QRUN = 'qrun';
const WHOLE = 'qrun, whole process';
const SCRIPTS = 'xargs + client + flock';
const BENCHMARK = 'clickhouse-benchmark';
const UNDICI = 'undici loop';

async function peersOf(context: BenchContext): Promise<Peer[]> {
  const { directory, scale } = context;
  const { port, nativePort, url } = await context.server();
  const many = Math.ceil(20_000 / scale);
  const few = Math.ceil(120 / scale);
  const unit = makeUnit(join(directory, 'many'), many);
  const small = makeUnit(join(directory, 'few'), few);
  const fewer = many / 4;
  const part = makeUnit(join(directory, 'part'), fewer);
  const wrapper = join(REPOSITORY, 'bench/predecessor.sh');
  const runUnit = async (path: string, round: number) => {
    const log = join(directory, `${round}.ndjson`);
    const args = ['--url', url, '--log', log];
    const run = await qrun('unit', path, '-q', '--json', '-P', String(CONCURRENCY), ...args);
    await qrun('audit', path, '--log', log, '--rows-per-query', '3');
    for (const suffix of ['', '.runs', '.lock', '.lease']) rmSync(`${log}${suffix}`, { force: true });
    return run;
  };
  let whole: Rate = { perSecond: 0, cpuUs: 0 };
  const scripts = async (name: string, round: number, start: string): Promise<Rate> => {
    const log = join(directory, `${name}-${round}.ndjson`);
    const command = `find ${small} -name '*.sql' | ${start} ${wrapper} {} ${log} ${nativePort}`;
    const { seconds, cpuSeconds } = await measure('bash', ['-c', command]);
    const { stdout } = await measure('wc', ['-l', log]);
    if (Number.parseInt(stdout, 10) !== 3 * few)
      throw new Error(`${name} recorded ${stdout} lines of ${3 * few}`);
    rmSync(log);
    return { perSecond: few / seconds, cpuUs: (cpuSeconds / few) * 1e6 };
  };
  const loop = async (kind: string, queries: number): Promise<Rate> => {
    const args = [kind, String(port), String(queries), String(CONCURRENCY), SQL];
    const { seconds, cpuSeconds } = await worker<{ seconds: number; cpuSeconds: number }>('loop', ...args);
    return { perSecond: queries / seconds, cpuUs: (cpuSeconds / queries) * 1e6 };
  };
  return [
    {
      name: QRUN,
      what: 'within the run; every result durable (fdatasync)',
      needs: [],
      run: async round => {
        const shorter = await runUnit(part, round);
        const run = await runUnit(unit, round);
        const { elapsed_ms: elapsedMs } = JSON.parse(run.stdout) as { elapsed_ms: number };
        whole = { perSecond: many / run.seconds, cpuUs: (run.cpuSeconds / many) * 1e6 };
        return {
          perSecond: many / (elapsedMs / 1000),
          cpuUs: ((run.cpuSeconds - shorter.cpuSeconds) / (many - fewer)) * 1e6,
        };
      },
    },
    {
      name: WHOLE,
      what: `the same runs with start and planning, ${many} queries`,
      needs: [],
      run: async () => whole,
    },
    {
      name: SCRIPTS,
      what: 'the scripts that qrun replaces',
      needs: ['clickhouse-client', 'flock'],
      run: round => scripts('xargs', round, `xargs -P${CONCURRENCY} -I{}`),
    },
    {
      name: 'parallel + client + flock',
      what: 'the same under GNU parallel',
      needs: ['parallel', 'clickhouse-client', 'flock'],
      run: round => scripts('parallel', round, `parallel -j${CONCURRENCY}`),
    },
    {
      name: BENCHMARK,
      what: 'native protocol, results discarded',
      needs: ['clickhouse-benchmark'],
      run: async () => {
        const options = `--port ${nativePort} -c${CONCURRENCY} -i${many}`;
        const command = `echo '${SQL}' | clickhouse-benchmark ${options} 2>&1`;
        const { stdout, cpuSeconds } = await measure('bash', ['-c', command]);
        const perSecond = Number(
          stdout
            .match(/QPS: [\d.]+/g)
            ?.at(-1)
            ?.slice(5),
        );
        return { perSecond, cpuUs: (cpuSeconds / many) * 1e6 };
      },
    },
    {
      name: 'client',
      what: 'loop over exec of @clickhouse/client',
      needs: [],
      run: () => loop('client', Math.ceil(many / 4)),
    },
    {
      name: "qrun's channel",
      what: 'the way of queries, with the proof of each answer',
      needs: [],
      run: () => loop("qrun's channel", Math.ceil(many / 2)),
    },
    {
      name: 'node:http loop',
      what: 'bare requests',
      needs: [],
      run: () => loop('http', Math.ceil(many / 2)),
    },
    {
      name: UNDICI,
      what: 'bare requests',
      needs: [],
      run: () => loop('undici', Math.ceil(many / 2)),
    },
    {
      name: 'wrk',
      what: 'bare requests in C',
      needs: ['wrk'],
      run: async () => {
        const script = join(directory, 'post.lua');
        writeFileSync(script, `wrk.method = "POST"\nwrk.body = "${SQL}"\n`);
        const seconds = Math.max(1, Math.round(3 / scale));
        const target = `${url}/?${new URLSearchParams(HTTP_PARAMETERS)}`;
        const args = ['-t1', `-c${CONCURRENCY}`, `-d${seconds}s`, '-s', script, target];
        const { stdout, cpuSeconds } = await measure('wrk', args);
        const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
        const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
        if (/Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk met errors: ${stdout}`);
        return { perSecond, cpuUs: (cpuSeconds / requests) * 1e6 };
      },
    },
  ];
}

/** Creates a unit of small queries, each file with different text. Returns its path. */
export function makeUnit(unit: string, queries: number): string {
  mkdirSync(unit, { recursive: true });
  for (let i = 0; i < queries; i += 1) {
    const name = `q${String(i).padStart(6, '0')}.sql`;
    writeFileSync(join(unit, name), `${SQL} -- ${i}\nFORMAT TabSeparatedWithNames;\n`);
  }
  return unit;
}
