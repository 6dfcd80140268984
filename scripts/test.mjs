// Runs the tests. `npm test`: what is possible with what is installed, and at the end what was left out and why.
// `npm run test:all` (--all): installs what the tests need where it can, and counts whatever is missing as failed.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { delimiter, join, relative, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const REPORT = join(ROOT, '.cache', 'test-report.json');

// Command -> Debian package. The servers that these packages bring are never started as the machine's services.
const PACKAGES = {
  'clickhouse-server': 'clickhouse-server',
  'clickhouse-client': 'clickhouse-client',
  flock: 'util-linux',
  strace: 'strace',
  gcc: 'gcc',
  openssl: 'openssl',
  script: 'bsdutils',
  setpriv: 'util-linux',
  tmux: 'tmux',
  zsh: 'zsh',
  fish: 'fish',
  git: 'git',
};

const all = process.argv.includes('--all');
const env = { ...process.env, ...(all ? { QRUN_REQUIRE_SERVICES: '1' } : {}) };

function isInstalled(command) {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return directories.some(directory => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function run(command, args, options = {}) {
  process.stdout.write(`\n> ${command} ${args.join(' ')}\n`);
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', env, ...options });
  if (error !== undefined) process.stdout.write(`${error.message}\n`);
  return status === 0;
}

function install() {
  const missing = Object.keys(PACKAGES).filter(command => !isInstalled(command));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map(command => PACKAGES[command]))];
  const sudo = process.getuid?.() === 0 ? [] : isInstalled('sudo') ? ['sudo', '-n'] : undefined;
  if (!isInstalled('apt-get') || sudo === undefined) {
    process.stdout.write(
      `cannot install ${packages.join(', ')} here: that needs apt-get, and root or sudo\n`,
    );
    return;
  }
  const apt = (...args) => {
    const [command, ...rest] = [...sudo, 'env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', '-qq', ...args];
    return run(command, rest);
  };
  apt('update');
  apt('install', '-y', '--no-install-recommends', ...packages);
}

function vitest(args) {
  rmSync(REPORT, { force: true });
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${REPORT}`];
  const ok = run('npx', ['--no-install', 'vitest', 'run', ...args, ...reporters]);
  let report;
  try {
    report = JSON.parse(readFileSync(REPORT, 'utf8'));
  } catch {
    return { ok: false, passed: 0, failed: 1, leftOut: [] };
  }
  const leftOut = report.testResults.flatMap(file =>
    file.assertionResults
      .filter(({ status }) => status === 'pending' || status === 'skipped' || status === 'todo')
      .map(({ fullName }) => `${relative(ROOT, file.name)}: ${fullName}`),
  );
  // A file that could not be loaded has no tests that could fail.
  const broken = report.testResults.filter(
    file => file.status === 'failed' && file.assertionResults.length === 0,
  );
  return { ok, passed: report.numPassedTests, failed: report.numFailedTests + broken.length, leftOut };
}

if (all) install();
const built = run('npm', ['run', '--silent', 'build']) && run('npm', ['run', '--silent', 'check']);
const coverage = ['--coverage', '--coverage.include=src/core/**', '--coverage.thresholds.lines=95'];
const results = built
  ? [
      vitest(['test/unit', ...coverage]),
      vitest(['--exclude=test/unit/**', ...(all ? [] : ['--exclude=test/e2e/**'])]),
    ]
  : [];

const sum = pick => results.map(pick).reduce((a, b) => a + b, 0);
const leftOut = results.flatMap(result => result.leftOut);
const missing = Object.keys(PACKAGES).filter(command => !isInstalled(command));
process.stdout.write('\n');
if (!all) process.stdout.write('left out: test/e2e (installs the package anew; npm run test:all runs it)\n');
if (missing.length > 0) process.stdout.write(`not installed: ${missing.join(', ')}\n`);
for (const name of leftOut.slice(0, 40)) process.stdout.write(`left out: ${name}\n`);
if (leftOut.length > 40) process.stdout.write(`left out: ${leftOut.length - 40} more\n`);
const passed = sum(result => result.passed);
const failed = sum(result => result.failed) + (built ? 0 : 1) + (all ? leftOut.length : 0);
const ok = built && results.every(result => result.ok) && failed === 0;
if (!ok && failed === 0)
  process.stdout.write('failed: see above (coverage, or an error outside of a test)\n');
process.stdout.write(`${passed} passed, ${ok ? 0 : Math.max(1, failed)} failed\n`);
process.exitCode = ok ? 0 : 1;
