'use strict';
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { createRequire, wrap } = require('node:module');
const { dirname } = require('node:path');
const { Script } = require('node:vm');

/**
 * Runs a bundle (CommonJS, ASCII) with V8's code cache from `<bundle>.cache`, which saves compiling it.
 *
 * No flag of V8 may be set before: V8 takes a code cache only with the flags that it was made with, this one and that of
 * each of Node's own modules, which then takes three times as long to load.
 *
 * The cache begins with {@link digestOf} of both. V8 itself checks version, flags and lengths, and would run what a bad
 * disk, or a cache of another bundle of the same length, gives it. One that does not fit, or none, only costs time.
 * `name` is what stack traces call it; it becomes part of a cache that is made of the script, and not of its key.
 */
function loadBundle(bundle, name = bundle) {
  const source = readFileSync(bundle);
  const cachedData = readCache(`${bundle}.cache`, source);
  // One byte for each character, as it is in the file.
  const script = new Script(wrap(source.toString('latin1')), {
    filename: name,
    ...(cachedData && { cachedData }),
  });
  const module = { exports: {} };
  script
    .runInThisContext()
    .call(module.exports, module.exports, createRequire(bundle), module, bundle, dirname(bundle));
  return { exports: module.exports, script };
}

function digestOf(source, cachedData) {
  return createHash('sha256').update(source).update(cachedData).digest();
}

function readCache(path, source) {
  try {
    const bytes = readFileSync(path);
    const cachedData = bytes.subarray(32);
    return digestOf(source, cachedData).equals(bytes.subarray(0, 32)) ? cachedData : undefined;
  } catch {
    return undefined;
  }
}

module.exports = { loadBundle, digestOf };
