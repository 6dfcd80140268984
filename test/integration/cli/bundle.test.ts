import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { ROOT, requireBuild } from '../../built.js';
import { scratch } from '../machine/processes.js';

// The command as `npm run build` makes it: one file and V8's code cache of it.

// A copy in which the modules are missing, unless they are wanted.
function installed({ modules = false } = {}): { readonly home: string; readonly bundle: string } {
  requireBuild();
  const home = scratch();
  const bundle = join(home, 'dist', 'cli', 'bundle', 'qrun.cjs');
  for (const name of ['bin', 'package.json']) cpSync(join(ROOT, name), join(home, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
  mkdirSync(join(home, 'dist', 'cli', 'bundle'), { recursive: true });
  if (modules) cpSync(join(ROOT, 'dist'), join(home, 'dist'), { recursive: true });
  for (const end of ['', '.cache'])
    cpSync(join(ROOT, 'dist', 'cli', 'bundle', `qrun.cjs${end}`), `${bundle}${end}`);
  return { home, bundle };
}

async function plan(home: string) {
  const unit = join(home, 'sql');
  mkdirSync(unit, { recursive: true });
  writeFileSync(join(unit, 'a.sql'), 'SELECT 1');
  const { PATH = '' } = process.env;
  const options = { cwd: home, env: { PATH }, extendEnv: false, reject: false };
  const { exitCode, stdout, stderr } = await execa(
    process.execPath,
    [join(home, 'bin', 'qrun.cjs'), 'plan', 'sql', '--json'],
    options,
  );
  return { exitCode, stderr, due: (JSON.parse(stdout) as { due: number }).due };
}

// What V8 says of the cache: `undefined` where it was given none. It takes one only with the flags of its making.
async function rejection(home: string, bundle: string): Promise<string> {
  const script = `
    const { script } = require('./bin/load-bundle.cjs').loadBundle(process.argv[1]);
    process.stdout.write(String(script.cachedDataRejected));`;
  return (await execa(process.execPath, ['-e', script, bundle], { cwd: home })).stdout;
}

const PLANNED = { exitCode: 0, stderr: '', due: 1 };

describe('the bundle', () => {
  it('is all that the command needs besides the packages with native code', async () => {
    const { home } = installed();
    expect(readdirSync(join(home, 'dist'))).toEqual(['cli']);
    expect(await plan(home)).toEqual(PLANNED);
  });

  it('is used where it is, and the modules where it is not', async () => {
    const { home, bundle } = installed({ modules: true });
    writeFileSync(join(home, 'dist', 'cli', 'main.js'), 'throw new Error("the modules");');
    expect(await plan(home)).toEqual(PLANNED);
    cpSync(join(ROOT, 'dist', 'cli', 'main.js'), join(home, 'dist', 'cli', 'main.js'));
    rmSync(bundle);
    expect(await plan(home)).toEqual(PLANNED);
  });

  it('comes with a code cache that V8 takes', async () => {
    const { home, bundle } = installed();
    expect(await rejection(home, bundle)).toBe('false');
  });

  it('gives V8 no cache that a disk has changed, nor one of another bundle of the same length', async () => {
    const { home, bundle } = installed();
    const cache = readFileSync(`${bundle}.cache`);
    const changed = Buffer.from(cache);
    changed[200_000] = (changed[200_000] ?? 0) ^ 1;
    writeFileSync(`${bundle}.cache`, changed);
    expect(await rejection(home, bundle)).toBe('undefined');
    expect(await plan(home)).toEqual(PLANNED);
    writeFileSync(`${bundle}.cache`, cache);
    const source = readFileSync(bundle, 'latin1');
    const other = source.replace('no ClickHouse server answers', 'No ClickHouse server answers');
    expect([other === source, other.length]).toEqual([false, source.length]);
    writeFileSync(bundle, other);
    expect(await rejection(home, bundle)).toBe('undefined');
  });

  it.each([
    ['missing', (cache: string) => rmSync(cache)],
    ['of another program', (cache: string) => writeFileSync(cache, 'not a cache')],
    ['cut off', (cache: string) => truncateSync(cache, 10_000)],
    ['empty', (cache: string) => truncateSync(cache, 0)],
  ])('runs with a cache that is %s', async (_what, harm) => {
    const { home, bundle } = installed();
    expect(existsSync(`${bundle}.cache`)).toBe(true);
    harm(`${bundle}.cache`);
    expect(await plan(home)).toEqual(PLANNED);
  });
});
