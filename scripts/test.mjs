// Runs the tests, and prints at the end what was left out and why.
//
//   node scripts/test.mjs        what is possible on this machine as it is
//   node scripts/test.mjs --all  installs what the tests need (Debian, as root or with sudo), then runs every
//                                test, with coverage, and the packed project on several versions of Node; a test
//                                that is left out counts as failed
//
// The last line is `N passed, N failed`. The exit code is 0 only when nothing failed.
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const all = process.argv.includes('--all');
const unknown = process.argv.slice(2).filter(argument => argument !== '--all');
if (unknown.length > 0) {
  process.stderr.write(`scripts/test.mjs: unknown argument ${unknown.join(' ')}; the only one is --all\n`);
  process.exit(2);
}

// Programs that the tests use, with the Debian package of each.
const PROGRAMS = {
  'clickhouse-server': 'clickhouse-server',
  'clickhouse-client': 'clickhouse-client',
  haproxy: 'haproxy',
  flock: 'util-linux',
  setpriv: 'util-linux',
  strace: 'strace',
  gcc: 'gcc',
  openssl: 'openssl',
  // Two hosts, each with an sshd of its own.
  ssh: 'openssh-client',
  sshd: 'openssh-server',
  rsync: 'rsync',
  ip: 'iproute2',
  // A cluster of two nodes.
  slurmctld: 'slurm-wlm',
  sbatch: 'slurm-wlm',
  munged: 'munge',
  script: 'bsdutils',
  tmux: 'tmux',
  zsh: 'zsh',
  fish: 'fish',
  ksh: 'ksh',
  tcsh: 'tcsh',
  git: 'git',
  python3: 'python3',
  jq: 'jq',
  'lowntfs-3g': 'ntfs-3g',
  'systemd-run': 'systemd',
  'dbus-daemon': 'dbus-daemon',
};
// Not in Debian: installed by the clients of their own registries, in the tested versions.
const PUEUE_VERSION = '4.0.4';
const MISE_VERSION = '2026.9.15';
// Where test/services looks for them: where `cargo install` puts programs, and the project's own cache.
const CARGO_BIN = join(homedir(), '.cargo', 'bin');
const TOOLS = join(ROOT, '.cache', 'tools');

// Share of the lines of src/core that test/unit alone must cover.
const CORE_LINES_PERCENT = 95;

const MAX_LINES = 60;

const startedMs = performance.now();
const scratch = mkdtempSync(join(tmpdir(), 'qrun-tests-'));
const totals = { passed: 0, failed: 0 };
const leftOut = [];
const brokenSteps = [];

try {
  if (all) {
    installPrograms();
    installTools();
  }
  // What an earlier build left must not be tested or packed.
  rmSync(join(ROOT, 'dist'), { recursive: true, force: true });
  if (step('build', ['npm', 'run', 'build'])) {
    step('lint and types', ['npm', 'run', 'check']);
    runTests();
  }
  probe();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
report();

function runTests() {
  const coverage = [
    '--coverage.enabled',
    '--coverage.provider=v8',
    '--coverage.include=src/core/**/*.ts',
    '--coverage.reporter=text-summary',
    `--coverage.reportsDirectory=${join(scratch, 'coverage')}`,
    `--coverage.thresholds.lines=${CORE_LINES_PERCENT}`,
  ];
  vitest('unit tests', ['test/unit', 'test/architecture.test.ts', ...(all ? coverage : [])]);
  // Everything else, so that no new directory is forgotten.
  const known = ['test/unit/**', 'test/e2e/**', 'test/torture/**', 'test/architecture.test.ts'];
  vitest('tests with files, processes and servers', [
    ...known.flatMap(pattern => ['--exclude', pattern]),
    // They wait for processes and servers most of the time.
    '--maxWorkers=2',
  ]);
  // Separately, because their processes are killed, stopped and measured at moments that other tests would shift.
  vitest('fault injection', ['test/torture', '--maxWorkers=2']);
  if (all) vitest('the packed project', ['test/e2e'], { QRUN_E2E: '1' });
  else
    leftOut.push(
      'test/e2e, the packed project on several versions of Node: takes a minute; npm run test:all',
    );
}

/** Runs vitest once and adds up what its JSON report says. */
function vitest(title, args, env = {}) {
  const file = join(scratch, `${title.replaceAll(/\W+/g, '-')}.json`);
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`];
  const services = all ? { QRUN_REQUIRE_SERVICES: '1' } : {};
  const before = totals.failed;
  const ok = run(title, ['npx', 'vitest', 'run', ...args, ...reporters], { ...services, ...env });
  let results;
  try {
    results = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    brokenSteps.push(`${title}: vitest wrote no report`);
    return;
  }
  totals.passed += results.numPassedTests;
  totals.failed += results.numFailedTests;
  for (const suite of results.testResults) {
    const name = relative(ROOT, suite.name);
    // A file that cannot even be loaded has no tests to count.
    if (suite.status === 'failed' && !suite.assertionResults.some(test => test.status === 'failed')) {
      totals.failed += 1;
      process.stdout.write(`${name}: ${suite.message}\n`);
    }
    const skipped = suite.assertionResults.filter(
      test => test.status !== 'passed' && test.status !== 'failed',
    );
    for (const { fullName } of skipped) leftOut.push(`${name}: ${fullName}`);
    if (all) totals.failed += skipped.length;
  }
  if (!ok && totals.failed === before)
    brokenSteps.push(`${title}: no test failed, but vitest did (see above)`);
}

/** Notes why tests may have been left out. */
function probe() {
  if (leftOut.length === 0) return;
  const missing = Object.keys(PROGRAMS).filter(program => !isInstalled(program));
  if (!isInstalled('pueued', [CARGO_BIN])) {
    leftOut.unshift('because pueue is not installed (cargo install --locked pueue)');
  }
  if (!isInstalled('mise', [join(TOOLS, 'node_modules', '.bin')])) {
    leftOut.unshift('because mise is not installed (https://mise.jdx.dev)');
  }
  for (const program of missing)
    leftOut.unshift(`because ${program} is not installed (apt-get install ${PROGRAMS[program]})`);
  if (process.getuid?.() !== 0) leftOut.unshift('because this user is not root: full disks, other users');
  try {
    createRequire(join(ROOT, 'package.json')).resolve('chdb');
  } catch {
    leftOut.unshift('because chdb is not installed: the embedded engine (npm install)');
  }
  if (process.env.QRUN_TEST_URL !== undefined) {
    leftOut.unshift(
      'because QRUN_TEST_URL names a server that is not ours to stop, with users that are not ours',
    );
  }
}

function installPrograms() {
  const missing = Object.keys(PROGRAMS).filter(program => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(program => PROGRAMS[program]))];
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
  if (!isInstalled('apt-get') || (sudo.length > 0 && spawnSync('sudo', ['-n', 'true']).status !== 0)) {
    leftOut.push(`cannot install ${packages.join(', ')}: this needs Debian, and root or sudo`);
    return;
  }
  const apt = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-q', '-y'];
  // Tells the package's scripts not to start a service; the tests start their own servers.
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  if (ours) {
    const file = join(scratch, 'policy-rc.d');
    writeFileSync(file, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    const [program, ...args] = [...sudo, 'install', '-m', '755', file, policy];
    spawnSync(program, args, { stdio: 'inherit' });
  }
  try {
    step('package lists', [...sudo, ...apt, 'update']);
    step(`install ${packages.join(' ')}`, [
      ...sudo,
      ...apt,
      'install',
      '--no-install-recommends',
      ...packages,
    ]);
  } finally {
    const [program, ...args] = [...sudo, 'rm', '-f', policy];
    if (ours) spawnSync(program, args, { stdio: 'inherit' });
  }
}

/** Installs pueue, which takes three minutes to compile and stays where cargo puts it, and mise. */
function installTools() {
  if (!isInstalled('pueue', [CARGO_BIN]) || !isInstalled('pueued', [CARGO_BIN])) {
    if (isInstalled('cargo', [CARGO_BIN])) {
      step(`compile pueue ${PUEUE_VERSION}`, [
        isInstalled('cargo') ? 'cargo' : join(CARGO_BIN, 'cargo'),
        'install',
        '--locked',
        '--quiet',
        `pueue@${PUEUE_VERSION}`,
      ]);
    } else leftOut.push(`cannot compile pueue: cargo is missing (https://rustup.rs), Rust 1.88 or later`);
  }
  if (isInstalled('mise', [join(TOOLS, 'node_modules', '.bin')])) return;
  mkdirSync(TOOLS, { recursive: true });
  const mise = `@jdxcode/mise@${MISE_VERSION}`;
  step(`install mise ${MISE_VERSION}`, ['npm', 'install', '--silent', '--no-save', '--prefix', TOOLS, mise]);
}

/** Runs a command that must succeed. */
function step(title, command) {
  const ok = run(title, command);
  if (!ok) brokenSteps.push(`${title} failed`);
  return ok;
}

function run(title, [program, ...args], env = {}) {
  process.stdout.write(`\n== ${title}\n`);
  const since = performance.now();
  const { status } = spawnSync(program, args, {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  process.stdout.write(`== ${title}: ${status === 0 ? 'ok' : 'FAILED'}, ${seconds(since)}\n`);
  return status === 0;
}

function isInstalled(program, elsewhere = []) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', ...elsewhere];
  return folders.some(folder => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function seconds(since) {
  return `${Math.round((performance.now() - since) / 1000)} s`;
}

function report() {
  process.stdout.write(`\n${leftOut.length === 0 ? 'Nothing was left out.' : 'Left out:'}\n`);
  for (const line of leftOut.slice(0, MAX_LINES)) process.stdout.write(`  ${line}\n`);
  if (leftOut.length > MAX_LINES) process.stdout.write(`  and ${leftOut.length - MAX_LINES} more\n`);
  for (const line of brokenSteps) process.stdout.write(`FAILED: ${line}\n`);
  process.stdout.write(`Took ${seconds(startedMs)}.\n`);
  const failed = totals.failed + brokenSteps.length;
  process.stdout.write(`${totals.passed} passed, ${failed} failed\n`);
  process.exitCode = failed > 0 || totals.passed === 0 ? 1 : 0;
}
