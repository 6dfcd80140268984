import { writeFileSync } from 'node:fs';
import { caseAgain } from './fuzz/again.js';
import { GROUPS } from './groups/index.js';
import { openHome } from './home.js';
import { runMutations, snapshotOf } from './mutate.js';
import { openPlaces } from './places.js';
import { namedRandom } from './random.js';
import { liveLine, machineText, mutationLine, reportText, summaryLine } from './report.js';
import { PROFILE_NAMES } from './sim/profiles.js';
import { runSeed } from './sim/scenario.js';
import { type Context, failed, Row, type RowResult, type Scale } from './tally.js';

/** What the command line of `scripts/torture.mjs` asks for. */
export interface Wanted {
  /** Of the built tests. */
  readonly home: string;
  /** Of the repository. */
  readonly root: string;
  readonly fast: boolean;
  readonly only: readonly string[] | undefined;
  readonly mutations: boolean;
  /** Only the mutations whose name holds this text. */
  readonly mutation: string | undefined;
  readonly seed: number | undefined;
  readonly seeds: number | undefined;
  /** Of the simulation. */
  readonly profile: string | undefined;
  /** Of the fuzzing: how long it takes. */
  readonly minutes: number | undefined;
  /** Of the fuzzing: the case to run again, as its failure names it. */
  readonly again: string | undefined;
  readonly json: string | undefined;
  readonly report: string | undefined;
}

/** The names that `--only` takes. */
export const NAMES: readonly string[] = [...GROUPS.map(group => group.name), 'mutations'];

/** The names that `--profile` takes. */
export const PROFILES: readonly string[] = PROFILE_NAMES;

const print = (text: string): void => void process.stdout.write(`${text}\n`);

/** Runs what is wanted, prints it, and gives whether all of it held. */
export async function main(wanted: Wanted): Promise<boolean> {
  if (wanted.seed !== undefined && wanted.seeds === undefined && String(wanted.only) === 'simulation') {
    return await replay(wanted.seed);
  }
  if (wanted.again !== undefined) return await replayCase(wanted.again);
  const startedAt = new Date();
  const withMutations =
    wanted.mutations || wanted.only?.includes('mutations') || !(wanted.fast || wanted.only);
  const snapshot = withMutations ? snapshotOf(wanted.root) : undefined;
  const context = await contextOf(wanted);
  print(machineText(context.places.diskType));
  print(`seed ${context.seed}\n`);
  const names = wanted.only ?? (wanted.mutations ? [] : GROUPS.map(group => group.name));
  const rows = await runGroups(context, names, row => print(liveLine(row)));
  const kept = context.places.close({
    // What a mutation breaks is of no use to anybody.
    keep: rows.some(row => row.violations.length > 0) && process.env.TORTURE_DISCARD !== '1',
  });
  if (kept !== undefined) print(`what the failed trials left is in ${kept}`);
  if (snapshot !== undefined)
    print('\nmutation check: each safety line is removed, and a group must turn red');
  const mutants =
    snapshot !== undefined
      ? await runMutations(snapshot, wanted.mutation, mutant => print(mutationLine(mutant)))
      : [];
  const seconds = (Date.now() - startedAt.getTime()) / 1000;
  print(`\n${summaryLine(rows, mutants, seconds)}`);
  const end = { startedAt, seconds, seed: context.seed, diskType: context.places.diskType, rows, mutants };
  if (wanted.json !== undefined) writeFileSync(wanted.json, `${JSON.stringify(end, null, 2)}\n`);
  if (wanted.report !== undefined) writeFileSync(wanted.report, reportText(end));
  return (
    rows.every(row => !failed(row)) && mutants.every(mutant => mutant.red) && rows.length + mutants.length > 0
  );
}

async function contextOf(wanted: Wanted): Promise<Omit<Context, 'row'>> {
  const scale: Scale = wanted.fast ? 'fast' : 'full';
  const seed = wanted.seed ?? 1;
  return {
    scale,
    seed,
    home: await openHome(wanted.home),
    places: openPlaces(),
    count: (fast, full) => (scale === 'fast' ? fast : full),
    random: name => namedRandom(seed, name),
    ...(wanted.minutes === undefined ? {} : { minutes: wanted.minutes }),
    ...(wanted.seeds === undefined ? {} : { seeds: seedsOf(wanted, wanted.seeds) }),
  };
}

function seedsOf({ seed, profile }: Wanted, count: number): NonNullable<Context['seeds']> {
  return { from: seed ?? 1, count, ...(profile === undefined ? {} : { profile }) };
}

/** Runs groups one after the other and gives their lines; `onRow` gets each when it is there. */
export async function runGroups(
  context: Omit<Context, 'row'>,
  names: readonly string[],
  onRow: (row: RowResult) => void,
): Promise<RowResult[]> {
  const rows: RowResult[] = [];
  for (const group of GROUPS) {
    if (!names.includes(group.name)) continue;
    await group.run({
      ...context,
      row: fault =>
        new Row(group.name, fault, row => {
          rows.push(row);
          onRow(row);
        }),
    });
  }
  return rows;
}

async function replay(seed: number): Promise<boolean> {
  const { profile, violations, history } = await runSeed(seed, true);
  print(history.join('\n'));
  print(`\nseed ${seed} (${profile}): ${violations.length} violations`);
  for (const text of violations) print(`  ${text}`);
  return violations.length === 0;
}

async function replayCase(name: string): Promise<boolean> {
  const { cases, failure } = await caseAgain(name);
  print(failure ?? `${name}: ${cases} cases, none of them fails`);
  return failure === undefined && cases > 0;
}
