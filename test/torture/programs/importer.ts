import { localDisk } from '../../../src/io/log/disk.js';
import { importLogs } from '../../../src/io/log/import-logs.js';
import { fingerprintOf } from '../expected.js';
import type { ImporterConfig } from '../importer.js';
import { AckJournal } from '../journal.js';
import { exitAs } from './exit-as.js';

// Imports the logs of other hosts, and journals what a source has settled as soon as that source is reported.

// A promise that is lost must not look like success.
process.exitCode = 70;
const config = JSON.parse(process.argv[2] ?? '') as ImporterConfig;
const queries = new Set(config.queries);
const settled = new Map(config.sources.map(source => [source.path, source.settled]));

async function main(): Promise<void> {
  const journal = new AckJournal(config.journal);
  try {
    process.stdout.write('open\n');
    await importLogs(
      {
        path: config.log,
        unit: config.unit,
        disk: localDisk,
        onRepair: repair => process.stdout.write(`repaired ${JSON.stringify(repair)}\n`),
      },
      config.sources.map(({ path }) => ({ path, isNamed: false })),
      { has: query => queries.has(query), fingerprint: fingerprintOf },
      ({ source, fates, problem }) => {
        if (problem !== undefined) throw problem;
        for (const query of settled.get(source.path) ?? []) journal.add({ query, pid: process.pid });
        process.stdout.write(`imported ${JSON.stringify({ from: source.path, ...fates })}\n`);
      },
    );
  } finally {
    journal.close();
  }
}

exitAs(main());
