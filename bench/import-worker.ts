import { localDisk } from '../src/io/log/disk.js';
import { importLogs, type SourceReport } from '../src/io/log/import-logs.js';

// Imports a log into another one as `qrun collect` does. usage: import-worker.js LOG SOURCE

const [path = '', source = ''] = process.argv.slice(2);
const startedMs = performance.now();
let report: SourceReport | undefined;
await importLogs(
  { path, unit: 'u', disk: localDisk },
  [{ path: source, isNamed: true }],
  { has: () => true, fingerprint: () => undefined },
  found => {
    report = found;
  },
);
const seconds = (performance.now() - startedMs) / 1000;
if (report === undefined || report.problem !== undefined) throw report?.problem ?? new Error('no report');
process.stdout.write(JSON.stringify({ seconds, appended: report.fates.new, there: report.fates.there }));
