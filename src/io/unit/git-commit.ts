import { createHash } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { realOf } from '../files/paths.js';
import { readBytes } from '../files/read-file.js';
import { LocalDisks } from '../machine/local-disks.js';
import { variablesOf } from '../machine/plain-environment.js';

// A slower repository is not waited for: the commit is only a note for people.
const LIMIT_MS = 2_000;
// Ctrl-C and the start of the engine must not wait for the files of a large unit.
const YIELD_AFTER_MS = 10;
// The names and hashes of half a million files.
const MAX_LISTING_BYTES = 64 * 1024 * 1024;

// Nothing that the repository's configuration could name may run. So only plumbing that reads objects is used:
// `git status` runs `core.fsmonitor` and the filters of `.gitattributes`. A directory of the tree that looks like a
// bare repository is not taken for one, and a partial clone fetches nothing (a transport runs programs too).
const SAFE = ['-c', 'safe.bareRepository=explicit', '-c', 'core.fsmonitor=false', '--no-optional-locks'];
const NO_FETCH = { GIT_ALLOW_PROTOCOL: 'none', GIT_NO_LAZY_FETCH: '1', GIT_TERMINAL_PROMPT: '0' };
// What git needs to find its own programs and the user's settings (`safe.directory`); none of it is secret.
const INHERITED = ['PATH', 'HOME', 'XDG_CONFIG_HOME', 'SUDO_UID'];

/**
 * Returns the first 12 digits of the commit of the repository that holds a directory. A `+` follows if the SQL files
 * below the directory differ from the commit in names or bytes, or if that cannot be found out within two seconds or
 * because the directory is on a network file system. Returns `null` outside a repository, without git, and in a
 * repository that git does not trust.
 *
 * Runs nothing that the repository names (hooks, monitors, filters, transports) and writes nothing to it: anybody may
 * have made it. A file that a filter changes at checkout (line ends, large files kept elsewhere) counts as changed.
 * `environment` is that of the process; git gets little of it. Never rejects.
 */
export async function gitCommit(
  directory: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string | null> {
  // A link may lead into a repository.
  const real = realOf(resolve(directory));
  // Starting a process blocks this one for several milliseconds, so it is done once, and only in a repository.
  if (!isInRepository(real)) return null;
  const deadlineMs = performance.now() + LIMIT_MS;
  const answer = await askGit(real, environment);
  const head = /^([0-9a-f]{40}|[0-9a-f]{64})\n/.exec(answer ?? '')?.[1];
  if (answer === undefined || head === undefined) return null;
  const recorded = blobsOf(answer.slice(head.length + 1));
  const isSame = await matches(real, recorded, head.length === 64 ? 'sha256' : 'sha1', deadlineMs);
  return isSame ? head.slice(0, 12) : `${head.slice(0, 12)}+`;
}

interface Blob {
  readonly mode: string;
  readonly hash: string;
}

// Parses `<mode> <type> <hash>\t<path>\0`, paths relative to the directory; `undefined` if git did not get that far.
function blobsOf(listing: string): Map<string, Blob> | undefined {
  if (!listing.endsWith('\0') && listing !== '') return undefined;
  const blobs = new Map<string, Blob>();
  for (const line of listing.split('\0')) {
    const tab = line.indexOf('\t');
    const [mode = '', , hash = ''] = line.slice(0, tab).split(' ');
    const path = line.slice(tab + 1);
    if (tab !== -1 && path.endsWith('.sql')) blobs.set(path, { mode, hash });
  }
  return blobs;
}

// Whether the SQL files below `directory` are exactly those of the commit.
async function matches(
  directory: string,
  recorded: Map<string, Blob> | undefined,
  algorithm: string,
  deadlineMs: number,
): Promise<boolean> {
  if (recorded === undefined) return false;
  let found = 0;
  let yieldedAt = performance.now();
  const waiting = [''];
  try {
    // The calls below wait for the disk, and signals would have to wait with them.
    const disks = new LocalDisks();
    disks.note(directory, statSync(directory).dev);
    if (!disks.allLocal) return false;
    for (let below = waiting.pop(); below !== undefined; below = waiting.pop()) {
      for (const entry of readdirSync(join(directory, below), { withFileTypes: true })) {
        const path = `${below}${entry.name}`;
        if (entry.isDirectory() && entry.name !== '.git') waiting.push(`${path}/`);
        if (entry.isDirectory() || !entry.name.endsWith('.sql')) continue;
        const blob = recorded.get(path);
        if (blob === undefined || hashOf(join(directory, path), blob.mode, algorithm) !== blob.hash)
          return false;
        found += 1;
        const now = performance.now();
        if (now > deadlineMs) return false;
        if (now - yieldedAt > YIELD_AFTER_MS) {
          await setImmediate();
          yieldedAt = performance.now();
        }
      }
    }
  } catch {
    // What cannot be read is not what was committed.
    return false;
  }
  return found === recorded.size;
}

// The hash of a file's content as a git blob; for a link, that of its target.
function hashOf(path: string, mode: string, algorithm: string): string | undefined {
  const stat = lstatSync(path);
  const isLink = mode === '120000';
  if (isLink !== stat.isSymbolicLink()) return undefined;
  const bytes = isLink ? readlinkSync(path, 'buffer') : readBytes(path, 'query');
  return createHash(algorithm).update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
}

// Git is not asked about a directory of the tree that is itself laid out as a repository: git before 2.38 would obey
// its configuration.
function isInRepository(directory: string): boolean {
  for (let at = directory; ; at = dirname(at)) {
    if (existsSync(join(at, '.git'))) return true;
    if (['HEAD', 'objects', 'refs'].every(name => existsSync(join(at, name)))) return false;
    if (at === dirname(at)) return false;
  }
}

// Returns the commit, and from the next line on the files that it has below the directory; `undefined` if git fails.
// Uses one shell for both questions, and execFile instead of execa, because every run starts with this.
async function askGit(
  directory: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string | undefined> {
  const { execFile } = await import('node:child_process');
  const env = { ...NO_FETCH, LANG: 'C', ...variablesOf(environment, INHERITED) };
  const script = 'git "$@" rev-parse --verify HEAD && exec git "$@" ls-tree -r -z HEAD';
  return await new Promise(done => {
    const child = execFile(
      'sh',
      ['-c', script, 'sh', ...SAFE, '-C', directory],
      { env, maxBuffer: MAX_LISTING_BYTES },
      (error, stdout) => {
        clearTimeout(timer);
        const head = stdout.split('\n', 1)[0];
        // With the head alone, its files could not be listed.
        done(error === null ? stdout : head === '' ? undefined : `${head}\n?`);
      },
    );
    // Does not wait for git to end: on a dead file system it may not.
    const timer = setTimeout(async () => {
      done(undefined);
      const { ProcessTree } = await import('../machine/process-tree.js');
      new ProcessTree(child).signal('SIGKILL');
      for (const stream of [child.stdout, child.stderr]) stream?.destroy();
      child.unref();
    }, LIMIT_MS);
  });
}
