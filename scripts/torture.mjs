// Proves that no fault loses, tears or doubles a result: `npm run torture` (up to 30 minutes). See docs/torture.md.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = resolve(import.meta.dirname, '..');
const USAGE = `usage: node scripts/torture.mjs [options]
  --fast            the part that npm run test:all includes
  --only NAME,...   only these groups (--list shows them); mutations is one of them
  --mutations       only the mutation check
  --mutation TEXT   only the mutations whose name contains this text
  --seed N          another choice of moments and places; with --only simulation: replays this seed
  --seeds COUNT     this many simulated histories, from --seed (or 1) on
  --profile NAME    with --seeds: only histories of this kind
  --minutes N       how long the group fuzz feeds generated cases to the code that reads foreign input (10)
  --case TEXT       with --only fuzz: repeats the case that a failure names
  --json FILE       the numbers as JSON
  --report FILE     the numbers as Markdown
  --list            the names of the groups
Exit code: 0 when everything held, 1 when something did not, 2 when nothing could be tried.`;

function fail(text) {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}

function options() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  try {
    return parseArgs({
      options: {
        ...{ fast: flag, mutations: flag, list: flag, help: flag },
        ...{
          only: text,
          mutation: text,
          seed: text,
          seeds: text,
          profile: text,
          minutes: text,
          case: text,
          json: text,
          report: text,
        },
      },
    }).values;
  } catch (error) {
    return fail(`${error.message}\n${USAGE}`);
  }
}

function wholeNumber(name, value) {
  if (value === undefined) return undefined;
  if (!/^\d{1,15}$/.test(value)) fail(`--${name} ${value}: must be a whole number`);
  return Number(value);
}

// A separate build, which no other build can change meanwhile.
function build() {
  const home = mkdtempSync(join(tmpdir(), 'qrun-torture-home-'));
  const args = [join(ROOT, 'scripts/torture-home.mjs'), home];
  const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (status !== 0) fail('the tests could not be built');
  return home;
}

const wanted = options();
if (wanted.help) {
  process.stdout.write(`${USAGE}\n`);
  process.exit(0);
}
const seed = wholeNumber('seed', wanted.seed);
const seeds = wholeNumber('seeds', wanted.seeds);
const home = build();
process.on('exit', () => rmSync(home, { recursive: true, force: true }));
// Exit through the exit handlers, which end what was started and remove what was created.
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
]) {
  process.on(signal, () => process.exit(code));
}
const { main, NAMES, PROFILES } = await import(pathToFileURL(join(home, 'test/torture/run.js')).href);
if (wanted.list) {
  process.stdout.write(`${NAMES.join('\n')}\n`);
  process.exit(0);
}
const only = wanted.only?.split(',');
for (const name of only ?? []) if (!NAMES.includes(name)) fail(`--only ${name}: one of ${NAMES.join(', ')}`);
const { fast, mutation, profile, json, report, case: again } = wanted;
const minutes = wholeNumber('minutes', wanted.minutes);
if (again !== undefined && String(only) !== 'fuzz') fail('--case is for --only fuzz');
const mutations = wanted.mutations || mutation !== undefined;
if (profile !== undefined && !PROFILES.includes(profile)) {
  fail(`--profile ${profile}: one of ${PROFILES.join(' | ')}`);
}
const held = await main({
  home,
  root: ROOT,
  fast,
  only,
  mutations,
  mutation,
  seed,
  seeds,
  profile,
  minutes,
  again,
  json,
  report,
});
process.exit(held ? 0 : 1);
