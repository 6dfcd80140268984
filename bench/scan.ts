import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOG_KINDS, writeLog } from './large-log.js';
import { isInstalled, measure, median, worker } from './measure.js';
import type { BenchContext, PartResult } from './result.js';

const BYTES = 1e9;

/** Reading a log of 1 GB: resume and audit, compared with tools that read the same lines. */
export async function scan(context: BenchContext): Promise<PartResult> {
  const { directory, rounds, scale, tell } = context;
  const wanted = [2_000, 400];
  const kinds = LOG_KINDS.map((kind, i) => ({ ...kind, wanted: wanted[i] as number }));
  const python = join(directory, 'count.py');
  writeFileSync(
    python,
    'import json, sys\nprint(len({json.loads(line)["query"] for line in open(sys.argv[1], "rb")}))\n',
  );
  const tools: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ["jq -r '.query'", ['jq'], ['bash', '-c', 'jq -r .query "$0" | tail -1']],
    ['python, json.loads of each line', ['python3'], ['python3', python]],
    ['grep -c \'"query"\'', ['grep'], ['grep', '-c', '"query"']],
  ];
  const columns: Map<string, number>[] = [];
  const lineBytes: number[] = [];
  for (const kind of kinds) {
    const path = join(directory, `${kind.rowBytes}.ndjson`);
    lineBytes.push(await writeLog(path, kind, BYTES / scale));
    const megabytes = statSync(path).size / 1e6;
    const rates = new Map<string, number[]>();
    const note = (name: string, seconds: number): void => {
      rates.set(name, [...(rates.get(name) ?? []), megabytes / seconds]);
      tell(`${kind.name}  ${name}  ${(megabytes / seconds).toFixed(0)} MB/s`);
    };
    for (let round = 0; round < rounds; round += 1) {
      for (const how of ['audit', 'resume']) {
        note(`qrun, ${how}`, (await worker<{ seconds: number }>('scan-worker', how, path)).seconds);
      }
      // The others are slow enough for two rounds to suffice.
      for (const [name, needs, [command = '', ...args]] of tools) {
        if (round > 1 || !needs.every(isInstalled)) continue;
        note(name, (await measure(command, [...args, path])).seconds);
      }
    }
    columns.push(new Map([...rates].map(([name, all]) => [name, median(all)])));
  }
  const names = ['qrun, audit', 'qrun, resume', ...tools.map(([name]) => name)];
  return {
    part: 'scan',
    title: 'Reading a log of 1 GB',
    how:
      `Warm cache, MB/s. The first log has lines of ${Math.round(lineBytes[0] ?? 0)} bytes, the second of ` +
      `${Math.round(lineBytes[1] ?? 0)} bytes, three for each query. Audit finds every fault; resume reads the state ` +
      'of each query, under the lock. jq and Python only name the queries, and grep only counts lines.',
    table: {
      head: ['reader', ...kinds.map(kind => kind.name)],
      rows: names.map(name => [name, ...columns.map(column => column.get(name) ?? 'left out')]),
    },
    targets: kinds.flatMap(({ name, wanted }, i) =>
      ['resume', 'audit'].map(how => ({
        what: `${how} of ${name}`,
        unit: 'MB/s',
        wanted,
        reached: columns[i]?.get(`qrun, ${how}`) ?? 0,
        atLeast: true,
      })),
    ),
  };
}
