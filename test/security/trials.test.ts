import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { ROOT, requireBuild } from '../built.js';
import { servicesRequired } from '../services/clickhouse-server.js';
import { type Tried, trialsOf } from './trials/run.js';

const LIMIT_MS = 300_000;
// A network of their own and other users: Linux, and root.
const possible = servicesRequired() || spawnSync('unshare', ['-n', 'true']).status === 0;

describe.runIf(possible)('none of these works any more', () => {
  let tried: Map<string, Tried> | undefined;
  let said = '';

  // All at once, so that they run side by side, when the first is asked for.
  function resultOf(name: string): Tried | undefined {
    if (tried === undefined) {
      requireBuild();
      const { stdout, stderr } = spawnSync(process.execPath, [`${ROOT}scripts/security.mjs`, '--json'], {
        encoding: 'utf8',
        maxBuffer: 1 << 26,
      });
      const lines = stdout.split('\n').filter(line => line.startsWith('{'));
      tried = new Map(lines.map(line => JSON.parse(line) as Tried).map(one => [one.name, one]));
      said = stderr;
    }
    return tried.get(name);
  }

  it.each(trialsOf(ROOT).map(({ name }) => name))(
    '%s',
    name => expect(resultOf(name) ?? said).toMatchObject({ state: 'gone' }),
    LIMIT_MS,
  );
});

it('no two trials have one name', () => {
  const names = trialsOf(ROOT).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});
