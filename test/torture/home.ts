import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A build of qrun and of the programs of these tests, which no other build can change while they run. */
export interface Home {
  readonly directory: string;
  /** `bin/qrun.cjs` of this build. */
  readonly cli: string;
  /** The library that injects faults, for LD_PRELOAD; `undefined` without a C compiler or off Linux. */
  readonly shim: string | undefined;
  /** The path of a program in `test/torture/programs`. */
  program(name: string): string;
  remove(): Promise<void>;
}

/** The directory above `test`: of the repository, or of the build when this file is its part. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Builds sources, tests and shim into a directory of its own (about two seconds). */
export async function buildHome(root: string): Promise<Home> {
  const directory = await mkdtemp(join(tmpdir(), 'qrun-torture-home-'));
  await run(process.execPath, [join(root, 'scripts/torture-home.mjs'), directory]);
  return { ...(await openHome(directory)), remove: () => rm(directory, { recursive: true, force: true }) };
}

/** A home that was built before; `remove` leaves it. */
export async function openHome(directory: string): Promise<Home> {
  return {
    directory,
    cli: join(directory, 'bin/qrun.cjs'),
    shim: await compileShim(directory),
    program: name => join(directory, 'test/torture/programs', name),
    remove: async () => {},
  };
}

/**
 * Bundles the command of a home, as `npm run build` does, into a directory in it, and gives its executable: it starts in
 * half the time, which counts where a trial starts it thirty times.
 */
export async function bundledCli({ directory }: Home): Promise<string> {
  const bundled = join(directory, 'bundled');
  const cli = join(bundled, 'bin/qrun.cjs');
  if (existsSync(cli)) return cli;
  mkdirSync(bundled);
  for (const path of ['package.json', 'scripts']) {
    cpSync(join(directory, path), join(bundled, path), { recursive: true });
  }
  cpSync(join(directory, 'src'), join(bundled, 'dist'), { recursive: true });
  symlinkSync(join(directory, 'node_modules'), join(bundled, 'node_modules'));
  await run(process.execPath, [join(bundled, 'scripts/bundle.mjs')]);
  cpSync(join(directory, 'bin'), join(bundled, 'bin'), { recursive: true });
  return cli;
}

async function compileShim(directory: string): Promise<string | undefined> {
  if (process.platform !== 'linux') return undefined;
  const target = join(directory, 'faults.so');
  const source = join(directory, 'test/torture/shim/faults.c');
  try {
    await run('gcc', ['-O2', '-shared', '-fPIC', '-o', target, source, '-ldl', '-lpthread']);
    return target;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
