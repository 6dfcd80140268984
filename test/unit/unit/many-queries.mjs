// Plans and runs many queries on an engine that answers at once, and prints one line of JSON: resident memory
// before the run, its peak, and the time for each of ten equal shares of the run.
import { planUnit } from '../../../dist/app/unit/plan.js';
import { runUnit } from '../../../dist/app/unit/pool.js';
import { ENGINES } from '../../../dist/core/engines/facts.js';
import { decodeSql, parseQuery } from '../../../dist/core/sql/parse.js';
import { fingerprinter } from '../../../dist/core/unit/fingerprint.js';

const count = Number(process.argv[2]);
const inputs = { parameters: {}, settings: {} };
const sqlOf = name => Buffer.from(`SELECT '${name}' AS name, sum(number) AS total FROM numbers(10)\n`);
const source = {
  directory: '/sql',
  list: () => Array.from({ length: count }, (_, n) => `group_${n % 100}/query_${String(n).padStart(6, '0')}`),
  read: sqlOf,
};
const row = Buffer.from('{"name":"x","total":45}\n');
const result = () => ({
  ok: true,
  durationMs: 0.1,
  stats: undefined,
  body: {
    rows: 1,
    sizeBytes: row.length,
    kind: 'memory',
    chunks: async function* () {
      yield row;
    },
    bytes: () => row,
    dispose: async () => {},
  },
});

let rssBytes = 0;
let recorded = 0;
const shareMs = [];
const share = count / 10;

const plan = await planUnit(
  {
    source,
    inputs,
    selection: { include: [], exclude: [], shard: undefined, shuffle: undefined },
    limit: undefined,
    rerun: 'errors',
    allowPlaceholders: false,
  },
  new Map(),
);
const plannedBytes = process.memoryUsage.rss();
let since = performance.now();
const summary = await runUnit(
  {
    engine: {
      info: { facts: ENGINES.clickhouse, version: '0', target: 'x', supportsParameters: true, slots: 64 },
      run: async () => result(),
      ping: async () => undefined,
      close: async () => {},
    },
    log: {
      path: '/x',
      get records() {
        return recorded;
      },
      append: async () => {
        recorded += 1;
        if (recorded % share === 0) {
          shareMs.push(Math.round(performance.now() - since));
          since = performance.now();
        }
        if (recorded % 1000 === 0) {
          rssBytes = Math.max(rssBytes, process.memoryUsage.rss());
          await new Promise(resolve => setImmediate(resolve));
        }
        return true;
      },
    },
    read: name => ({ bytes: sqlOf(name), query: parseQuery(decodeSql(sqlOf(name))) }),
    fingerprint: fingerprinter(inputs),
    clock: { nowMs: Date.now, monotonicMs: () => performance.now(), delay: async () => {} },
    random: Math.random,
    emit: () => {},
  },
  {
    run: 'r1',
    unit: 'unit',
    plan,
    parameters: {},
    settings: {},
    concurrency: 64,
    timeoutMs: 0,
    retries: 0,
    halt: undefined,
    outageLimitMs: 0,
    drain: new AbortController().signal,
    abort: new AbortController().signal,
  },
);
const mebibytes = bytes => Math.round(bytes / 1048576);
const { normal } = summary.recorded;
const report = { plannedMiB: mebibytes(plannedBytes), peakMiB: mebibytes(rssBytes), shareMs, normal };
process.stdout.write(`${JSON.stringify(report)}\n`);
