// Runs the sample as a sweep over two hosts as a user would, with a link that is cut in the middle, measures what is
// promised of many hosts, and writes what was printed into docs/scale.md.
//
//   node scripts/scale-transcript.mjs           the transcript and the numbers (some minutes, 2 GB of files)
//   node scripts/scale-transcript.mjs --small   without the 300,960 files
//
// The hosts are real ones as far as qrun can see: an sshd and a pueued each, in network, mount and host-name namespaces
// of their own. Needs root, openssh-server, rsync, iproute2, pueue 4 (cargo install --locked pueue) and a build.
import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { seconds, timed, writePart } from './transcript.mjs';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENT = join(ROOT, 'docs', 'scale.md');
const SHOWN_ROOT = '/home/you/research';
const SHOWN_THERE = '/data/research';
const UNITS = 220;
const FILES = 1368;
const ROUNDS = 5;
const small = process.argv.includes('--small');

const scratch = mkdtempSync(join(tmpdir(), 'qs-'));
const home = join(scratch, 'build');
mkdirSync(home);
const built = spawnSync(process.execPath, [join(ROOT, 'scripts/torture-home.mjs'), home], {
  stdio: 'inherit',
});
if (built.status !== 0) process.exit(1);
const { startSshHosts } = await import(pathToFileURL(join(home, 'test/services/ssh-hosts.js')).href);

const research = join(scratch, 'research');
const qrun = join(ROOT, 'bin', 'qrun.cjs');
let all;

try {
  all = await startSshHosts('alpha', 'beta');
  makeSample();
  writePart(DOCUMENT, 'hosts', await story());
  writePart(DOCUMENT, 'hosts-numbers', await measure());
  process.stdout.write(`wrote ${DOCUMENT}\n`);
} finally {
  await all?.stop();
  rmSync(scratch, { recursive: true, force: true });
}

// The sample, and beside it two units of slow queries, so that there is something to cut.
function makeSample() {
  cpSync(join(ROOT, 'sql'), join(research, 'sql'), { recursive: true });
  for (const unit of ['a', 'b', 'c', 'd']) {
    mkdirSync(join(research, 'sql', 'late', unit), { recursive: true });
    for (let n = 0; n < 8; n += 1) {
      const rows = [0, 1, 2].map(part => `SELECT ${n} AS n, ${part} AS part`).join(' UNION ALL ');
      writeFileSync(
        join(research, 'sql', 'late', unit, `q${n}.sql`),
        `SELECT n, part, sleepEachRow(0.5) AS slept FROM (${rows}) ORDER BY part\n`,
      );
    }
  }
  writeFileSync(
    join(research, 'qrun.toml'),
    `rows_per_query = 3\nconcurrency = 2\n\n${hostsToml()}\n[sweep]\nname = "sample"\n`,
  );
}

function hostsToml() {
  return all.toml(rootOf, 'slots = 2', [process.execPath, qrun]);
}

function rootOf(host) {
  return join(host.directory, 'research');
}

async function story() {
  const parts = [];
  const show = async (text, ...args) => {
    const { stdout, code } = await call(args, { together: true });
    const exit = code === 0 ? '' : `exit ${code}\n`;
    parts.push(`${text}\n\n\`\`\`console\n$ ${['qrun', ...args].join(' ')}\n${shown(stdout)}${exit}\`\`\``);
  };
  const [alpha] = all.hosts;
  await call(['trust']);
  await show('What each host has of what a sweep needs, before anything is sent:', 'hosts', 'check');
  await show('The files go to each host:', 'hosts', 'push');
  await show('Each unit goes to one of them, by its name and their slots:', 'submit-all');
  await until(status => status.units.filter(({ state }) => state === 'complete').length >= 4);
  await show('While they run:', 'status');
  await until(status =>
    status.units.some(
      ({ unit, state, host }) => unit.includes('late') && state === 'running' && host === 'alpha',
    ),
  );
  alpha.link('down');
  await show('The link to alpha is cut. It goes on, and here nobody knows how far it is:', 'status');
  await show('Submitted again, what it has not been heard of goes to the other one:', 'submit-all');
  await delay(20_000);
  alpha.link('up');
  await show(
    'The link is back, and the audit waits for both. What ran on both counts once:',
    'audit-all',
    '--when-ended',
  );
  await show('Nothing is left to submit:', 'submit-all');
  return parts.join('\n\n');
}

async function measure() {
  const rows = [];
  for (const files of small ? [10] : [10, FILES]) {
    const name = `many-${files}`;
    const cwd = join(scratch, name);
    makeUnits(cwd, files);
    const hosts = all.toml(host => join(host.directory, name), 'slots = 2', [process.execPath, qrun]);
    writeFileSync(join(cwd, 'qrun.toml'), `rows_per_query = 3\n\n${hosts}\n[sweep]\nname = "${name}"\n`);
    // Paused, so that what is measured is the submission alone.
    for (const host of all.hosts) {
      await host.here('pueue', 'group', 'add', `qrun-${name}`);
      await host.here('pueue', 'pause', '-g', `qrun-${name}`);
    }
    await must(['trust'], { cwd });
    const total = (UNITS * files).toLocaleString('en');
    const first = await timed(() => must(['hosts', 'push'], { cwd }));
    const again = await timed(() => must(['hosts', 'push'], { cwd }), ROUNDS);
    const submitted = await timed(() => must(['submit-all'], { cwd }));
    const status = await timed(() => must(['status'], { cwd }), ROUNDS);
    const few = files < FILES;
    rows.push([`\`qrun hosts push\` of ${total} files to two hosts`, seconds(first), '']);
    rows.push(['the same again: nothing is sent', seconds(again), few ? '' : 'under 5 s']);
    rows.push([
      `\`qrun submit-all\` of ${UNITS} units of ${files.toLocaleString('en')} files to two hosts`,
      seconds(submitted),
      few ? 'under 2 s' : '',
    ]);
    rows.push([
      `\`qrun status\` of these ${UNITS} units on both hosts`,
      seconds(status),
      few ? 'under 0.5 s' : '',
    ]);
    for (const host of all.hosts) await host.here('pueue', 'reset', '-g', `qrun-${name}`, '-f');
    rmSync(cwd, { recursive: true, force: true });
  }
  const sample = await timed(() => must(['status']), ROUNDS);
  rows.push(['`qrun status` of the sample, 24 units on both hosts', seconds(sample), 'under 0.5 s']);
  const date = new Date().toISOString().slice(0, 10);
  const table = [
    '| what | measured | target |',
    '|---|---|---|',
    ...rows.map(row => `| ${row.join(' | ')} |`),
  ].join('\n');
  return `Measured on ${date} with ${cpus().length} cores for both hosts and this machine together, Node ${process.versions.node}; what can be repeated is the median of ${ROUNDS}.\n\n${table}`;
}

function makeUnits(root, files) {
  const sample = readFileSync(join(ROOT, 'sql', '2down', 'BTCUSDT_750', '2down__ofi_gt_p50.sql'), 'utf8');
  for (let unit = 0; unit < UNITS; unit += 1) {
    const directory = join(root, `p${unit % 22}`, `u${unit}`);
    mkdirSync(directory, { recursive: true });
    for (let file = 0; file < files; file += 1)
      writeFileSync(join(directory, `q${file}.sql`), `${sample}-- ${file}\n`);
  }
}

// Waits until the condition returns something.
async function until(condition) {
  const deadline = performance.now() + 300_000;
  while (performance.now() < deadline) {
    const { stdout } = await call(['status', '--json']);
    const found = condition(JSON.parse(stdout));
    if (found) return found;
    await delay(100);
  }
  throw new Error(`not within two minutes: ${condition}`);
}

async function must(args, options) {
  const end = await call(args, options);
  if (end.code !== 0) throw new Error(`qrun ${args.join(' ')} ended with ${end.code}:\n${end.stderr}`);
}

// `together`: what goes to stderr too, in the order in which it was written.
async function call(args, { cwd = research, together = false } = {}) {
  const words = [process.execPath, qrun, ...args];
  const [program, ...rest] = together ? ['sh', '-c', 'exec "$@" 2>&1', 'sh', ...words] : words;
  try {
    const { stdout, stderr } = await run(program, rest, {
      cwd,
      env: { ...all.env, LANG: 'C.UTF-8' },
      maxBuffer: 1 << 28,
    });
    return { stdout, stderr, code: 0 };
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return error;
  }
}

function shown(text) {
  let result = text.replaceAll(research, SHOWN_ROOT);
  for (const host of all.hosts)
    result = result.replaceAll(rootOf(host), SHOWN_THERE).replaceAll(host.address, `${host.name}.example`);
  return result
    .replaceAll(`${process.execPath} ${qrun}`, 'qrun')
    .replaceAll(`${qrun}`, 'qrun')
    .replace(/\n*$/, '\n');
}
