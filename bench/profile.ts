import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { measureNode, REPOSITORY } from './measure.js';
import type { BenchContext, PartResult } from './result.js';
import { makeUnit } from './throughput.js';

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

const SYSTEM_CALLS: Readonly<Record<string, string>> = {
  writev: 'system call that sends the request (on loopback it carries the packet to the server)',
  writeBuffer: 'system calls: write, size and lock of the log, state of the query files',
  fstat: 'system calls: write, size and lock of the log, state of the query files',
  stat: 'system calls: write, size and lock of the log, state of the query files',
  fdatasync: 'handing fdatasync to its thread',
  open: 'opening, reading and closing the query files',
  read: 'opening, reading and closing the query files',
  close: 'opening, reading and closing the query files',
  readdir: 'opening, reading and closing the query files',
  hash: 'hash',
};

// By the file that contains the function; the first match counts.
const PLACES: readonly (readonly [RegExp, string])[] = [
  [/undici|wasm/, 'HTTP: undici'],
  [/@clickhouse/, '@clickhouse/client'],
  [/dist\/core\/(sql|unit\/judge)|dist\/app\/unit\/(plan|survey)/, 'lexing the SQL, twice'],
  [/dist\/core\/log\/(record|scan)|dist\/io\/(log|files\/flock)/, 'records and log'],
  [/dist\/core\/unit\/fingerprint|node:internal\/crypto/, 'hash'],
  [/dist\/io\/engines|dist\/core\/log\/row-proof/, "qrun's engine: URL, answer, proof"],
  [/dist\/(app|cli|core)/, "qrun's pool, events and summary"],
  [/node:(net|internal\/streams|internal\/stream_base)/, "Node's sockets and streams"],
  [/node:internal\/(modules|bootstrap)/, 'start: loading modules'],
  [/node:(fs|internal\/fs|path)|dist\/io\/(files|unit)/, 'opening, reading and closing the query files'],
];

/** Measures where the CPU time of the main thread goes in a run of small queries, sampled every 200 microseconds. */
export async function profile(context: BenchContext): Promise<PartResult> {
  const { directory, scale } = context;
  const { url } = await context.server();
  const count = Math.ceil(40_000 / scale);
  const unit = makeUnit(join(directory, 'profiled'), count);
  const options = ['--cpu-prof', '--cpu-prof-dir', directory, '--cpu-prof-interval', '200'];
  const args = ['-q', '-P16', '--url', url, '--log', join(directory, 'profiled.ndjson')];
  await measureNode([...options, unbundled(directory), 'unit', unit, ...args]);
  const file = readdirSync(directory).find(name => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error('there is no profile');
  const shares = sharesOf(JSON.parse(readFileSync(join(directory, file), 'utf8')) as Profile);
  const busyUs = [...shares.values()].reduce((sum, us) => sum + us, 0);
  return {
    part: 'profile',
    title: 'Where the time of a small query goes',
    how:
      `The main thread in a run of ${count.toLocaleString('en-US')} small queries, start and planning included, sampled ` +
      'every 200 µs, without waiting. A sample in a system call also counts the time in which its thread was not running.',
    table: {
      head: ['', 'µs per query', '%'],
      rows: [...shares]
        .sort(([, a], [, b]) => b - a)
        .map(([name, us]) => [name, us / count, (100 * us) / busyUs]),
    },
    targets: [],
  };
}

// Returns the path of an unbundled command: in the bundle, functions could not be told apart by their files.
function unbundled(directory: string): string {
  const copy = join(directory, 'unbundled');
  for (const name of ['bin', 'dist', 'package.json']) {
    cpSync(join(REPOSITORY, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(REPOSITORY, 'node_modules'), join(copy, 'node_modules'));
  writeFileSync(join(copy, 'dist/cli/bundle/package.json'), '{ "type": "module" }\n');
  writeFileSync(join(copy, 'dist/cli/bundle/main.js'), "export * from '../main.js';\n");
  return join(copy, 'bin/qrun.cjs');
}

function sharesOf({ nodes, samples, timeDeltas }: Profile): Map<string, number> {
  const categories = new Map(nodes.map(({ id, callFrame }) => [id, categoryOf(callFrame)]));
  const shares = new Map<string, number>();
  samples.forEach((id, i) => {
    const category = categories.get(id);
    if (category === undefined) return;
    shares.set(category, (shares.get(category) ?? 0) + (timeDeltas[i] ?? 0));
  });
  return shares;
}

// Returns `undefined` for a thread that waits.
function categoryOf({ functionName, url }: { functionName: string; url: string }): string | undefined {
  if (functionName === '(idle)') return undefined;
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (url === '') return SYSTEM_CALLS[functionName] ?? "V8 and Node's native code";
  return PLACES.find(([pattern]) => pattern.test(url))?.[1] ?? "rest of Node's JavaScript";
}
