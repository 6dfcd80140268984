'use strict';
const { readFileSync } = require('node:fs');
const { createRequire, wrap } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

/**
 * Runs a bundle (CommonJS, ASCII) with V8's code cache from `<bundle>.cache`, which saves compiling it. A cache of
 * another version of Node, or none, only costs that time: V8 checks version and flags. The two files are made
 * together, because of the source V8 checks just the length.
 */
function loadBundle(bundle) {
  // One byte for each character, as it is in the file.
  const source = readFileSync(bundle, 'latin1');
  const cachedData = readCache(`${bundle}.cache`);
  const script = new Script(wrap(source), { filename: bundle, ...(cachedData && { cachedData }) });
  const module = { exports: {} };
  script
    .runInThisContext()
    .call(module.exports, module.exports, createRequire(bundle), module, bundle, dirname(bundle));
  return { exports: module.exports, script };
}

function readCache(path) {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}

module.exports = { loadBundle };
