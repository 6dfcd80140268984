import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Child, start } from '../child.js';
import { ImportTrial } from '../import-trial.js';
import { describe } from '../log-trial.js';
import type { Random } from '../random.js';
import { type Context, type Group, inParallel, type Row, type Trial } from '../tally.js';

/** Imports of the logs of several hosts, killed at every step, at random, and by several importers at once. */
export const importKill: Group = {
  name: 'import-kill',
  async run(context) {
    const steps = context.row("import of other hosts' logs: SIGKILL in each step, 2 importers");
    if (context.home.shim === undefined) steps.leaveOut('needs Linux and gcc');
    else await inParallel(context.count(4, 280), 2, n => killedInStep(context, steps, n));
    steps.end();
    const random = context.row('the same: SIGKILL at random moments');
    await inParallel(context.count(2, 80), 2, n => killedAtRandom(context, random, n));
    random.end();
    const command = context.row('qrun collect: SIGKILL at random moments, and in a write');
    await inParallel(context.count(1, 25), 2, n => killedCommand(context, command, n));
    command.end();
  },
};

const STEPS = [
  'fdatasync *.ndjson 1 kill 0',
  'fdatasync *.ndjson 1 kill 1000',
  'fdatasync *.ndjson 2 kill 0',
  'fdatasync *.ndjson 3 kill 1000',
  'create *.ndjson 1 kill 1000',
  'create *.lock 1 kill 0',
  'create *.lock 1 kill 1000',
  'create *.torn-* 1 kill 1000',
  'write *.torn-* 1 kill 500',
  'fsync *.torn-* 1 kill 0',
  'truncate *.ndjson 1 kill 0',
  'truncate *.ndjson 1 kill 1000',
] as const;

// A source of short rows is one write; what is there after a kill is not written again.
function ruleOf(random: Random, round: number): string {
  if (round > 0 && random.chance(0.2)) return random.pick(STEPS);
  const perMille = random.chance(0.15) ? random.pick([0, 1000]) : random.int(1, 999);
  const write = round > 0 && random.chance(0.3) ? random.int(2, 4) : 1;
  return `write *.ndjson ${write} kill ${perMille}`;
}

function newTrial(context: Context, random: Random, where: 'disk' | 'memory', name: string): ImportTrial {
  return new ImportTrial({
    home: context.home,
    place: context.places[where](name),
    random,
    queries: 40,
    shape: { rows: 3, rowBytes: random.pick([40, 2_000, 33_000]) },
    hosts: random.int(2, 4),
    unit: 'torture',
    log: 'unit.ndjson',
  });
}

async function killedInStep(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const random = context.random(`import-kill-${n}`);
    const work = newTrial(context, random, n % 2 === 0 ? 'disk' : 'memory', 'import-kill');
    const lane = async (): Promise<void> => {
      for (let round = 0; round < 6; round += 1) {
        const ended = await work.importer([ruleOf(random, round)], true).ended;
        if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
        else trial.expect(ended.code === 0, `an import ended with ${describe(ended)}`);
      }
    };
    // The lease of the unit keeps importers apart; the lock alone must be enough.
    await Promise.all([lane(), lane()]);
    await work.finish(trial, true);
    await work.verdict(trial, true);
  });
}

async function killedAtRandom(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(
    async trial => {
      const random = context.random(`import-random-${n}`);
      const work = newTrial(context, random, n % 2 === 0 ? 'disk' : 'memory', 'import-random');
      for (let round = 0; round < 5; round += 1) {
        const child = work.importer();
        await child.says('open');
        await sleep(random.int(0, 60));
        await killed(trial, child);
        work.observe();
      }
      await work.finish(trial);
      await work.verdict(trial);
    },
    { mayMiss: true },
  );
}

async function killed(trial: Trial, child: Child): Promise<void> {
  child.kill('SIGKILL');
  const ended = await child.ended;
  if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
  else trial.expect(ended.code === 0, `an import ended with ${describe(ended)}`);
}

const COMMAND_STEPS = [
  'write *.lease 1 kill 500',
  'write *.runs 1 kill 500',
  'fdatasync *.runs 1 kill 0',
  'write *.ndjson 1 kill 500',
  'write *.ndjson 2 kill 100',
  'fdatasync *.ndjson 1 kill 1000',
] as const;

// With the lease, the runs, and the fingerprints of real files.
async function killedCommand(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(
    async trial => {
      const random = context.random(`import-command-${n}`);
      const place = context.places.disk('import-command');
      const { home } = context;
      writeFileSync(join(place.directory, 'qrun.toml'), 'engine = "embedded"\n');
      mkdirSync(join(place.directory, 'u'));
      const names = Array.from({ length: 40 }, (_, i) => `q${String(i).padStart(5, '0')}`);
      for (const name of names)
        writeFileSync(join(place.directory, `u/${name}.sql`), `SELECT '${name}' AS q`);
      const qrun = (args: readonly string[], rules?: readonly string[]): Child =>
        start(home, process.execPath, [home.cli, ...args], {
          cwd: place.directory,
          ...(rules === undefined ? {} : { faults: { rules, fired: work.fired } }),
        });
      const planned = await start(home, process.execPath, [home.cli, 'plan', 'u', '--json'], {
        cwd: place.directory,
      }).ended;
      const { queries } = JSON.parse(planned.stdout) as { queries: { query: string; fingerprint: string }[] };
      const prints = new Map(queries.map(({ query, fingerprint }) => [query, fingerprint]));
      const work = new ImportTrial({
        home,
        place,
        random,
        queries: 40,
        shape: { rows: 3, rowBytes: random.pick([40, 33_000]) },
        hosts: 3,
        unit: 'u',
        log: 'results/u.ndjson',
        fingerprint: query => prints.get(query) ?? '',
      });
      for (const [host, { path }] of work.hosts.entries()) {
        const copy = join(place.directory, 'results/.from', `h${host}`);
        mkdirSync(copy, { recursive: true });
        cpSync(path, join(copy, 'u.ndjson'));
        const run = {
          event: 'end',
          run: `run-h${host}-0`,
          at: '2026-01-31T12:00:00.000Z',
          recorded: { normal: 0, skipped: 0, error: 0 },
          records: 0,
          not_run: 0,
          exit_code: 0,
        };
        writeFileSync(join(copy, 'u.ndjson.runs'), `${JSON.stringify(run)}\n`);
      }
      for (let round = 0; round < 4; round += 1) {
        if (context.home.shim !== undefined && random.chance(0.6)) {
          const ended = await qrun(['collect'], [random.pick(COMMAND_STEPS)]).ended;
          if (ended.signal === 'SIGKILL' && !ended.hung) trial.injected();
          else trial.expect(ended.code === 0, `qrun collect ended with ${describe(ended)}`);
        } else {
          const child = qrun(['collect']);
          await Promise.race([sleep(random.int(150, 700)), child.ended]);
          await killed(trial, child);
        }
        work.observe();
      }
      for (const wanted of [undefined, 0]) {
        const ended = await qrun(['collect', '--json']).ended;
        trial.expect(ended.code === 0, `the last qrun collect ended with ${describe(ended)}`);
        if (wanted === undefined || ended.code !== 0) continue;
        const { logs } = JSON.parse(ended.stdout) as { logs: { appended: { groups: number } }[] };
        trial.expect(
          logs.length === 3 && logs.every(log => log.appended.groups === 0),
          `qrun collect once more: ${ended.stdout}`,
        );
      }
      const runs = readFileSync(`${work.log}.runs`, 'utf8').trim().split('\n');
      // A torn line of a killed process stays, with its end on the next one.
      const ids = runs.flatMap(line => /^\{.*"run":"([^"]+)".*\}$/.exec(line)?.[1] ?? []);
      for (const host of [0, 1, 2]) {
        const times = ids.filter(id => id === `run-h${host}-0`).length;
        trial.expect(times === 1, `the run of host ${host} is noted ${times} times`);
      }
      await work.verdict(trial);
    },
    { mayMiss: true },
  );
}
