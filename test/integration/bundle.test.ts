import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { ROOT, requireBuild } from '../built.js';
import { scratch } from './processes.js';

// The command as `npm run build` makes it: one file and V8's code cache of it.

// A copy in which the modules are missing, unless they are wanted.
function installed({ modules = false } = {}): { readonly home: string; readonly bundle: string } {
  requireBuild();
  const home = scratch();
  const bundle = join(home, 'dist', 'cli', 'qrun.cjs');
  for (const name of ['bin', 'package.json']) cpSync(join(ROOT, name), join(home, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
  mkdirSync(join(home, 'dist', 'cli'), { recursive: true });
  if (modules) cpSync(join(ROOT, 'dist'), join(home, 'dist'), { recursive: true });
  for (const end of ['', '.cache']) cpSync(join(ROOT, 'dist', 'cli', `qrun.cjs${end}`), `${bundle}${end}`);
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
    // As the command does it: V8 takes a cache only with the flags that it was made with.
    const script = `
      require('node:v8').setFlagsFromString('--no-allocation-site-pretenuring');
      process.stdout.write(String(require('./bin/load-bundle.cjs').loadBundle(process.argv[1]).script.cachedDataRejected));`;
    const { stdout } = await execa(process.execPath, ['-e', script, bundle], { cwd: home });
    expect(stdout).toBe('false');
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
