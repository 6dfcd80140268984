import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { queryNames } from '../expected.js';
import { describe } from '../log-trial.js';
import { type Context, type Group, inParallel, type Row } from '../tally.js';
import { UnitTrial } from '../unit-trial.js';

// Two files that build on each other, in several statements and parts.
const OUTER = `DROP TABLE IF EXISTS base;
CREATE TABLE base (a UInt8) ENGINE = MergeTree ORDER BY a;
INSERT INTO base VALUES (1), (2);
INSERT INTO base VALUES (3);`;
const INNER = `DROP TABLE IF EXISTS d;
CREATE TABLE d ENGINE = MergeTree ORDER BY a AS SELECT a FROM base;
INSERT INTO d VALUES (4);`;
const RESULT = { n: 4, s: 10 };
// Fails when it has spoilt what the good one makes.
const BROKEN = `DROP TABLE IF EXISTS d;
CREATE TABLE d (a UInt8) ENGINE = MergeTree ORDER BY a;
INSERT INTO base VALUES (100);
SELECT throwIf(1);`;
const QUERIES_A_ROUND = 4;
const ROUNDS = 3;
// So many calls change something in the data directory in an undisturbed run: the chain, the copy, the opening of both.
const STEPS = { own: 206, managed: 132, copy: 77 };
// Has no divisor in common with any of these numbers.
const SPREAD = 37;
// Before the call, after it, and for a write in its middle.
const PARTS = [0, 500, 1000] as const;

/** The setup of embedded data, killed at each of its steps; what it leaves must never be used for results. */
export const setupKill: Group = {
  name: 'setup-kill',
  async run(context) {
    const own = context.row('setup of embedded data: SIGKILL at each step');
    const managed = context.row('setup in a directory of the user (--data-dir): SIGKILL at each step');
    for (const [row, managedData] of [
      [own, false],
      [managed, true],
    ] as const) {
      if (context.home.shim === undefined) row.leaveOut('needs Linux and gcc');
      else if (!(await hasChdb())) row.leaveOut('needs the package chdb');
      else await inParallel(context.count(6, 250), 2, n => killedSetup(context, row, n, managedData));
      row.end();
    }
  },
};

function removeCopies(data: string): void {
  if (!existsSync(data)) return;
  for (const name of readdirSync(data).filter(each => each.endsWith('.units')))
    rmSync(join(data, name), { recursive: true });
}

async function hasChdb(): Promise<boolean> {
  try {
    await import('chdb');
    return true;
  } catch {
    return false;
  }
}

// Three rounds on a unit, each with queries of its own: a good setup, a broken one, and the good one again. All results
// must be those of the good one.
async function killedSetup(context: Context, row: Row, n: number, managed: boolean): Promise<void> {
  await row.trial(
    async trial => {
      const names = queryNames(ROUNDS * QUERIES_A_ROUND);
      const place = context.places[n % 2 === 0 ? 'disk' : 'memory']('setup');
      const unit = new UnitTrial({
        ...{ home: context.home, place },
        sql: Object.fromEntries(
          names.map(name => [name, `SELECT '${name}' AS q, count() AS n, sum(a) AS s FROM d`]),
        ),
        rows: name => [JSON.stringify({ q: name, ...RESULT })],
      });
      const random = context.random(`setup-${managed}-${n}`);
      const data = managed ? join(place.directory, 'data') : join(place.directory, '.qrun', 'data');
      const args = managed ? ['--data-dir', data] : [];
      writeFileSync(join(place.directory, '_setup.sql'), OUTER);
      for (let round = 0; round < ROUNDS; round += 1) {
        const broken = round === 1;
        writeFileSync(join(unit.directory, '_setup.sql'), broken ? BROKEN : INNER);
        const own = names.slice(round * QUERIES_A_ROUND, (round + 1) * QUERIES_A_ROUND);
        // Then the last round has to copy what stands.
        if (round === ROUNDS - 1 && !managed) removeCopies(data);
        const steps = managed ? STEPS.managed : round === ROUNDS - 1 ? STEPS.copy : STEPS.own;
        // Each trial has a step of its own in one round, all over a run; the others end by themselves, or anywhere.
        const step = round === n % ROUNDS ? 1 + ((n * SPREAD) % steps) : random.int(1, 4 * steps);
        const part = PARTS[(n + round) % PARTS.length];
        const ended = await unit.run({
          concurrency: random.int(1, 4),
          args: [...args, ...own.flatMap(name => ['--include', name])],
          rules: [`change ${data}/* ${step} kill ${part}`],
        }).ended;
        if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
        else trial.expect(ended.code === (broken ? 2 : 0), `round ${round}: ${describe(ended)}`);
        unit.observe();
      }
      await unit.finish(trial, 0, { args });
      await unit.verdict(trial, { settled: names, audit: 'complete' });
    },
    { mayMiss: true },
  );
}
