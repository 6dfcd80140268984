import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ended } from '../child.js';
import { describe } from '../log-trial.js';
import type { Random } from '../random.js';
import { type Context, type Group, inParallel, type Row, type Trial } from '../tally.js';
import { UnitTrial } from '../unit-trial.js';

/** The embedded engine takes the process down, by a query, by somebody else, or while the journal is written. */
export const deaths: Group = {
  name: 'deaths',
  async run(context) {
    const query = context.row('embedded engine: queries that take the process down');
    const outside = context.row('the same, and SIGKILL from outside at random moments');
    const write = context.row('the same, and SIGKILL or an error in a write of the journal');
    if (!(await hasChdb())) for (const row of [query, outside, write]) row.leaveOut('needs the package chdb');
    else {
      await inParallel(context.count(1, 40), 2, n => killers(context, query, n));
      await inParallel(context.count(2, 60), 2, n => killedToo(context, outside, n));
      if (context.home.shim === undefined) write.leaveOut('needs Linux and gcc');
      else await inParallel(context.count(3, 2 * RULES.length), 2, n => brokenJournal(context, write, n));
    }
    for (const row of [query, outside, write]) row.end();
  },
};

async function hasChdb(): Promise<boolean> {
  try {
    await import('chdb');
    return true;
  } catch {
    return false;
  }
}

// SYSTEM KILL ends the process by _exit(128 + SIGKILL); SQL that may use files may do that too.
const MAY_KILL = ['--allow-files'];
const DIED = 137;

/** A unit with some queries that kill. */
class DeadlyUnit {
  readonly unit: UnitTrial;
  readonly killers: readonly string[];
  readonly innocent: readonly string[];
  /** Those that ran alone when somebody else killed the process. */
  readonly metAlone = new Set<string>();

  constructor(context: Context, random: Random) {
    const names = Array.from({ length: random.int(4, 30) }, (_, n) => `d${String(n).padStart(3, '0')}`);
    const killers = new Set(
      Array.from({ length: random.int(1, 3) }, () => names[random.int(0, names.length - 1)]),
    );
    this.killers = names.filter(name => killers.has(name));
    this.innocent = names.filter(name => !killers.has(name));
    const sqlOf = (name: string): string =>
      killers.has(name)
        ? `SYSTEM KILL -- ${name}`
        : `SELECT '${name}' AS q, number AS i FROM system.numbers LIMIT 3` +
          (random.chance(0.3) ? ' SETTINGS max_block_size = 1' : '');
    this.unit = new UnitTrial({
      ...{ home: context.home, place: context.places[random.chance(0.5) ? 'disk' : 'memory']('deaths') },
      sql: Object.fromEntries(names.map(name => [name, sqlOf(name)])),
      rows: name => [0, 1, 2].map(i => JSON.stringify({ q: name, i })),
    });
  }

  get journal(): string {
    return `${this.unit.log}.inflight`;
  }

  /** Whoever killed the process meets what runs alone. */
  noteAlone(): void {
    const text = existsSync(this.journal) ? readFileSync(this.journal, 'utf8') : '';
    for (const [, name] of text.matchAll(/^\{"query":"([^"]+)".*"alone":true\}/gm))
      this.metAlone.add(name ?? '');
  }

  /** Starts it until no process dies any more; each killer may cost two starts, and one more is the last. */
  async untilDone(trial: Trial, concurrency: () => number): Promise<Ended> {
    for (let start = 1; ; start += 1) {
      const ended = await this.unit.run({ concurrency: concurrency(), args: MAY_KILL }).ended;
      this.unit.observe();
      if (ended.code === DIED) trial.injected();
      const most = 2 * this.killers.length + 1;
      if (ended.code === DIED && start < most) continue;
      trial.expect(
        ended.code === 20,
        `exit code 20 was due at start ${start} of ${most}: ${describe(ended)}`,
      );
      return ended;
    }
  }

  /** Only the killers stand as error, everything else is settled once, and nobody was blamed without a reason. */
  async verdict(trial: Trial): Promise<void> {
    const final = new Map<string, string>();
    for (const line of this.unit.content().toString('utf8').split('\n').slice(0, -1)) {
      const { query, outcome, error } = JSON.parse(line) as Record<string, string> & {
        error?: { name: string };
      };
      final.set(query ?? '', outcome ?? '');
      if (outcome !== 'error') continue;
      trial.expect((error as unknown as { name: string }).name === 'ENGINE_DIED', `another error: ${line}`);
      const isGuilty = this.killers.includes(query ?? '') || this.metAlone.has(query ?? '');
      trial.expect(isGuilty, `${query} was blamed, and has killed nobody`);
    }
    const standing = [...final].filter(([, outcome]) => outcome === 'error').map(([query]) => query);
    trial.expect(
      String(standing.sort()) === String(this.killers),
      `${standing} stand as error, ${this.killers} were due`,
    );
    await this.unit.verdict(trial, { settled: this.innocent, audit: 'errors' });
  }
}

async function killers(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const random = context.random(`deaths-${n}`);
    const deadly = new DeadlyUnit(context, random);
    await deadly.untilDone(trial, () => random.int(1, 16));
    // Once more: they are tried again, and end as errors again.
    await deadly.untilDone(trial, () => random.int(1, 16));
    await deadly.verdict(trial);
  });
}

async function killedToo(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const random = context.random(`deaths-outside-${n}`);
    const deadly = new DeadlyUnit(context, random);
    for (let round = 0; round < random.int(2, 4); round += 1) {
      const run = deadly.unit.run({ concurrency: random.int(1, 16), args: MAY_KILL, leader: true });
      // From before the engine is open until behind the end of most runs.
      await Promise.race([run.ended, sleep(random.int(200, 1200))]);
      if (random.chance(0.5)) run.kill('SIGKILL');
      else run.killGroup('SIGKILL');
      const ended = await run.ended;
      if (ended.signal === 'SIGKILL' && !ended.hung) {
        trial.injected();
        deadly.noteAlone();
      }
      deadly.unit.observe();
    }
    await deadly.untilDone(trial, () => random.int(1, 16));
    // Whoever was blamed because of somebody else's kill has been tried again behind this.
    await deadly.untilDone(trial, () => random.int(1, 16));
    await deadly.verdict(trial);
  });
}

const RULES = [
  'write *.inflight.tmp 1 kill 400',
  'write *.inflight.tmp 1 errno ENOSPC',
  'create *.inflight.tmp 1 errno EACCES',
  'write *.inflight* 2 kill 0',
  'write *.inflight* 2 kill 1000',
  'write *.inflight* 3 kill 300',
  'write *.inflight* 4 kill 0',
  'write *.inflight* 5 kill 1000',
  'write *.inflight* 3 errno EIO',
  'write *.inflight* 7+ errno EIO',
] as const;

async function brokenJournal(context: Context, row: Row, n: number): Promise<void> {
  const rule = RULES[n % RULES.length] ?? '';
  await row.trial(async trial => {
    const random = context.random(`deaths-journal-${n}`);
    const deadly = new DeadlyUnit(context, random);
    for (let round = 0; round < 2; round += 1) {
      const before = deadly.unit.firedCount();
      const run = deadly.unit.run({ concurrency: random.int(1, 8), args: MAY_KILL, rules: [rule] });
      const ended = await run.ended;
      trial.expect(
        ended.code === DIED || ended.signal === 'SIGKILL' || ended.code === 20,
        `${rule}: it should have died: ${describe(ended)}`,
      );
      // A run that dies early may not come to the write that fails.
      if (rule.includes('errno') && deadly.unit.firedCount() > before) {
        trial.expect(
          ended.stderr.split('cannot be noted').length === 2,
          `${rule}: not said once: ${describe(ended)}`,
        );
      }
      if (ended.signal === 'SIGKILL') deadly.noteAlone();
      deadly.unit.observe();
    }
    if (deadly.unit.firedCount() > 0) trial.injected();
    await deadly.untilDone(trial, () => random.int(1, 16));
    await deadly.untilDone(trial, () => random.int(1, 16));
    await deadly.verdict(trial);
  });
}
