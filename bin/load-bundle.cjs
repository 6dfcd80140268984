'use strict';
const { createHash } = require('node:crypto');
const { readFileSync } = require('node:fs');
const { createRequire, wrap } = require('node:module');
const { dirname } = require('node:path');
const { setFlagsFromString } = require('node:v8');
const { Script } = require('node:vm');

// Planning keeps all that it makes. V8 would conclude that what the same lines make during the run is kept too, and
// make it in the old heap, where it takes up to 300 MB before it is collected. Here, because V8 takes a code cache only
// with the flags that it was made with.
setFlagsFromString('--no-allocation-site-pretenuring');

/**
 * Runs a bundle (CommonJS, ASCII) with V8's code cache from `<bundle>.cache`, which saves compiling it.
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
