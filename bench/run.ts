import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startClickHouseServer } from '../test/services/clickhouse-server.js';
import { isInstalled, type Measured, measure, median } from './peers.js';

// Small queries at 16 at once, on one server, in one run, in turn: qrun and what it takes the place of. Absolute
// numbers are the machine's; the ratios of paired rounds are the result.

const SQL = 'select number from system.numbers limit 3';
const CONCURRENCY = 16;
const REPOSITORY = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../../..');

interface Peer {
  readonly name: string;
  readonly what: string;
  readonly queries: number;
  readonly needs: readonly string[];
  run(round: number): Promise<Measured>;
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean' },
    report: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const directory = mkdtempSync(join(tmpdir(), 'qrun-bench-'));
const server = await startClickHouseServer();
try {
  const peers = allPeers();
  const usable = peers.filter(peer => peer.needs.every(isInstalled));
  const rates = new Map<string, number[]>();
  const cpu = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round += 1) {
    for (const peer of usable) {
      const measured = await peer.run(round);
      // The first round warms caches and is not counted.
      if (round === 0) continue;
      push(rates, peer.name, peer.queries / measured.seconds);
      push(cpu, peer.name, (measured.cpuSeconds / peer.queries) * 1e6);
      process.stderr.write(
        `round ${round}  ${peer.name.padEnd(22)} ${(peer.queries / measured.seconds).toFixed(0)} q/s\n`,
      );
    }
  }
  const own = rates.get('qrun') ?? [];
  const rows = peers.map(peer => {
    const rate = rates.get(peer.name);
    if (rate === undefined)
      return { peer: peer.name, what: peer.what, left_out: `needs ${peer.needs.join(', ')}` };
    return {
      peer: peer.name,
      what: peer.what,
      queries_per_second: Math.round(median(rate)),
      cpu_us_per_query: Math.round(median(cpu.get(peer.name) ?? [])),
      qrun_is_times: Number(median(own.map((value, i) => value / (rate[i] ?? Number.NaN))).toFixed(2)),
    };
  });
  const machine = `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`;
  if (options.json === true) process.stdout.write(`${JSON.stringify({ machine, rounds, rows })}\n`);
  else process.stdout.write(table(rows, machine));
  if (options.report !== undefined) replaceTable(options.report, table(rows, machine));
} finally {
  await server.stop();
  rmSync(directory, { recursive: true, force: true });
}

function allPeers(): Peer[] {
  const many = makeUnit('many', 4_000);
  const few = makeUnit('few', 100);
  const wrapper = join(REPOSITORY, 'bench/predecessor.sh');
  const log = (name: string, round: number): string => join(directory, `${name}-${round}.ndjson`);
  const pipeline = (round: number, name: string, start: string): Promise<Measured> =>
    measure('bash', [
      '-c',
      `find ${few} -name '*.sql' | ${start} ${wrapper} {} ${log(name, round)} ${server.nativePort}`,
    ]);
  return [
    {
      name: 'qrun',
      what: 'every result durable (fdatasync)',
      queries: 4_000,
      needs: [],
      run: round =>
        measure(process.execPath, [
          join(REPOSITORY, 'bin/qrun.cjs'),
          ...[
            'unit',
            many,
            '-q',
            '-P',
            String(CONCURRENCY),
            '--url',
            server.url,
            '--log',
            log('qrun', round),
          ],
        ]),
    },
    {
      name: 'xargs + client + flock',
      what: 'the scripts that qrun replaces',
      queries: 100,
      needs: ['clickhouse-client', 'flock'],
      run: round => pipeline(round, 'xargs', `xargs -P${CONCURRENCY} -I{}`),
    },
    {
      name: 'parallel + client',
      what: 'the same under GNU parallel',
      queries: 100,
      needs: ['parallel', 'clickhouse-client', 'flock'],
      run: round => pipeline(round, 'parallel', `parallel -j${CONCURRENCY}`),
    },
    {
      name: 'clickhouse-benchmark',
      what: 'native protocol, results thrown away',
      queries: 4_000,
      needs: ['clickhouse-benchmark'],
      run: () =>
        measure('bash', [
          '-c',
          `echo '${SQL}' | clickhouse-benchmark --port ${server.nativePort} -c${CONCURRENCY} -i4000 >/dev/null 2>&1`,
        ]),
    },
    {
      name: 'node:http loop',
      what: 'bare requests, results thrown away',
      queries: 4_000,
      needs: [],
      run: httpLoop,
    },
  ];
}

function makeUnit(name: string, queries: number): string {
  const unit = join(directory, name);
  mkdirSync(unit);
  for (let i = 0; i < queries; i += 1) {
    writeFileSync(
      join(unit, `q${String(i).padStart(5, '0')}.sql`),
      `${SQL} -- ${i}\nFORMAT TabSeparatedWithNames;\n`,
    );
  }
  return unit;
}

// The limit of this runtime on this machine: the same requests, and nothing done with the answers.
async function httpLoop(): Promise<Measured> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const path = '/?default_format=JSONEachRow&wait_end_of_query=1';
  const started = { ms: performance.now(), cpu: process.cpuUsage() };
  let sent = 0;
  const one = (): Promise<void> =>
    new Promise((done, fail) => {
      const post = request(
        { agent, host: '127.0.0.1', port: server.port, method: 'POST', path },
        response => {
          response.resume();
          response.once('end', done);
        },
      );
      post.once('error', fail);
      post.end(SQL);
    });
  const worker = async (): Promise<void> => {
    while (sent < 4_000) {
      sent += 1;
      await one();
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  agent.destroy();
  const used = process.cpuUsage(started.cpu);
  const seconds = (performance.now() - started.ms) / 1000;
  return { seconds, cpuSeconds: (used.user + used.system) / 1e6, output: '' };
}

function table(rows: readonly Record<string, string | number>[], machine: string): string {
  const commit = execFileSync('git', ['-C', REPOSITORY, 'rev-parse', '--short', 'HEAD'], {
    encoding: 'utf8',
  }).trim();
  const lines = rows.map(row =>
    'left_out' in row
      ? `| ${row.peer} | ${row.what} | left out: ${row.left_out} | | |`
      : `| ${row.peer} | ${row.what} | ${row.queries_per_second} | ${row.cpu_us_per_query} | ${row.qrun_is_times} |`,
  );
  return [
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}, ${machine}, ClickHouse 18.16.1 on the same machine, -P${CONCURRENCY}, medians of ${rounds} rounds in turn.`,
    '',
    '| peer | what it does | queries/s | CPU of the client, µs a query | qrun is so many times as fast |',
    '|---|---|---|---|---|',
    ...lines,
    '',
  ].join('\n');
}

function replaceTable(path: string, text: string): void {
  const file = readFileSync(path, 'utf8');
  const marked = /<!-- bench -->[\s\S]*<!-- \/bench -->/;
  if (!marked.test(file)) throw new Error(`${path} has no place for the table`);
  writeFileSync(path, file.replace(marked, `<!-- bench -->\n${text}<!-- /bench -->`));
}

function push(map: Map<string, number[]>, key: string, value: number): void {
  map.set(key, [...(map.get(key) ?? []), value]);
}
