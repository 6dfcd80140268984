// Makes the command start fast: all its modules in one file, dist/cli/bundle/qrun.cjs, and V8's code cache of it beside it.
// To find, read and compile 330 files takes 130 ms longer than one, and that 50 ms longer than with the cache.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { builtinModules, createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { rolldown } from 'rolldown';

const ROOT = resolve(import.meta.dirname, '..');
const BUNDLE = join(ROOT, 'dist', 'cli', 'bundle', 'qrun.cjs');
const CACHE = `${BUNDLE}.cache`;
// The exit code of a run whose server cannot be reached.
const UNREACHABLE = 24;
// The last two are native code, found by their own packages.
const OUTSIDE = new Set([...builtinModules, 'koffi', 'chdb']);
// In place of modules of Node that take milliseconds to load and are not needed by every command: each is loaded
// when its first importer is, or not at all. undici does without HTTP/2; the client package brings a transport of its
// own, and qrun gives it another.
const SUBSTITUTES = new Map([
  ['node:http2', 'module.exports = { constants: {} };'],
  [
    'https',
    `module.exports = {
      get Agent() { return require('node:https').Agent; },
      get request() { return require('node:https').request; },
    };`,
  ],
  // commander loads it, for commands that are programs of their own, of which qrun has none.
  [
    'node:child_process',
    `module.exports = { ${['ChildProcess', 'execFile', 'execFileSync', 'fork', 'spawn', 'spawnSync']
      .map(name => `get ${name}() { return require('child_process').${name}; }`)
      .join(', ')} };`,
  ],
  ...['fs/promises', 'net', 'perf_hooks', 'stream', 'timers/promises', 'tty', 'worker_threads'].map(name => [
    `node:${name}`,
    `module.exports = require('${name}');`,
  ]),
]);

async function bundle() {
  const build = await rolldown({
    input: join(ROOT, 'dist', 'cli', 'main.js'),
    platform: 'node',
    external: id => !SUBSTITUTES.has(id) && (id.startsWith('node:') || OUTSIDE.has(id)),
    plugins: [substitutes(), asDeep()],
    onLog: (_level, log) => fail(log.message),
  });
  const { output } = await build.generate({
    format: 'cjs',
    codeSplitting: false,
    // As the modules are.
    strict: true,
    // Nobody reads it, and all of it is read at each start: half as long it takes 3 ms less. Names stay, for stack traces.
    comments: { legal: true, annotation: false, jsdoc: false },
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
    // vm.Script has no import().
    dynamicImportInCjs: false,
  });
  return output[0].code;
}

function substitutes() {
  return {
    name: 'substitutes',
    resolveId: id => (SUBSTITUTES.has(id) ? `\0${id}` : undefined),
    load: id => SUBSTITUTES.get(id.slice(1)),
  };
}

// The bundle lies as deep as those modules do that look for files of the package.
function asDeep() {
  return {
    name: 'import.meta-as-deep',
    transform: {
      filter: { code: 'import.meta' },
      handler(_code, id) {
        if (resolve(id, '../../..') !== join(ROOT, 'dist'))
          fail(
            `${id}: only modules two folders deep may use import.meta: they lie as deep as the bundle does`,
          );
      },
    },
  };
}

// Read as one byte for each character. Escapes mean the same in strings, templates and regular expressions, but not
// behind a backslash, nor where a template is taken raw.
function asAscii(code) {
  const [bad] = /\\[^\0-\x7f].{0,40}|String\.raw`[^`]*[^\0-\x7f`].{0,40}/.exec(code) ?? [];
  if (bad !== undefined) fail(`cannot be written in ASCII: ${bad}`);
  return code.replace(/[^\0-\x7f]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

function write(path, content) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

// Functions that have run are in the cache, so that the command runs once, up to a server that is not there.
async function writeCache() {
  const { loadBundle, digestOf } = createRequire(import.meta.url)('../bin/load-bundle.cjs');
  // By a name that tells nothing of this machine: the cache is shipped.
  const { exports, script } = loadBundle(BUNDLE, basename(BUNDLE));
  const unit = mkdtempSync(join(tmpdir(), 'qrun-bundle-'));
  try {
    // Its own configuration, and none from above it.
    writeFileSync(join(unit, 'qrun.toml'), '');
    writeFileSync(join(unit, 'q.sql'), 'SELECT 1');
    process.argv = [process.execPath, 'qrun', 'unit', unit, '--url', 'http://127.0.0.1:1', '--log-dir', unit];
    await exports.main(process);
  } finally {
    rmSync(unit, { recursive: true });
  }
  if (process.exitCode !== UNREACHABLE) fail(`a run without a server ended with ${process.exitCode}`);
  const cache = script.createCachedData();
  write(CACHE, Buffer.concat([digestOf(readFileSync(BUNDLE), cache), cache]));
  process.exit(0);
}

function fail(text) {
  process.stderr.write(`scripts/bundle.mjs: ${text}\n`);
  process.exit(1);
}

const [, , mode] = process.argv;
if (mode === '--cache') {
  await writeCache();
} else {
  // Before the modules are built anew: until both are there again, or when one of them fails, the modules run.
  for (const path of [CACHE, BUNDLE]) rmSync(path, { force: true });
  if (mode === '--remove') process.exit(0);
  write(BUNDLE, asAscii(await bundle()));
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(QRUN|CLICKHOUSE)_/.test(name)),
  );
  const { stderr } = spawnSync(process.execPath, [import.meta.filename, '--cache'], {
    encoding: 'utf8',
    env,
  });
  if (!existsSync(CACHE)) fail(`no code cache was made:\n${stderr}`);
}
