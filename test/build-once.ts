import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { TestProject } from 'vitest/node';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const STAMP = join(ROOT, 'node_modules', '.cache', 'qrun-built');
const LOCK = `${STAMP}.lock`;
// A build takes 3 s; a lock that is older belongs to a run that was killed.
const LOCK_LIMIT_MS = 60_000;

declare module 'vitest' {
  interface ProvidedContext {
    /** Why `npm run build` failed, or an empty text. */
    buildError: string;
  }
}

/**
 * Builds `dist` once before all tests, when anything it is made of is newer than it. A failed build does not
 * end the run: the tests that start the built program fail with its output, and the others go on.
 */
export async function setup(project: TestProject): Promise<void> {
  mkdirSync(dirname(STAMP), { recursive: true });
  await locked(() => project.provide('buildError', isFresh() ? '' : build()));
}

function build(): string {
  const startedAt = new Date();
  const result = spawnSync('npm', ['run', 'build'], { cwd: ROOT, encoding: 'utf8' });
  if (result.status !== 0) {
    rmSync(STAMP, { force: true });
    return `npm run build failed:\n${result.stdout}${result.stderr}`;
  }
  writeFileSync(STAMP, '');
  // What was changed during the build may not be in it.
  utimesSync(STAMP, startedAt, startedAt);
  return '';
}

function isFresh(): boolean {
  if (!existsSync(STAMP) || !existsSync(join(ROOT, 'dist/cli/bundle/main.js'))) return false;
  const builtMs = statSync(STAMP).mtimeMs;
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' }).map(name =>
    join('src', name),
  );
  const makers = ['tsconfig.json', 'tsconfig.build.json', 'scripts/bundle.mjs', 'scripts/schemas.mjs'];
  return [...sources, ...makers, 'package-lock.json'].every(
    // A file that is gone meanwhile is a change too.
    name =>
      (statSync(join(ROOT, name), { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY) <= builtMs,
  );
}

// Two runs of the tests at once must not write `dist` at once.
async function locked(work: () => void): Promise<void> {
  for (;;) {
    try {
      mkdirSync(LOCK);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const age = Date.now() - (statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? 0);
      if (age > LOCK_LIMIT_MS) rmSync(LOCK, { recursive: true, force: true });
      await sleep(50);
    }
  }
  try {
    work();
  } finally {
    rmSync(LOCK, { recursive: true, force: true });
  }
}
