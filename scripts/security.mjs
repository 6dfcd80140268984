// Repeats, against the built command, every attack that once succeeded, and prints a line for each.
//
//   node scripts/security.mjs              all of them, about two minutes; needs Linux, root and a build (npm run build)
//   node scripts/security.mjs --only TEXT  those whose name contains this text
//   node scripts/security.mjs --json       one line of JSON for each
//
// The trials use real users (setpriv), real clones (git), their own servers and their own network, so that a server can
// have an address that does not belong to this machine although nothing leaves the machine.
// The exit code is 0 only when all attacks were tried and none succeeds.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = resolve(import.meta.dirname, '..');
const HOST = '10.77.0.1';

let wanted;
try {
  wanted = parseArgs({ options: { only: { type: 'string' }, json: { type: 'boolean' } } }).values;
} catch (error) {
  end(`${error.message}; known are --only TEXT and --json`);
}
if (process.env.QRUN_TRIALS_INSIDE !== '1') {
  if (process.platform !== 'linux' || process.getuid() !== 0) end('this needs Linux, and root: other users');
  if (!existsSync(join(ROOT, 'dist/cli/bundle/main.js'))) end('nothing is built: npm run build');
  const script = `ip link set lo up && ip addr add ${HOST}/32 dev lo && exec "$@"`;
  const command = [process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const { status } = spawnSync('unshare', ['-n', '-m', '--', 'sh', '-c', script, 'sh', ...command], {
    stdio: 'inherit',
    env: { ...process.env, QRUN_TRIALS_INSIDE: '1' },
  });
  process.exit(status ?? 2);
}

// The trials are built from the current sources: they are not part of qrun's build.
const home = mkdtempSync(join(tmpdir(), 'qrun-trials-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));
const tsc = [
  join(ROOT, 'node_modules/typescript/bin/tsc'),
  '-p',
  join(ROOT, 'test/security/trials/tsconfig.json'),
];
if (spawnSync(process.execPath, [...tsc, '--outDir', home], { stdio: 'inherit' }).status !== 0)
  end('no build');
symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
const { tryAll } = await import(pathToFileURL(join(home, 'test/security/trials/run.js')).href);

const counts = { gone: 0, open: 0, 'left out': 0 };
const since = performance.now();
await tryAll({ root: ROOT, qrun: join(ROOT, 'bin/qrun.cjs'), host: HOST, only: wanted.only }, tried => {
  counts[tried.state] += 1;
  // What a hostile server or tree made qrun say must not reach this terminal either.
  const saw = JSON.stringify(tried.saw).slice(1, -1);
  process.stdout.write(
    wanted.json ? `${JSON.stringify(tried)}\n` : `${tried.state.padEnd(9)}${tried.name}\n         ${saw}\n`,
  );
});
const seconds = Math.round((performance.now() - since) / 1000);
const text = `${counts.gone} gone, ${counts.open} open, ${counts['left out']} left out; ${seconds} s\n`;
(wanted.json ? process.stderr : process.stdout).write(text);
process.exit(counts.open === 0 && counts['left out'] === 0 && counts.gone > 0 ? 0 : 1);

function end(message) {
  process.stderr.write(`scripts/security.mjs: ${message}\n`);
  process.exit(2);
}
