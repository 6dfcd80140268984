import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { LOG_KINDS, writeLog } from './large-log.js';
import { measure, median, worker } from './measure.js';
import type { BenchContext, PartResult } from './result.js';

const BYTES = 1e9;
const WANTED = 300;

interface Imported {
  readonly seconds: number;
  readonly appended: number;
  readonly there: number;
}

/** Importing the log of another host, of 1 GB: into an empty log, and the same again. */
export async function imports({ directory, rounds, scale, tell }: BenchContext): Promise<PartResult> {
  const columns: Map<string, number>[] = [];
  for (const kind of LOG_KINDS) {
    const source = join(directory, `${kind.rowBytes}.ndjson`);
    const log = join(directory, 'here.ndjson');
    await writeLog(source, kind, BYTES / scale);
    const megabytes = statSync(source).size / 1e6;
    const rates = new Map<string, number[]>();
    const note = (name: string, seconds: number): void => {
      rates.set(name, [...(rates.get(name) ?? []), megabytes / seconds]);
      tell(`${kind.name}  ${name}  ${(megabytes / seconds).toFixed(0)} MB/s`);
    };
    for (let round = 0; round < rounds; round += 1) {
      rmSync(log, { force: true });
      const first = await worker<Imported>('import-worker', log, source);
      note('qrun, into an empty log', first.seconds);
      const again = await worker<Imported>('import-worker', log, source);
      note('qrun, the same again', again.seconds);
      if (first.appended === 0 || again.appended !== 0 || again.there !== first.appended)
        throw new Error(`the import appended ${first.appended} groups, and ${again.appended} again`);
      rmSync(log, { force: true });
      const copied = await measure('sh', ['-c', 'cat "$0" >> "$1" && sync -d "$1"', source, log]);
      note('cat, and sync', copied.seconds);
    }
    rmSync(log, { force: true });
    rmSync(source);
    columns.push(new Map([...rates].map(([name, all]) => [name, median(all)])));
  }
  const names = ['qrun, into an empty log', 'qrun, the same again', 'cat, and sync'];
  return {
    part: 'import',
    title: "Importing another host's log of 1 GB",
    how:
      'Warm cache, MB/s of the log that is imported, durable at the end. Each group is looked up, copied, and checked ' +
      'again while it is written; the same again also reads the log here, which then has as many bytes. `cat` checks ' +
      'nothing, and doubles what ran twice.',
    table: {
      head: ['import', ...LOG_KINDS.map(({ name }) => name)],
      rows: names.map(name => [name, ...columns.map(column => column.get(name) ?? 'left out')]),
    },
    targets: LOG_KINDS.map(({ name }, i) => ({
      what: `import of ${name}`,
      unit: 'MB/s',
      wanted: WANTED,
      reached: columns[i]?.get('qrun, into an empty log') ?? 0,
      atLeast: true,
    })),
  };
}
