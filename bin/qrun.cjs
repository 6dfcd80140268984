#!/usr/bin/env node
'use strict';
// CommonJS on purpose: libuv reads UV_THREADPOOL_SIZE when its first thread is needed, and an ES module's
// imports need threads before its first line runs. Each query on the embedded engine holds one thread.
const { existsSync, mkdirSync, statSync } = require('node:fs');
const { enableCompileCache } = require('node:module');
const { availableParallelism } = require('node:os');
const { dirname, isAbsolute, join } = require('node:path');

process.exitCode = 1;
const [major, minor, patch] = process.versions.node.split('.').map(Number);
// undici needs 20.18.1.
if ((major * 1000 + minor) * 1000 + patch < 20018001) {
  process.stderr.write(`qrun: Node.js ${process.versions.node} is too old: 20.18.1 or later is needed\n`);
  process.exitCode = 2;
} else {
  if (!process.env.UV_THREADPOOL_SIZE) {
    const cores = availableParallelism();
    // Eight threads for each core help light queries; every load needs two.
    process.env.UV_THREADPOOL_SIZE = String(Math.max(2 * cores + 8, Math.min(128, 8 * cores + 8)));
  }
  keepCompiledCode(process.env);
  import('../dist/cli/bundle/main.js')
    .then(cli => cli.main(process))
    .catch(error => {
      const isShort = error?.code === 'EMFILE' || error?.code === 'ENFILE';
      const what = isShort ? `${error.message}\nhint: raise ulimit -n` : (error?.stack ?? error);
      process.stderr.write(`qrun: cannot start: ${what}\n`);
      process.exitCode = isShort ? 2 : 1;
    });
}

/**
 * Lets Node (22.8 and later) keep compiled code from one start to the next, in `$XDG_CACHE_HOME/qrun` or
 * `~/.cache/qrun`. Whoever can write there decides what the command does, so the directory must belong to the user
 * and be writable by nobody else. Node's default is a directory in the shared /tmp. Without the cache, a start takes
 * 50 ms longer.
 */
function keepCompiledCode({ HOME, XDG_CACHE_HOME, NODE_COMPILE_CACHE, NODE_DISABLE_COMPILE_CACHE }) {
  if (!enableCompileCache || NODE_COMPILE_CACHE || NODE_DISABLE_COMPILE_CACHE) return;
  const caches = XDG_CACHE_HOME || (HOME ? join(HOME, '.cache') : '');
  if (!isAbsolute(caches)) return;
  const directory = join(caches, 'qrun');
  try {
    for (const path of [caches, directory]) {
      if (!existsSync(path) && isOwn(dirname(path))) mkdirSync(path, { mode: 0o700 });
      if (!isOwn(path)) return;
    }
    enableCompileCache(directory);
  } catch {
    // No home directory, or a disk that is full or read-only: a run does not need the cache.
  }
}

function isOwn(path) {
  const { uid, mode } = statSync(path);
  return uid === process.getuid() && (mode & 0o022) === 0;
}
