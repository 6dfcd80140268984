// Writes schema/<name>.schema.json from each src/**/<name>.schema.ts, as compiled to dist:
//
//   node scripts/schemas.mjs           writes what differs
//   node scripts/schemas.mjs --check   writes nothing; names what differs, and exits 1 if anything does
//
// schema/record.schema.json is written by hand, because it says more than the types of the source do.

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TARGET = join(ROOT, 'schema');
const BY_HAND = 'record.schema.json';
const SOURCE_END = '.schema.ts';

const { jsonSchemaOf } = await import(pathToFileURL(join(ROOT, 'dist', 'core', 'schema.js')).href);

const wanted = new Map();
for (const path of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })) {
  if (!path.endsWith(SOURCE_END)) continue;
  const { schema, isInput } = await import(pathToFileURL(join(ROOT, 'dist', path.replace(/ts$/, 'js'))).href);
  const name = basename(path, SOURCE_END);
  if (wanted.has(`${name}.schema.json`)) throw new Error(`two sources are named ${name}${SOURCE_END}`);
  wanted.set(`${name}.schema.json`, `${JSON.stringify(jsonSchemaOf(name, schema, { isInput }), null, 2)}\n`);
}

const present = readdirSync(TARGET).filter(name => name !== BY_HAND);
const gone = present.filter(name => !wanted.has(name));
const other = [...wanted].filter(([name, text]) => {
  const path = join(TARGET, name);
  return !existsSync(path) || readFileSync(path, 'utf8') !== text;
});

if (process.argv.includes('--check')) {
  const differing = [...gone, ...other.map(([name]) => name)].map(name => `schema/${name}`);
  if (differing.length > 0) {
    console.error(`does not match the source: ${differing.join(', ')}; npm run build writes them`);
    process.exitCode = 1;
  }
} else {
  for (const name of gone) rmSync(join(TARGET, name));
  for (const [name, text] of other) writeFileSync(join(TARGET, name), text);
}
