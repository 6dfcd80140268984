import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PlanQuestion } from '../../../src/local/sweep/plan-threads.js';
import { ROOT, requireBuild } from '../../built.js';
import { scratch } from '../machine/processes.js';

// The command as `npm run build` makes it.

let home: string;

beforeEach(() => {
  requireBuild();
  home = scratch();
});

async function qrun(args: readonly string[], env: Readonly<Record<string, string>> = {}, root = ROOT) {
  const { PATH = '' } = process.env;
  const { exitCode, stdout, stderr } = await execa(process.execPath, [join(root, 'bin/qrun.cjs'), ...args], {
    cwd: home,
    env: { PATH, ...env },
    extendEnv: false,
    reject: false,
  });
  return { exitCode, stdout, stderr };
}

describe('the bundle', () => {
  it('is all that the command needs besides the packages with native code', async () => {
    for (const name of ['bin', 'package.json', 'dist/cli/bundle'])
      cpSync(join(ROOT, name), join(home, 'qrun', name), { recursive: true });
    mkdirSync(join(home, 'qrun/node_modules'));
    symlinkSync(join(ROOT, 'node_modules/koffi'), join(home, 'qrun/node_modules/koffi'));
    mkdirSync(join(home, 'sql'));
    writeFileSync(join(home, 'sql/a.sql'), 'SELECT 1');
    const { exitCode, stdout, stderr } = await qrun(['plan', 'sql', '--json'], {}, join(home, 'qrun'));
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ due: 1 });
  });

  it('holds the program of the threads that plan', async () => {
    mkdirSync(join(home, 'sql'));
    writeFileSync(join(home, 'sql/a.sql'), 'SELECT 1');
    const thread = new Worker(join(ROOT, 'dist/cli/bundle/plan-worker.js'));
    const question: PlanQuestion = {
      unit: 'sql',
      directory: join(home, 'sql'),
      logPath: join(home, 'sql.ndjson'),
      linksWithin: null,
      believed: [],
      inputs: { parameters: {}, settings: {} },
      config: {
        ...{ include: [], exclude: [], shard: undefined, shuffle: undefined, limit: undefined },
        ...{
          rerun: 'none',
          allowPlaceholders: false,
          skipBad: false,
          engine: 'embedded',
          url: undefined,
          allowChanges: false,
        },
      },
      usedElsewhere: new Set(),
    };
    thread.postMessage(question);
    expect(await once(thread, 'message')).toEqual([
      { queries: 1, due: 1, bad: 0, digest: expect.stringMatching(/^[0-9a-f]{16}$/) },
    ]);
    await thread.terminate();
  });
});

describe('compiled code', () => {
  // Stands in for Node's own function, which Node 20 does not have, and says which directory it was given.
  async function directoryFor(env: Readonly<Record<string, string>>): Promise<string> {
    const stub = join(home, 'stub.cjs');
    writeFileSync(stub, "require('node:module').enableCompileCache = at => process.stderr.write(at);");
    const { exitCode, stderr } = await qrun(['--version'], { ...env, NODE_OPTIONS: `--require=${stub}` });
    expect(exitCode).toBe(0);
    return stderr;
  }

  it('is kept in a directory of the user, which is made where it is missing', async () => {
    expect(await directoryFor({ HOME: home })).toBe(join(home, '.cache/qrun'));
    for (const path of ['.cache', '.cache/qrun']) expect(statSync(join(home, path)).mode & 0o777).toBe(0o700);
  });

  it('is kept in the directory that XDG_CACHE_HOME names', async () => {
    expect(await directoryFor({ HOME: home, XDG_CACHE_HOME: join(home, 'caches') })).toBe(
      join(home, 'caches/qrun'),
    );
    expect(existsSync(join(home, '.cache'))).toBe(false);
  });

  it.each(['.cache', '.cache/qrun'])('is not kept where others can write to %s', async path => {
    mkdirSync(join(home, '.cache/qrun'), { recursive: true });
    expect(await directoryFor({ HOME: home })).not.toBe('');
    chmodSync(join(home, path), 0o777);
    expect(await directoryFor({ HOME: home })).toBe('');
  });

  it('is not kept in a home that others can write to, where nothing is made', async () => {
    chmodSync(home, 0o777);
    expect(await directoryFor({ HOME: home })).toBe('');
    expect(existsSync(join(home, '.cache'))).toBe(false);
  });

  it.runIf(process.getuid?.() === 0)("is not kept in another user's directory, as with sudo", async () => {
    mkdirSync(join(home, '.cache'));
    await execa('chown', ['65534', join(home, '.cache')]);
    expect(await directoryFor({ HOME: home })).toBe('');
    expect(readdirSync(join(home, '.cache'))).toEqual([]);
  });

  it.each([
    ['without a home', {}],
    ['with a home that is missing', { HOME: '/nonexistent/home' }],
    ['with a home that is no path', { HOME: '', XDG_CACHE_HOME: 'caches' }],
  ])('is not kept %s', async (_what, env) => {
    expect(await directoryFor(env)).toBe('');
  });

  it.each(['NODE_DISABLE_COMPILE_CACHE', 'NODE_COMPILE_CACHE'])('is left to Node with %s', async name => {
    expect(await directoryFor({ HOME: home, [name]: join(home, 'n') })).toBe('');
    expect(existsSync(join(home, '.cache'))).toBe(false);
  });
});
