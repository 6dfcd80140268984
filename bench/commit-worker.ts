import { setTimeout as sleep } from 'node:timers/promises';
import { ResultWriter } from '../src/io/engines/result-body.js';
import { FileLock } from '../src/io/files/flock.js';
import { type LogDisk, localDisk } from '../src/io/log/disk.js';
import { ResultLog } from '../src/io/log/result-log.js';

// Appends groups from several producers to a log. usage: commit-worker.js LOG PRODUCERS DELAY_MS GROUPS

const [path = '', producers, delay, groups] = process.argv.slice(2);
const delayMs = Number(delay);
const disk: LogDisk = {
  ...localDisk,
  async open(at) {
    const file = await localDisk.open(at);
    const sync = file.sync.bind(file);
    if (delayMs > 0) {
      file.sync = async () => {
        await sleep(delayMs);
        await sync();
      };
    }
    return file;
  },
};
const log = await ResultLog.open({ path, unit: 'u', disk, lock: await FileLock.open(`${path}.lock`) });
const row = Buffer.from('{"number":1234567,"text":"abcdefgh"}\n');
let next = 0;
const produce = async (): Promise<void> => {
  while (next < Number(groups)) {
    const i = next;
    next += 1;
    const writer = new ResultWriter({ directory: '/nonexistent', thresholdBytes: Infinity });
    writer.write(row);
    const body = await writer.finish();
    if ('reason' in body) throw new Error(body.reason);
    const head = {
      unit: 'u',
      query: `q${i}`,
      fingerprint: '0123456789abcdef',
      attempt: 1,
      run: '20260131T120000-08f74f6a',
      rerun: false,
      queryId: `qrun-20260131T120000-08f74f6a-${i}-1`,
      startedAtMs: 1_769_860_800_000 + i,
      durationMs: 12.3,
      parameters: {},
    };
    if (!(await log.append(head, { outcome: 'normal', body, stats: undefined })))
      throw new Error(`q${i} twice`);
  }
};
const startedMs = performance.now();
await Promise.all(Array.from({ length: Number(producers) }, produce));
const seconds = (performance.now() - startedMs) / 1000;
if (log.final.size !== Number(groups)) throw new Error(`${log.final.size} of ${groups} are in the log`);
await log.close();
process.stdout.write(JSON.stringify({ seconds }));
