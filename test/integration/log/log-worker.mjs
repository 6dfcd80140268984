// Another process that uses the log: commands of the tests, on the built program. Speaks in lines.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { FileLock } from '../../../dist/io/files/flock.js';
import { localDisk } from '../../../dist/io/log/disk.js';
import { takeLease } from '../../../dist/io/log/lease.js';
import { ResultLog } from '../../../dist/io/log/result-log.js';

const [, , command, ...args] = process.argv;
const say = line => process.stdout.write(`${line}\n`);
const input = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const told = async () => (await input.next()).value;

const commands = {
  // Holds a lock from its first line until it is told to go on.
  async lock(path, mechanism) {
    const lock = await FileLock.open(path, mechanism);
    await lock.acquire({ limitMs: 20_000 });
    say('locked');
    await told();
    lock.release();
    say('released');
    await told();
  },
  // As `lock`, with a child of its own that outlives it.
  async parent(path) {
    const lock = await FileLock.open(path);
    await lock.acquire({ limitMs: 20_000 });
    say(spawn('sleep', ['60'], { stdio: 'ignore' }).pid);
    await told();
  },
  // Adds 1 to a number in a file, again and again, under the lock.
  async count(path, mechanism, counter, times) {
    const lock = await FileLock.open(path, mechanism);
    say('ready');
    await told();
    for (let i = 0; i < Number(times); i += 1) {
      await lock.acquire({ limitMs: 60_000 });
      const value = Number(readFileSync(counter, 'utf8'));
      await new Promise(resolve => setImmediate(resolve));
      writeFileSync(counter, String(value + 1));
      lock.release();
    }
    say('done');
  },
  async lease(log, unit, run) {
    const lease = await takeLease(log, unit, {
      pid: process.pid,
      host: 'host7',
      run,
      since: '2026-01-31T12:00:00.000Z',
    });
    say('taken');
    await told();
    lease.release();
    say('released');
    await told();
  },
  // Records queries first .. first+count-1 with three rows each, and says which it was the one to record.
  async append(path, unit, run, first, count, mechanism) {
    const log = await ResultLog.open({
      path,
      unit,
      disk: localDisk,
      lock: await FileLock.open(`${path}.lock`, mechanism),
    });
    say('open');
    await told();
    const recorded = [];
    for (let at = 0; at < Number(count); ) {
      const batch = Math.min(1 + (at % 7), Number(count) - at);
      const results = await Promise.all(
        Array.from({ length: batch }, (_, i) => {
          const query = `q${Number(first) + at + i}`;
          return log.append(head(unit, query, run), content(run)).then(ok => (ok ? query : undefined));
        }),
      );
      recorded.push(...results.filter(query => query !== undefined));
      at += batch;
    }
    await log.close();
    say(JSON.stringify(recorded));
  },
};

function head(unit, query, run) {
  return {
    unit,
    query,
    fingerprint: '9f86d081884c7d65',
    attempt: 1,
    run,
    rerun: false,
    queryId: `${run}-${query}`,
    startedAtMs: Date.now(),
    durationMs: 1,
    parameters: {},
  };
}

function content(run) {
  const bytes = Buffer.from([1, 2, 3].map(v => `{"v":${v},"run":"${run}"}\n`).join(''));
  return {
    outcome: 'normal',
    stats: undefined,
    body: {
      rows: 3,
      sizeBytes: bytes.length,
      kind: 'memory',
      async *chunks() {
        yield bytes;
      },
      bytes: () => bytes,
      dispose: async () => {},
    },
  };
}

await commands[command](...args);
process.exit(0);
