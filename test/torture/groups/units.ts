import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type AnsweringServer, startAnswers } from '../answers.js';
import { type Child, start } from '../child.js';
import { queryNames } from '../expected.js';
import { describe } from '../log-trial.js';
import type { Place } from '../places.js';
import { type Context, type Group, inParallel, type Row } from '../tally.js';
import { answeredQueries, UnitTrial } from '../unit-trial.js';

// 100 queries: 82 normal, 9 skipped and 9 that fail each time, so that every whole run ends with 20.
const QUERIES = 100;
const SHAPE = { rows: 3, rowBytes: 2_000 };

function newUnit(context: Context, answers: AnsweringServer, place: Place): UnitTrial {
  return new UnitTrial({ home: context.home, place, url: answers.url, ...answeredQueries(QUERIES, SHAPE) });
}

/** `qrun unit` itself, killed by SIGKILL at random, in mid-write, and as a whole process group. */
export const unitKill: Group = {
  name: 'unit-kill',
  async run(context) {
    const answers = await startAnswers();
    answers.delayMs = 3;
    const random = context.row('qrun unit: SIGKILL at random moments');
    await inParallel(context.count(2, 25), 2, n => killedUnit(context, answers, random, n, 'random'));
    random.end();
    const group = context.row('qrun unit: process group killed, as pueue does');
    await inParallel(context.count(1, 15), 2, n => killedUnit(context, answers, group, n, 'group'));
    group.end();
    const write = context.row('qrun unit: SIGKILL in a write or sync of log, sidecar or lease');
    if (context.home.shim === undefined) write.leaveOut('needs Linux and gcc');
    else await inParallel(context.count(3, 30), 2, n => killedUnit(context, answers, write, n, 'write'));
    write.end();
    await answers.stop();
    const embedded = context.row('qrun unit on the embedded engine: SIGKILL at random moments');
    if (!(await hasChdb())) embedded.leaveOut('needs the package chdb');
    else for (let n = 0; n < context.count(1, 10); n += 1) await killedEmbedded(context, embedded, n);
    embedded.end();
  },
};

async function hasChdb(): Promise<boolean> {
  try {
    await import('chdb/connection');
    return true;
  } catch {
    return false;
  }
}

// The data directory has a lock of its own, which must be free at once after a kill.
async function killedEmbedded(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const names = queryNames(60);
    const sql = (name: string) => `SELECT '${name}' AS q, number AS i FROM system.numbers LIMIT 3`;
    const unit = new UnitTrial({
      ...{ home: context.home, place: context.places.disk('embedded') },
      sql: Object.fromEntries(names.map(name => [name, sql(name)])),
      rows: name => [0, 1, 2].map(i => JSON.stringify({ q: name, i })),
    });
    const random = context.random(`embedded-${n}`);
    for (let round = 0; round < 3; round += 1) {
      const run = unit.run({ concurrency: random.int(1, 8), leader: true });
      await untilEvents(unit, random.int(1, 5), run);
      if (random.chance(0.5)) run.kill('SIGKILL');
      else run.killGroup('SIGKILL');
      const ended = await run.ended;
      if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
      else trial.expect(ended.code === 0, `a run: ${describe(ended)}`);
      unit.observe();
    }
    await unit.finish(trial, 0);
    await unit.verdict(trial, { settled: names, audit: 'complete' });
  });
}

// Until so many more queries are recorded; the events file is all that tells.
async function untilEvents(unit: UnitTrial, count: number, run: Child): Promise<void> {
  const recorded = (): number => unit.readEvents().filter(event => event.type === 'query_recorded').length;
  for (const before = recorded(); !run.done() && recorded() < before + count; ) await sleep(2);
}

const KILL_RULES = [
  'write *.ndjson 2 kill 400',
  'write *.ndjson 3 kill 900',
  'write *.runs 1 kill 500',
  'fdatasync *.ndjson 2 kill 1000',
  'write *.ndjson 1 kill 1000',
  'write *.lease 1 kill 500',
  'fdatasync *.runs 1 kill 0',
  'write *.runs 2 kill 300',
  'create *.ndjson 1 kill 1000',
  'write *.ndjson 5 kill 1',
] as const;

async function killedUnit(
  context: Context,
  answers: AnsweringServer,
  row: Row,
  n: number,
  how: 'random' | 'group' | 'write',
): Promise<void> {
  await row.trial(
    async trial => {
      const random = context.random(`unit-kill-${how}-${n}`);
      const unit = newUnit(context, answers, context.places[n % 2 === 0 ? 'disk' : 'memory']('unit-kill'));
      for (let round = 0; round < 3; round += 1) {
        const concurrency = random.int(1, 16);
        const rule = KILL_RULES[(n * 3 + round) % KILL_RULES.length] ?? '';
        const run = unit.run({
          concurrency,
          ...(how === 'write' ? { rules: [rule] } : {}),
          ...(how === 'group' ? { leader: true } : {}),
        });
        if (how !== 'write') {
          await Promise.race([answers.arrivals(answers.arrived.length + random.int(1, 40)), run.ended]);
          await sleep(random.int(0, 15));
          if (how === 'group') run.killGroup('SIGKILL');
          else run.kill('SIGKILL');
        }
        const ended = await run.ended;
        if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
        else trial.expect(ended.code === 20, `a run: ${describe(ended)}`);
        unit.observe();
      }
      await unit.finish(trial, 20);
      // Before the verdict, which removes what holds.
      const told = unit.readEvents().filter(event => event.type === 'log_repaired').length;
      const { sides } = await unit.verdict(trial, { audit: 'errors' });
      // A repair that was killed itself has told nobody.
      trial.expect(
        told <= sides.length && sides.length - told <= 1,
        `${sides.length} side files, ${told} were told`,
      );
    },
    { mayMiss: how !== 'write' },
  );
}

/** Two processes on one unit: one runs, the other is told who does. */
export const unitOwner: Group = {
  name: 'unit-owner',
  async run(context) {
    const answers = await startAnswers();
    const two = context.row('two qrun on one unit');
    for (let n = 0; n < context.count(2, 20); n += 1) await twoRuns(context, answers, two, n);
    two.end();
    const stopped = context.row('second qrun while the owner is stopped (SIGSTOP)');
    await secondWhileStopped(context, answers, stopped);
    stopped.end();
    const reuse = context.row('owner killed, its process id given to another process');
    for (let n = 0; n < context.count(1, 10); n += 1) if (!(await reusedPid(context, answers, reuse))) break;
    reuse.end();
    await answers.stop();
  },
};

async function twoRuns(context: Context, answers: AnsweringServer, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const unit = newUnit(context, answers, context.places.disk('two'));
    const from = answers.arrived.length;
    let release = (): void => {};
    answers.hold = new Promise(resolve => {
      release = resolve;
    });
    const first = unit.run({ concurrency: 4 });
    await answers.arrivals(from + 4);
    // As pueue does after a restart: a second one for the same job, and one more at the very same time.
    const others = Array.from({ length: 1 + (n % 2) }, () => unit.run({ limitMs: 20_000 }));
    for (const other of others) {
      const ended = await other.ended;
      trial.injected();
      trial.expect(ended.code === 22, `the second: exit code 22 was due: ${describe(ended)}`);
      trial.expect(ended.stderr.includes(`pid ${first.pid} `), `the owner is not named: ${describe(ended)}`);
    }
    answers.hold = undefined;
    release();
    const ended = await first.ended;
    trial.expect(ended.code === 20, `the owner: ${describe(ended)}`);
    trial.expect(
      answers.arrived.length - from === QUERIES,
      `${answers.arrived.length - from} queries were run`,
    );
    await unit.finish(trial, 20);
    await unit.verdict(trial, { audit: 'errors' });
  });
}

async function secondWhileStopped(context: Context, answers: AnsweringServer, row: Row): Promise<void> {
  await row.trial(async trial => {
    const unit = newUnit(context, answers, context.places.disk('owner-stopped'));
    answers.delayMs = 20;
    const first = unit.run({ concurrency: 4 });
    await answers.arrivals(answers.arrived.length + 10);
    first.kill('SIGSTOP');
    trial.injected();
    const second = await unit.run({ limitMs: 20_000 }).ended;
    trial.expect(second.code === 22, `the second: exit code 22 was due: ${describe(second)}`);
    trial.expect(second.stderr.includes(`pid ${first.pid} `), `the owner is not named: ${describe(second)}`);
    first.kill('SIGCONT');
    const ended = await first.ended;
    trial.expect(ended.code === 20, `the owner: ${describe(ended)}`);
    await unit.verdict(trial, { audit: 'errors' });
    answers.delayMs = 0;
  });
}

const LAST_PID = '/proc/sys/kernel/ns_last_pid';

// Gives false where process ids cannot be chosen.
async function reusedPid(context: Context, answers: AnsweringServer, row: Row): Promise<boolean> {
  try {
    writeFileSync(LAST_PID, readFileSync(LAST_PID));
  } catch {
    row.leaveOut('only root may choose process ids');
    return false;
  }
  await row.trial(async trial => {
    const unit = newUnit(context, answers, context.places.disk('pid'));
    answers.delayMs = 20;
    const owner = unit.run({ concurrency: 4 });
    await answers.arrivals(answers.arrived.length + 10);
    owner.kill('SIGKILL');
    await owner.ended;
    const impostor = await processWithPid(context, owner.pid);
    if (impostor === undefined) return;
    trial.injected();
    answers.delayMs = 0;
    await unit.finish(trial, 20);
    trial.expect(!impostor.done(), 'the other process had ended before the run');
    impostor.kill('SIGKILL');
    await impostor.ended;
    await unit.verdict(trial, { audit: 'errors' });
  });
  return true;
}

// Others start processes at the same time, so that it may take some tries.
async function processWithPid(context: Context, pid: number): Promise<Child | undefined> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    writeFileSync(LAST_PID, String(pid - 1));
    const child = start(context.home, 'sleep', ['60']);
    if (child.pid === pid) return child;
    child.kill('SIGKILL');
    await child.ended;
  }
  return undefined;
}

/** Disk faults as `qrun unit` reports them: exit code and stderr, for every file that it writes. */
export const unitDisk: Group = {
  name: 'unit-disk',
  async run(context) {
    const answers = await startAnswers();
    const row = context.row('qrun unit: failing calls on log, lock, lease, sidecar and spool');
    if (context.home.shim === undefined) row.leaveOut('needs Linux and gcc');
    else {
      // In the fast share every other one.
      const step = context.count(2, 1);
      const count = Math.floor(UNIT_FAULTS.length / step);
      await inParallel(count, 2, n => failingCall(context, answers, row, n * step));
    }
    row.end();
    const full = context.row('qrun unit: 0 to 160 KB left on the disk of the log');
    for (let kilobytes = 0; kilobytes <= 160; kilobytes += context.count(80, 4)) {
      if (!(await littleSpace(context, answers, full, kilobytes))) break;
    }
    full.end();
    await answers.stop();
  },
};

const UNIT_FAULTS: readonly (readonly [rules: string, says: RegExp | undefined])[] = [
  ['write *.ndjson 2 full 500', /cannot append to .*ENOSPC/],
  ['fdatasync *.ndjson 2 errno EIO', /the disk did not confirm the last append: EIO/],
  ['write *.ndjson 2 short 500', undefined],
  ['write *.runs 1 errno ENOSPC', /cannot write .*unit\.ndjson\.runs: ENOSPC/],
  // libuv goes on after a short write, and gives the short count when that fails.
  ['write *.runs 1 short 500;write *.runs 2+ errno ENOSPC', /cannot write .*unit\.ndjson\.runs: ENOSPC/],
  ['write *.runs 1 short 500', undefined],
  ['write *.runs 2 errno EIO', /cannot write .*unit\.ndjson\.runs: EIO/],
  ['fdatasync *.runs 1 errno EIO', /cannot write .*unit\.ndjson\.runs: EIO/],
  ['create *.runs 1 errno EACCES', /cannot write .*unit\.ndjson\.runs: EACCES/],
  ['write *.lease 1 errno ENOSPC', /cannot write .*\.lease.*ENOSPC/],
  ['write *.lease 1 errno EIO', /cannot write .*\.lease.*EIO/],
  ['write *.lease 1 short 500', undefined],
  ['write *.lease 1 short 500;write *.lease 2+ errno ENOSPC', /cannot write .*\.lease.*ENOSPC/],
  ['truncate *.lease 1 errno EIO', /cannot write .*\.lease.*EIO/],
  ['truncate *.lease 2 errno EIO', undefined],
  ['create *.lease 1 errno ENOSPC', /cannot open the lock file .*ENOSPC/],
  ['create *.lock 1 errno EACCES', /cannot open the lock file .*EACCES/],
  ['create *.ndjson 1 errno EACCES', /cannot open the log .*EACCES/],
  ['read *.ndjson 1 errno EIO', /cannot read the log .*EIO/],
];

async function failingCall(context: Context, answers: AnsweringServer, row: Row, n: number): Promise<void> {
  const [rule, says] = UNIT_FAULTS[n] ?? ['', undefined];
  await row.trial(async trial => {
    const unit = newUnit(context, answers, context.places.disk('unit-disk'));
    if (rule.startsWith('read')) await unit.run({ args: ['--limit', '20'] }).ended;
    const ended = await unit.run({ rules: [rule] }).ended;
    if (unit.firedCount() > 0) trial.injected();
    if (says === undefined)
      trial.expect(ended.code === 20, `${rule}: exit code 20 was due: ${describe(ended)}`);
    else {
      trial.expect(ended.code === 23, `${rule}: exit code 23 was due: ${describe(ended)}`);
      trial.expect(says.test(ended.stderr), `${rule}: not named: ${describe(ended)}`);
    }
    await unit.finish(trial, 20);
    await unit.verdict(trial, { audit: 'errors' });
  });
}

async function littleSpace(
  context: Context,
  answers: AnsweringServer,
  row: Row,
  kilobytes: number,
): Promise<boolean> {
  const small = await context.places.small(Math.max(4096, kilobytes * 1024));
  if (small === undefined) {
    row.leaveOut('only root may mount a tmpfs');
    return false;
  }
  await row.trial(async trial => {
    const unit = new UnitTrial({
      home: context.home,
      place: context.places.disk('little-space'),
      url: answers.url,
      ...answeredQueries(QUERIES, SHAPE),
      logDirectory: small.directory,
    });
    if (kilobytes === 0) writeFileSync(`${small.directory}/filler`, Buffer.alloc(4096));
    trial.injected();
    const ended = await unit.run().ended;
    trial.expect(ended.code === 23, `${kilobytes} KB: exit code 23 was due: ${describe(ended)}`);
    trial.expect(ended.stderr.includes('ENOSPC'), `${kilobytes} KB: not named: ${describe(ended)}`);
    await small.resize(16 * 1024 * 1024);
    await unit.finish(trial, 20);
    await unit.verdict(trial, { audit: 'errors' });
  });
  await small.remove();
  return true;
}
