import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { isSettled } from '../../../src/core/unit/plan.js';
import { ResultWriter } from '../../../src/io/engines/result-body.js';
import { FileLock } from '../../../src/io/files/flock.js';
import { localDisk } from '../../../src/io/log/disk.js';
import { type GroupContent, ResultLog } from '../../../src/io/log/result-log.js';
import { fingerprintOf, kindOf, rowsOf } from '../expected.js';
import { AckJournal } from '../journal.js';
import { randomOf } from '../random.js';
import type { WriterConfig } from '../writer.js';
import { exitAs } from './exit-as.js';

// Records what of a list of queries the log does not hold yet, and journals each acknowledgement.

// A promise that is lost must not look like success.
process.exitCode = 70;
const config = JSON.parse(process.argv[2] ?? '') as WriterConfig;

async function content(name: string): Promise<GroupContent> {
  const kind = kindOf(name);
  if (kind === 'error') {
    const error = {
      code: 60,
      name: 'UNKNOWN_TABLE',
      kind: 'permanent' as const,
      message: `no table of ${name}`,
    };
    return { outcome: 'error', error };
  }
  if (kind === 'skipped') return { outcome: 'skipped', stats: undefined };
  const spool = { directory: dirname(config.log), thresholdBytes: config.spoolBytes ?? 64 * 1024 * 1024 };
  const writer = new ResultWriter(spool);
  for (const row of rowsOf(name, config.shape)) await writer.write(Buffer.from(`${row}\n`));
  const body = await writer.finish();
  if ('reason' in body) throw new Error(body.reason);
  return { outcome: 'normal', body, stats: { read_rows: 1 } };
}

async function main(): Promise<void> {
  mkdirSync(dirname(config.log), { recursive: true });
  const journal = new AckJournal(config.journal);
  const log = await ResultLog.open({
    path: config.log,
    unit: config.unit,
    disk: localDisk,
    lock: await FileLock.open(`${config.log}.lock`, config.mechanism),
    ...(config.lockLimitMs === undefined ? {} : { lockLimitMs: config.lockLimitMs }),
    onRepair: repair => process.stdout.write(`repaired ${JSON.stringify(repair)}\n`),
  });
  const due = config.queries.filter(name => !isSettled(log.final.get(name), fingerprintOf(name)));
  const order = config.shuffle === undefined ? due : randomOf(config.shuffle).shuffled(due);
  const ready = new Map<string, GroupContent>();
  if (config.prepared === true) for (const name of order) ready.set(name, await content(name));
  process.stdout.write('open\n');
  const run = `run-${process.pid}-${config.runSuffix ?? process.hrtime.bigint().toString(36)}`;
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let name = order[next++]; name !== undefined; name = order[next++]) {
      const head = {
        unit: config.unit,
        query: name,
        fingerprint: fingerprintOf(name),
        attempt: 1,
        run,
        rerun: false,
        queryId: `${run}-${name}`,
        startedAtMs: 1_700_000_000_000,
        durationMs: 1.5,
        parameters: {},
      };
      const recorded = await log.append(head, ready.get(name) ?? (await content(name)));
      journal.add({ query: name, pid: process.pid, ...(recorded ? { recorded: { run, attempt: 1 } } : {}) });
      if (config.say === true) process.stdout.write(`acknowledged ${name}\n`);
    }
  };
  try {
    await Promise.all(Array.from({ length: config.parallel }, lane));
  } finally {
    await log.close();
    journal.close();
  }
  process.stdout.write(`done ${JSON.stringify({ records: log.records })}\n`);
}

exitAs(main());
