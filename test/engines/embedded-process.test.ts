import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openEmbedded } from '../../src/io/engines/embedded/engine.js';

const root = join(import.meta.dirname, '../..');
const directory = mkdtempSync(join(tmpdir(), 'qrun-embedded-'));
const dataDirectory = join(directory, 'data');
const endless = 'select sum(sipHash64(number)) as s from system.numbers';
afterAll(() => rmSync(directory, { recursive: true, force: true }));

// A process that does not end by itself is killed, and then has no exit code.
const LIMIT_MS = 15_000;

// Compiled, because only the process that vitest starts can read TypeScript.
const built = join(root, 'node_modules', '.cache', `qrun-embedded-${process.pid}`);
beforeAll(() => {
  const options = ['--ignoreConfig', '--outDir', built, '--rootDir', join(root, 'src'), '--target', 'ES2023'];
  const modules = ['--module', 'NodeNext', '--types', 'node', '--skipLibCheck', '--noCheck'];
  const files = ['src/io/engines/embedded/engine.ts', 'src/core/sql/parse.ts'].map(file => join(root, file));
  execFileSync(process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'),
    ...files,
    ...options,
    ...modules,
  ]);
  writeFileSync(join(built, 'package.json'), '{"type":"module"}');
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

async function runScript(body: string): Promise<{ code: number | null; output: string; errors: string }> {
  const script = `
      import { openEmbedded } from './io/engines/embedded/engine.js';
      import { parseQuery } from './core/sql/parse.js';
      const dataDirectory = ${JSON.stringify(dataDirectory)};
      const spool = { directory: ${JSON.stringify(directory)}, thresholdBytes: 1000000 };
      const open = () => openEmbedded({ dataDirectory, concurrency: 4, spool, settings: {} }, new AbortController().signal);
      const run = (engine, sql, timeoutMs) => engine.run({ query: parseQuery(sql), queryId: 'q', parameters: {},
        settings: {}, timeoutMs, signal: new AbortController().signal });
      ${body}`;
  const file = join(built, `script-${Math.random()}.mjs`);
  writeFileSync(file, script);
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  let errors = '';
  child.stdout.on('data', data => (output += data));
  child.stderr.on('data', data => (errors += data));
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(limit);
  return { code, output, errors };
}

test('ends by itself after close, although queries were running', async () => {
  const { code, output, errors } = await runScript(`
      const engine = await open();
      const all = [run(engine, ${JSON.stringify(endless)}, 0), run(engine, 'select number from system.numbers', 0)];
      await new Promise(resolve => setTimeout(resolve, 200));
      await engine.close();
      for (const result of await Promise.all(all)) console.log(result.failure.name);`);
  expect({ code, output, errors }).toEqual({ code: 0, output: 'ABORTED\nABORTED\n', errors: '' });
});

test('that exits without close is not held by a query whose result nobody reads', async () => {
  const { code } = await runScript(`
      const engine = await open();
      run(engine, 'select number from system.numbers', 1000);
      setTimeout(() => process.exit(7), 200);`);
  expect(code).toBe(7);
});

test('finds the directory locked, and writes nothing to standard error about it', async () => {
  const engine = await openEmbedded(
    { dataDirectory, concurrency: 1, spool: { directory, thresholdBytes: 1000 }, settings: {} },
    new AbortController().signal,
  );
  const { code, output, errors } = await runScript(`
      await open().catch(error => console.log(error.code, error.message.includes('process ${process.pid}')));`);
  expect({ code, output, errors }).toEqual({ code: 0, output: 'DATA_LOCKED true\n', errors: '' });
  await engine.close();
});

test('keeps its first time zone, and refuses another without changing that of the process', async () => {
  const { output, errors } = await runScript(`
      const inZone = timeZone => openEmbedded({ dataDirectory, timeZone, concurrency: 1, spool, settings: {} },
        new AbortController().signal);
      await (await inZone('UTC')).close();
      const refused = await inZone('Asia/Tokyo').catch(error => error);
      console.log(refused.code, process.env.TZ, new Date().getTimezoneOffset());
      await (await inZone('UTC')).close();`);
  expect({ output, errors }).toEqual({ output: 'CONFIG UTC 0\n', errors: '' });
});
