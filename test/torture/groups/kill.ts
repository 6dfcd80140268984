import { setTimeout as sleep } from 'node:timers/promises';
import { isInstalled } from '../child.js';
import { describe, LogTrial } from '../log-trial.js';
import { type Context, type Group, inParallel, type Row } from '../tally.js';

/** SIGKILL in mid-write: three writers, each killed again and again within a write(2) of the log. */
export const killWrite: Group = {
  name: 'kill-write',
  async run(context) {
    if (context.home.shim === undefined) {
      const row = context.row('SIGKILL in mid-write');
      row.leaveOut('needs Linux and gcc');
      return row.end();
    }
    for (const where of ['disk', 'memory'] as const) {
      const type = where === 'disk' ? context.places.diskType : 'tmpfs';
      const row = context.row(`SIGKILL in mid-write, 3 writers (${type})`);
      const random = context.random(`kill-write-${where}`);
      await inParallel(context.count(2, 30), 1, () =>
        killedInWrite(context, row, where, random.int(0, 2 ** 31)),
      );
      row.end();
    }
  },
};

async function killedInWrite(
  context: Context,
  row: Row,
  where: 'disk' | 'memory',
  seed: number,
): Promise<void> {
  await row.trial(async trial => {
    const random = context.random(`kill-write-${seed}`);
    const place = context.places[where]('kill-write');
    const log = new LogTrial({
      home: context.home,
      place,
      queries: 60,
      shape: { rows: 3, rowBytes: random.pick([40, 2_000, 33_000]) },
      traced: true,
    });
    let repairs = 0;
    const lane = async (): Promise<void> => {
      for (let round = 0; round < 5; round += 1) {
        const perMille = random.chance(0.15) ? random.pick([0, 1000]) : random.int(1, 999);
        const rule = `write *.ndjson ${random.int(1, 6)} kill ${perMille}`;
        const writer = log.writer([rule], { shuffle: random.int(0, 1000), parallel: random.int(1, 4) });
        const ended = await writer.ended;
        repairs += ended.stdout.split('repaired').length - 1;
        if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
        else trial.expect(ended.code === 0, `a writer ended with ${describe(ended)}`);
      }
    };
    await Promise.all([lane(), lane(), lane()]);
    await log.finish(trial);
    const finding = await log.verdict(trial);
    trial.expect(repairs <= finding.sides.length, `${repairs} repairs, ${finding.sides.length} side files`);
  });
}

/** SIGKILL from outside at a random moment while groups of 8 MiB are written. */
export const killRandom: Group = {
  name: 'kill-random',
  async run(context) {
    for (const where of ['disk', 'memory'] as const) {
      const type = where === 'disk' ? context.places.diskType : 'tmpfs';
      const row = context.row(`SIGKILL at random, groups of 8 MiB (${type})`);
      let torn = 0;
      await inParallel(context.count(2, 20), 2, async n => {
        torn += await killedAtRandom(context, row, where, n);
      });
      row.note(`${torn} torn ends repaired`);
      row.end();
    }
  },
};

// A quick writer may be done before its moment comes.
const MAY_MISS = { mayMiss: true };

async function killedAtRandom(
  context: Context,
  row: Row,
  where: 'disk' | 'memory',
  n: number,
): Promise<number> {
  const random = context.random(`kill-random-${where}-${n}`);
  let torn = 0;
  await row.trial(async trial => {
    const log = new LogTrial({
      home: context.home,
      place: context.places[where]('kill-random'),
      queries: 8,
      shape: { rows: 4, rowBytes: 2 * 1024 * 1024 },
    });
    for (let round = 0; round < 4; round += 1) {
      const writer = log.writer([], { shuffle: random.int(0, 1000), parallel: 2, prepared: true });
      await writer.says('open');
      await sleep(random.int(0, 25));
      writer.kill('SIGKILL');
      const ended = await writer.ended;
      if (ended.signal === 'SIGKILL') trial.injected();
      else trial.expect(ended.code === 0, `a writer ended with ${describe(ended)}`);
      log.observe();
    }
    await log.finish(trial);
    torn = (await log.verdict(trial)).sides.length;
  }, MAY_MISS);
  return torn;
}

/** SIGKILL in every step of the repair of a torn end; the next writer repairs again. */
export const killRepair: Group = {
  name: 'kill-repair',
  async run(context) {
    const row = context.row('SIGKILL in each step of a repair');
    if (context.home.shim === undefined) {
      row.leaveOut('needs Linux and gcc');
      return row.end();
    }
    for (let round = 0; round < context.count(1, 3); round += 1) {
      for (const step of REPAIR_STEPS) await killedInRepair(context, row, [step]);
      if (context.scale === 'fast') continue;
      // The repair of a repair that was killed is killed too.
      for (const step of REPAIR_STEPS)
        await killedInRepair(context, row, [step, step, ...REPAIR_STEPS.slice(0, 2)]);
    }
    row.end();
    await killedByStrace(context);
  },
};

// The same by strace, which knows nothing of the shim: every call that a repair makes is its last one in turn.
async function killedByStrace(context: Context): Promise<void> {
  const row = context.row('the same, injected by strace');
  if (!isInstalled('strace')) {
    row.leaveOut('needs strace');
    return row.end();
  }
  for (const call of ['ftruncate', 'fsync', 'fdatasync'].slice(0, context.count(1, 3))) {
    for (let when = 1; when <= 4; when += 1) {
      const log = new LogTrial({
        home: context.home,
        place: context.places.disk('strace'),
        queries: 6,
        shape: { rows: 3, rowBytes: 20_000 },
      });
      const torn = await log.writer(['write *.ndjson 2 kill 430']).ended;
      log.observe();
      const ended = await log.stracedWriter(call, `signal=KILL:when=${when}`).ended;
      if (/PTRACE|strace: /.test(ended.stderr)) {
        row.leaveOut('strace may not trace processes here');
        return row.end();
      }
      // The run makes fewer such calls; the first is part of every repair.
      if (ended.code === 0 && when > 1) {
        await log.discard();
        break;
      }
      await row.trial(async trial => {
        trial.injected();
        trial.expect(
          torn.signal === 'SIGKILL',
          `the writer that leaves a torn end ended with ${describe(torn)}`,
        );
        trial.expect(ended.signal === 'SIGKILL', `${call} ${when}: ${describe(ended)}`);
        await log.finish(trial);
        await log.verdict(trial);
      });
    }
  }
  row.end();
}

const REPAIR_STEPS = [
  'create *.torn-* 1 kill 0',
  'create *.torn-* 1 kill 1000',
  'write *.torn-* 1 kill 0',
  'write *.torn-* 1 kill 500',
  'write *.torn-* 1 kill 1000',
  'fsync *.torn-* 1 kill 0',
  'fsync *.torn-* 1 kill 1000',
  // Of the directory: the last part of its name is that of the trial.
  'fsync */kill-repair-* 1 kill 0',
  'fsync */kill-repair-* 2 kill 0',
  'truncate *.ndjson 1 kill 0',
  'truncate *.ndjson 1 kill 1000',
  'fdatasync *.ndjson 1 kill 0',
  'fdatasync *.ndjson 1 kill 1000',
] as const;

async function killedInRepair(context: Context, row: Row, steps: readonly string[]): Promise<void> {
  await row.trial(async trial => {
    const log = new LogTrial({
      home: context.home,
      place: context.places.disk('kill-repair'),
      queries: 12,
      shape: { rows: 3, rowBytes: 20_000 },
      traced: true,
    });
    const torn = await log.writer(['write *.ndjson 3 kill 500']).ended;
    trial.expect(torn.signal === 'SIGKILL', `the writer that leaves a torn end ended with ${describe(torn)}`);
    for (const step of steps) {
      log.observe();
      const before = log.firedCount();
      const ended = await log.writer([step]).ended;
      if (log.firedCount() > before) trial.injected();
      trial.expect(
        ended.signal === 'SIGKILL' || ended.code === 0,
        `a repairing writer (${step}) ended with ${describe(ended)}`,
      );
    }
    await log.finish(trial);
    await log.verdict(trial);
  });
}
