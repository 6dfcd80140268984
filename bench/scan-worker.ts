import { Audit } from '../src/core/log/audit.js';
import { FileLock } from '../src/io/files/flock.js';
import { localDisk } from '../src/io/log/disk.js';
import { readLog } from '../src/io/log/follow.js';
import { ResultLog } from '../src/io/log/result-log.js';

// Reads a log as `qrun audit` does, or as `qrun unit` does when it starts. usage: scan-worker.js audit|resume LOG

const [how, path = ''] = process.argv.slice(2);
const startedMs = performance.now();
let found: number;
if (how === 'audit') {
  const audit = new Audit();
  const tail = await readLog(path, 'u', audit.begin(path));
  if (tail?.tornBytes !== 0) throw new Error('the log is not whole');
  found = audit.report('u', path, []).total_lines;
} else {
  const log = await ResultLog.open({
    path,
    unit: 'u',
    disk: localDisk,
    lock: await FileLock.open(`${path}.lock`),
  });
  found = log.final.size;
  await log.close();
}
const seconds = (performance.now() - startedMs) / 1000;
if (found === 0) throw new Error('nothing was found in the log');
process.stdout.write(JSON.stringify({ seconds, found }));
