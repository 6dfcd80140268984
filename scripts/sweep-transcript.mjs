// Runs a sweep as a user would, on its own pueue daemon and the embedded engine, with a unit that is killed and
// a daemon that dies, measures large submissions, and writes what was printed into docs/sweep.md.
//
//   node scripts/sweep-transcript.mjs           the transcript and the numbers (some minutes, 2 GB of files)
//   node scripts/sweep-transcript.mjs --small   without the units of 1,368 files
//
// Needs pueue 4 (cargo install --locked pueue) and a build (npm run build).
import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { seconds, timed, writePart } from './transcript.mjs';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DOCUMENT = join(ROOT, 'docs', 'sweep.md');
const SHOWN_ROOT = '/home/you/research';
const UNITS = 220;
const PATTERNS = 22;
const small = process.argv.includes('--small');

// Short, because the path of a socket has at most 108 bytes.
const scratch = mkdtempSync(join(tmpdir(), 'qs-'));
const config = join(scratch, 'pueue.yml');
const env = {
  PATH: `${join(ROOT, 'node_modules', '.bin')}:${process.env.PATH}:${join(homedir(), '.cargo', 'bin')}`,
  HOME: scratch,
  LANG: 'C.UTF-8',
  PUEUE_CONFIG_PATH: config,
};
const research = join(scratch, 'research');
let daemon;

try {
  for (const name of ['data', 'run', 'research']) mkdirSync(join(scratch, name));
  writeFileSync(config, pueueConfig());
  cpSync(join(ROOT, 'sql'), join(research, 'sql'), { recursive: true });
  writeFileSync(
    join(research, 'qrun.toml'),
    'rows_per_query = 3\nconcurrency = 4\n\n[sweep]\nname = "sample"\nparallel = 2\n',
  );
  await startDaemon();
  const transcript = await story();
  const numbers = await measure();
  writePart(DOCUMENT, 'transcript', transcript);
  writePart(DOCUMENT, 'numbers', numbers);
  process.stdout.write(`wrote ${DOCUMENT}\n`);
} finally {
  daemon?.kill('SIGTERM');
  if (daemon !== undefined && daemon.exitCode === null) await new Promise(end => daemon.once('exit', end));
  rmSync(scratch, { recursive: true, force: true });
}

async function story() {
  const parts = [];
  const show = async (text, command, ...args) => {
    const { stdout, stderr, code } = await call(command, args);
    const exit = code === 0 ? '' : `exit ${code}\n`;
    parts.push(
      `${text}\n\n\`\`\`console\n$ ${[command, ...args].join(' ')}\n${shown(stdout + stderr)}${exit}\`\`\``,
    );
  };
  await show(
    'The sample as a sweep, two units at a time:',
    'qrun',
    'submit-all',
    'sql',
    '--then',
    "'echo OPTIMIZE TABLE ... FINAL would run here'",
  );
  await until(status => status.units.filter(({ state }) => state === 'complete').length >= 2);
  await show(
    'While it runs, and again whenever you like; `--watch` redraws it every two seconds:',
    'qrun',
    'status',
    'sql',
  );
  await show('Submitted once more, nothing is added twice:', 'qrun', 'submit-all', 'sql');
  const killed = await until(status => status.units.find(({ state }) => state === 'running'));
  const id = await taskId(killed.unit);
  await show('Somebody kills a unit in the middle:', 'pueue', 'kill', String(id));
  await until(status => status.audit.state === 'done' || status.audit.state === 'failed');
  await show(
    'The rest continued, and the audit followed all the same, as the last task of the group:',
    'qrun',
    'status',
    'sql',
  );
  const audit = await taskId('#audit');
  const { stdout } = await call('pueue', ['log', '--json', String(audit)]);
  parts.push(
    `What the audit printed (\`pueue log\`):\n\n\`\`\`text\n${shown(JSON.parse(stdout)[audit].output)}\`\`\``,
  );
  await show('The next submission runs what is missing, and nothing else:', 'qrun', 'submit-all', 'sql');
  await until(status => status.audit.verdict === 'complete' && status.audit.state === 'done');
  await show('Run by hand, the audit is one command and an exit code:', 'qrun', 'audit-all', 'sql');
  for (const name of ['a', 'b', 'c']) {
    mkdirSync(join(research, 'sql', 'late', name), { recursive: true });
    for (let n = 0; n < 3; n += 1)
      writeFileSync(join(research, 'sql', 'late', name, `q${n}.sql`), `SELECT ${n}, sleep(1);\n`);
  }
  await call('qrun', ['submit-all', 'sql', '--rows-per-query', '1', '--parallel', '1', '-P', '1']);
  await until(status => status.units.some(({ state }) => state === 'running'));
  daemon.kill('SIGKILL');
  await new Promise(end => daemon.once('exit', end));
  await startDaemon();
  await show(
    'The daemon dies (kill -9) and is started again. Its groups are then paused, and what ran continues as an orphan that pueue does not know. Neither is hidden:',
    'qrun',
    'status',
    'sql',
    '--include',
    "'sql/late/*'",
  );
  await show(
    '',
    'qrun',
    'submit-all',
    'sql',
    '--include',
    "'sql/late/*'",
    '--resume-group',
    '--rows-per-query',
    '1',
    '-P',
    '1',
  );
  await until(status => status.units.every(({ state }) => state === 'complete'));
  return parts.join('\n\n');
}

async function measure() {
  const rows = [];
  const adds = await timed(async () => {
    await call('pueue', ['group', 'add', 'raw']);
    await call('pueue', ['pause', '-g', 'raw']);
    for (let n = 0; n < UNITS; n += 1) await run('pueue', ['add', '-g', 'raw', '--', 'true'], { env });
  });
  rows.push([`${UNITS} times \`pueue add\`, one after the other`, seconds(adds), '']);
  await call('pueue', ['reset', '-g', 'raw', '-f']);
  for (const files of small ? [10] : [10, 1368]) {
    const root = join(scratch, `s${files}`);
    makeUnits(root, files);
    const name = `qrun-s${files}`;
    await call('pueue', ['group', 'add', name]);
    await call('pueue', ['pause', '-g', name]);
    const first = await timed(() => call('qrun', ['submit-all', root], true));
    const second = await timed(() => call('qrun', ['submit-all', root], true), 3);
    const total = (UNITS * files).toLocaleString('en');
    rows.push([
      `\`qrun submit-all\` of ${UNITS} units of ${files.toLocaleString('en')} files (${total} read and checked)`,
      seconds(first),
      files === 10 ? 'under 4 s' : 'under 20 s',
    ]);
    rows.push([`the same again: nothing is added`, seconds(second), 'under 3 s']);
    if (files === 10)
      rows.push([
        'the state of pueue after it',
        `${Math.round(readFileSync(join(scratch, 'data', 'state.json')).length / 1024)} KiB`,
        '',
      ]);
    if (files === 1368) {
      const lines = makeLogs(root, files);
      await run('sync');
      const status = await timed(() => call('qrun', ['status', root], true), 3);
      rows.push([
        `\`qrun status\` of ${UNITS} units whose logs hold ${lines.toLocaleString('en')} lines`,
        seconds(status),
        'under 2 s',
      ]);
    }
    await call('pueue', ['reset', '-g', name, '-f']);
    rmSync(root, { recursive: true, force: true });
  }
  const date = new Date().toISOString().slice(0, 10);
  const { stdout: cores } = await run('nproc');
  const table = [
    '| what | measured | target |',
    '|---|---|---|',
    ...rows.map(row => `| ${row.join(' | ')} |`),
  ].join('\n');
  return `Measured on ${date} with ${cores.trim()} cores, Node ${process.versions.node}, pueue ${(await run('pueue', ['--version'], { env })).stdout.replace(/\D*/, '').trim()}; values that can be measured repeatedly are medians of three runs.\n\n${table}`;
}

function makeUnits(root, files) {
  const sample = readFileSync(join(ROOT, 'sql', '2down', 'BTCUSDT_750', '2down__ofi_gt_p50.sql'), 'utf8');
  for (let unit = 0; unit < UNITS; unit += 1) {
    const directory = join(root, `p${unit % PATTERNS}`, `u${unit}`);
    mkdirSync(directory, { recursive: true });
    for (let file = 0; file < files; file += 1)
      writeFileSync(join(directory, `q${file}.sql`), `${sample}-- ${file}\n`);
  }
  writeFileSync(join(root, 'qrun.toml'), 'rows_per_query = 3\n');
}

// Logs as a finished sweep leaves them: three records per query.
function makeLogs(root, files) {
  mkdirSync(join(root, 'results'), { recursive: true });
  const row = JSON.stringify({ barrier_profile: 'inverted', win_rate: 0.8097, signals: 1234 });
  let lines = 0;
  for (let unit = 0; unit < UNITS; unit += 1) {
    const id = `p${unit % PATTERNS}/u${unit}`;
    const text = [];
    for (let file = 0; file < files; file += 1) {
      for (let part = 1; part <= 3; part += 1) {
        const rest = `,"query_id":"qrun-x-${file}-1","started_at":"2026-01-31T12:00:00.123Z","duration_ms":12.4,"row":${row}}`;
        text.push(
          `{"unit":"${id}","query":"q${file}","part":${part},"parts":3,"outcome":"normal","fingerprint":"1b186ea28cf92dc2","attempt":1,"run":"x","rest_bytes":${rest.length}${rest}\n`,
        );
      }
    }
    lines += text.length;
    writeFileSync(join(root, 'results', `${id.replace('/', '__')}.ndjson`), text.join(''));
  }
  return lines;
}

async function taskId(name) {
  const { tasks } = JSON.parse((await call('pueue', ['status', '--json'])).stdout);
  const found = Object.values(tasks).filter(({ label }) => label === `qrun:sample:${name}`);
  return found.at(-1).id;
}

// Waits until the condition returns something.
async function until(condition) {
  const deadline = performance.now() + 120_000;
  while (performance.now() < deadline) {
    const { stdout } = await call('qrun', ['status', 'sql', '--json']);
    const found = condition(JSON.parse(stdout));
    if (found) return found;
    await delay(100);
  }
  throw new Error(`not within two minutes: ${condition}`);
}

async function call(command, args, mustSucceed = false) {
  const plain = args.map(arg => arg.replace(/^'(.*)'$/, '$1'));
  try {
    const { stdout, stderr } = await run(command, plain, { cwd: research, env, maxBuffer: 1 << 28 });
    return { stdout, stderr, code: 0 };
  } catch (error) {
    if (mustSucceed || typeof error.code !== 'number') throw error;
    return error;
  }
}

async function startDaemon() {
  daemon = spawn('pueued', ['-c', config], { env, stdio: 'ignore' });
  for (;;) {
    if ((await call('pueue', ['group', '--json'])).code === 0) return;
    await delay(50);
  }
}

function pueueConfig() {
  return [
    'shared:',
    `  pueue_directory: ${join(scratch, 'data')}`,
    `  runtime_directory: ${join(scratch, 'run')}`,
    `  alias_file: ${join(scratch, 'aliases.yml')}`,
    '  use_unix_socket: true',
    `  unix_socket_path: ${join(scratch, 's')}`,
    'client: {}',
    'daemon: {}',
    '',
  ].join('\n');
}

function shown(text) {
  return text
    .replaceAll(research, SHOWN_ROOT)
    .replace(/ on \S+ since /g, ' on host since ')
    .replace(/\n*$/, '\n');
}
