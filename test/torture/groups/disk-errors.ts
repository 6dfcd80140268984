import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ended, isInstalled } from '../child.js';
import { describe, LogTrial } from '../log-trial.js';
import type { Place } from '../places.js';
import type { Context, Group, Row, Trial } from '../tally.js';

// No run of these trials makes so many calls; the loops end where a fault no longer fires.
const MOST_CALLS = 200;

/** A failing call of the disk: which rule injects it, and what the process must say of it. */
interface Fault {
  readonly title: string;
  /** The rules for the n-th call. */
  readonly rules: (n: number) => readonly string[];
  /** What stderr must name. `undefined`: the fault is survived, and nobody needs to know. */
  readonly says: RegExp | undefined;
  /** What was written of a batch must be taken back at once, and not by the next writer. */
  readonly takenBack?: true;
  /** The log has a torn end when the writer starts. */
  readonly torn?: true;
  /** Only these calls in the fast share. */
  readonly fast?: readonly number[];
}

const WRITE_FAULTS: readonly Fault[] = [
  {
    title: 'ENOSPC at the N-th write, once, every N',
    takenBack: true,
    rules: n => [`write *.ndjson ${n} errno ENOSPC`],
    says: /^WRITE_FAILED: cannot append to .*ENOSPC/,
    fast: [1, 2, 5],
  },
  {
    title: 'disk full from the N-th write on, in the middle of it, every N',
    takenBack: true,
    rules: n => [`write *.ndjson ${n} full 370`],
    says: /^WRITE_FAILED: cannot append to .*ENOSPC/,
    fast: [1, 4],
  },
  {
    title: 'EIO at the N-th write, every N',
    takenBack: true,
    rules: n => [`write *.ndjson ${n} errno EIO`],
    says: /^WRITE_FAILED: cannot append to .*EIO/,
    fast: [2],
  },
  {
    title: 'failed write, and the roll-back fails too, every N',
    rules: n => [`write *.ndjson ${n} full 500`, 'truncate *.ndjson 1+ errno EIO'],
    says: /^WRITE_FAILED: .*ENOSPC.*nor could the torn end be cut off.*EIO/,
    fast: [1, 3],
  },
  {
    title: 'short write at the N-th write, every N',
    rules: n => [`write *.ndjson ${n} short ${1 + ((n * 137) % 998)}`],
    says: undefined,
    fast: [1, 3],
  },
  {
    title: 'every write short',
    rules: n => (n === 1 ? ['write *.ndjson 1+ short 300'] : []),
    says: undefined,
  },
  {
    title: 'a write that lies about its length, every N',
    rules: n => [`write *.ndjson ${n} lie 600`],
    says: /^LOG_DAMAGED: .* bytes after an append, not /,
    fast: [1, 3],
  },
  {
    title: 'side file of a torn end: ENOSPC',
    rules: n =>
      n > 3
        ? []
        : ([
            [`write *.torn-* 1 full 300`],
            ['create *.torn-* 1 errno ENOSPC'],
            ['write *.torn-* 1 errno EDQUOT'],
          ][n - 1] ?? []),
    says: /^WRITE_FAILED: .*torn end .* cannot be saved aside: (ENOSPC|EDQUOT)/,
    torn: true,
  },
  {
    title: 'EIO at the N-th read of the log, every N',
    rules: n => [`read *.ndjson ${n} errno EIO`],
    says: /^(READ_FAILED|WRITE_FAILED|LOG_UNUSABLE): .*EIO/,
    torn: true,
    fast: [1],
  },
  {
    title: 'lock, log or directory cannot be opened',
    rules: n =>
      n > 3
        ? []
        : ([
            ['create *.ndjson 1 errno EACCES'],
            ['create *.ndjson.lock 1 errno EACCES'],
            ['create *.ndjson 1 errno ENOSPC'],
          ][n - 1] ?? []),
    says: /^(LOG_UNUSABLE|LOCK_FAILED): cannot open the (log|lock file) .*(EACCES|ENOSPC)/,
  },
];

/** Writes, reads and opens that fail. */
export const writeErrors: Group = { name: 'write-errors', run: context => runFaults(context, WRITE_FAULTS) };

const SYNC_FAULTS: readonly Fault[] = [
  {
    title: 'EIO from fdatasync of the log at the N-th call, every N',
    rules: n => [`fdatasync *.ndjson ${n} errno EIO`],
    says: /^(LOG_SYNC: .*the disk did not confirm|WRITE_FAILED: .*torn end).*EIO/,
    torn: true,
    fast: [1, 2, 3, 5],
  },
  {
    title: 'EIO from fdatasync from the N-th call on, every N',
    rules: n => [`fdatasync *.ndjson ${n}+ errno EIO`],
    says: /^LOG_SYNC: .*the disk did not confirm.*EIO/,
    fast: [1, 3],
  },
  {
    title: 'EIO from fsync of a side file or of a directory',
    rules: n =>
      n > 3
        ? []
        : ([['fsync *.torn-* 1 errno EIO'], ['fsync */errors-* 1 errno EIO'], ['sync * 1+ errno EIO']][
            n - 1
          ] ?? []),
    says: /^(WRITE_FAILED|LOG_SYNC|LOG_UNUSABLE): .*EIO/,
    torn: true,
  },
  {
    title: 'slow fdatasync (+5 ms each)',
    rules: n => (n === 1 ? ['fdatasync *.ndjson 1+ delay 5'] : []),
    says: undefined,
  },
];

/** Syncs that fail: no acknowledgement, no second try, and the process ends at once. */
export const syncErrors: Group = { name: 'sync-errors', run: context => runFaults(context, SYNC_FAULTS) };

async function runFaults(context: Context, faults: readonly Fault[]): Promise<void> {
  for (const fault of faults) {
    const row = context.row(fault.title);
    if (context.home.shim === undefined) {
      row.leaveOut('needs Linux and gcc');
      row.end();
      continue;
    }
    for (let n = 1; n <= MOST_CALLS; n += 1) {
      if (fault.rules(n).length === 0) break;
      if (context.scale === 'fast' && fault.fast !== undefined && !fault.fast.includes(n)) {
        if (n > Math.max(...fault.fast)) break;
        continue;
      }
      if (!(await faultAt(context, row, fault, n))) break;
    }
    row.end();
  }
}

// Gives whether the fault fired: the run makes fewer than n such calls when it did not.
async function faultAt(context: Context, row: Row, fault: Fault, n: number): Promise<boolean> {
  const log = new LogTrial({
    home: context.home,
    place: context.places.disk('errors'),
    queries: 12,
    shape: { rows: 3, rowBytes: 12_000 },
    traced: true,
  });
  if (fault.torn) {
    await log.writer(['write *.ndjson 3 kill 500']).ended;
    rmSync(log.fired);
  }
  const ended = await log.writer(fault.rules(n)).ended;
  if (log.firedCount() === 0 && n > 1) {
    await log.discard();
    return false;
  }
  await row.trial(async trial => {
    if (log.firedCount() > 0) trial.injected();
    judgeEnd(trial, fault, ended, `${fault.rules(n).join('; ')}`);
    if (fault.says !== undefined) expectNoFurtherSync(trial, log);
    if (fault.takenBack === true) trial.violations(log.checkNow());
    await log.finish(trial);
    await log.verdict(trial);
  });
  return true;
}

function judgeEnd(trial: Trial, fault: Fault, ended: Ended, what: string): void {
  if (fault.says === undefined) trial.expect(ended.code === 0, `${what}: ${describe(ended)}`);
  else {
    trial.expect(ended.code === 23, `${what}: exit code 23 was due: ${describe(ended)}`);
    trial.expect(fault.says.test(ended.stderr), `${what}: not named: ${describe(ended)}`);
  }
}

// After a sync that failed the kernel may report success for bytes that it has dropped.
function expectNoFurtherSync(trial: Trial, log: LogTrial): void {
  const calls = log.calls().filter(call => call.kind === 'S' && call.path === log.log);
  const first = calls.findIndex(call => call.failed);
  if (first === -1) return;
  const again = calls.slice(first + 1).filter(call => call.pid === calls[first]?.pid);
  trial.expect(again.length === 0, `the failed sync was tried again ${again.length} times`);
}

/** Limits of the operating system that a shim does not imitate: a full file system, and `ulimit -f`. */
export const diskFull: Group = {
  name: 'disk-full',
  async run(context) {
    await onSmallDisk(context);
    await withFileLimit(context);
  },
};

async function onSmallDisk(context: Context): Promise<void> {
  const rows = [
    { row: context.row('ENOSPC on a tmpfs of 2 MB, then more space'), spoolBytes: 64 * 1024 * 1024 },
    { row: context.row('the same, results spooled there'), spoolBytes: 10_000 },
  ];
  for (const { row, spoolBytes } of rows) {
    for (let n = 0; n < context.count(2, 10); n += 1) {
      const place = await context.places.small(2 * 1024 * 1024);
      if (place === undefined) {
        row.leaveOut('only root may mount a tmpfs');
        break;
      }
      await row.trial(async trial => {
        const random = context.random(`disk-full-${n}`);
        const shape = { rows: 3, rowBytes: random.int(30_000, 120_000) };
        const log = new LogTrial({ home: context.home, place: keepMounted(place), queries: 40, shape });
        const ended = await log.writer([], { spoolBytes, parallel: random.int(1, 4) }).ended;
        if (/ENOSPC/.test(ended.stderr)) trial.injected();
        trial.expect(ended.code === 23, `exit code 23 was due: ${describe(ended)}`);
        trial.expect(/^WRITE_FAILED: /.test(ended.stderr), `not named: ${describe(ended)}`);
        // Rolled back: what is there now is whole, without any repair.
        await log.verdict(trial, { settled: [] });
        await tornOnFullDisk(trial, log, n);
        await place.resize(64 * 1024 * 1024);
        await log.finish(trial, { spoolBytes });
        await log.verdict(trial);
      });
      await place.remove();
    }
    row.end();
  }
}

// A torn end on a disk that has no room for its side file: nothing may change.
async function tornOnFullDisk(trial: Trial, log: LogTrial, n: number): Promise<void> {
  const content = log.content();
  const torn = Buffer.concat([
    content,
    Buffer.from('{"unit":"torture","query":"q'),
    Buffer.alloc(n === 0 ? 0 : n),
  ]);
  const filler = join(log.log, '..', 'filler');
  writeFileSync(log.log, torn);
  fill(filler);
  const ended = await log.writer().ended;
  trial.expect(ended.code === 23, `a torn end on a full disk: exit code 23 was due: ${describe(ended)}`);
  trial.expect(
    /cannot be saved aside: ENOSPC/.test(ended.stderr),
    `a torn end on a full disk: ${describe(ended)}`,
  );
  trial.expect(log.content().equals(torn), 'the log was changed on a full disk');
  rmSync(filler);
}

function fill(path: string): void {
  for (let size = 64 * 1024; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: 'a' });
    } catch {
      // Full for this size.
    }
  }
}

// The mount outlives the verdict in the middle of the trial.
function keepMounted(place: Place): Place {
  return { ...place, remove: async () => {} };
}

async function withFileLimit(context: Context): Promise<void> {
  const row = context.row('file size limit (ulimit -f)');
  if (!isInstalled('prlimit')) {
    row.leaveOut('needs prlimit');
    return row.end();
  }
  for (let n = 0; n < context.count(2, 10); n += 1) {
    await row.trial(async trial => {
      const random = context.random(`file-limit-${n}`);
      const log = new LogTrial({
        home: context.home,
        place: context.places.disk('file-limit'),
        queries: 30,
        shape: { rows: 3, rowBytes: 20_000 },
      });
      const ended = await log.limitedWriter(random.int(100_000, 1_000_000)).ended;
      if (/EFBIG/.test(ended.stderr)) trial.injected();
      trial.expect(ended.code === 23, `exit code 23 was due: ${describe(ended)}`);
      trial.expect(
        /^WRITE_FAILED: cannot append to .*EFBIG/.test(ended.stderr),
        `not named: ${describe(ended)}`,
      );
      await log.finish(trial);
      await log.verdict(trial);
    });
  }
  row.end();
}
