#!/usr/bin/env node
'use strict';
// CommonJS on purpose: libuv reads UV_THREADPOOL_SIZE when its first thread is needed, and an ES module's
// imports need threads before its first line runs. Each query on the embedded engine holds one thread.
process.exitCode = 1;
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 12)) {
  process.stderr.write(`qrun: Node.js ${process.versions.node} is too old: 20.12 or later is needed\n`);
  process.exitCode = 2;
} else {
  if (!process.env.UV_THREADPOOL_SIZE) {
    const cores = require('node:os').availableParallelism();
    // Light queries can use eight for each core; all need two.
    process.env.UV_THREADPOOL_SIZE = String(Math.max(2 * cores + 8, Math.min(128, 8 * cores + 8)));
  }
  load()
    .then(cli => cli.main(process))
    .catch(error => {
      const isShort = error?.code === 'EMFILE' || error?.code === 'ENFILE';
      const what = isShort ? `${error.message}\nhint: raise ulimit -n` : (error?.stack ?? error);
      process.stderr.write(`qrun: cannot start: ${what}\n`);
      process.exitCode = isShort ? 2 : 1;
    });
}

// The bundle (scripts/bundle.mjs) or, where only the modules were built, these: the same program.
async function load() {
  const bundle = require('node:path').join(__dirname, '..', 'dist', 'cli', 'bundle', 'qrun.cjs');
  const { existsSync } = require('node:fs');
  const { loadBundle } = require('./load-bundle.cjs');
  return existsSync(bundle) ? loadBundle(bundle).exports : import('../dist/cli/main.js');
}
