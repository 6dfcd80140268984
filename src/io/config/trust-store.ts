import { createHash } from 'node:crypto';
import { readdirSync, unlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import type { TreeSettings } from '../../core/config/trust.js';
import { QrunError } from '../../core/errors.js';
import { isMissing, reasonOf } from '../files/failures.js';
import { distrust, distrustPath } from '../files/owner.js';
import { isBeneath, realOf } from '../files/paths.js';
import { readFields } from '../files/read-file.js';
import { makeDirectories, writeFileAtomic } from '../files/write-file.js';

/** A note that a user trusts a tree, as it was at that time. */
export interface TrustRecord {
  /** Its real path. */
  readonly root: string;
  /** The digest that `trustDigest` returns. */
  readonly digest: string;
  /** ISO 8601, UTC. */
  readonly trusted_at: string;
  /** What was trusted, in a form that may be shown; `digest` alone decides. */
  readonly settings: TreeSettings;
}

const VERSION = 1;

/**
 * What the user of this process trusts: one file for each root, in `qrun/trust` of the user's state directory
 * (`$XDG_STATE_HOME`, otherwise `~/.local/state`). Directories have mode 0700, files 0600. Each file is replaced as a
 * whole, so that any number of processes may read and write at once. Nothing is believed that somebody else could have
 * written: a directory or file of another user, one that others may write to, or one in the very tree it is about.
 *
 * `env` is the environment of the process, without anything that a tree says (.env).
 */
export class TrustStore {
  readonly directory: string;

  constructor(env: Readonly<Record<string, string | undefined>>) {
    this.directory = join(stateDirectory(env), 'qrun', 'trust');
  }

  /** What is remembered about a root (its real path); `undefined` if nothing, or if it cannot be read or believed. */
  find(root: string): TrustRecord | undefined {
    if (this.problem(root) !== undefined) return undefined;
    const record = readRecord(this.#pathOf(root));
    return record?.root === root ? record : undefined;
  }

  /** Everything that is remembered, sorted by root. Errors: QrunError `CONFIG` when it cannot be read or believed. */
  list(): TrustRecord[] {
    this.#refuse(undefined);
    let names: string[];
    try {
      names = readdirSync(this.directory);
    } catch (cause) {
      if (isMissing(cause)) return [];
      throw new QrunError('CONFIG', `cannot read ${this.directory}: ${(cause as Error).message}`, { cause });
    }
    return names
      .filter(name => name.endsWith('.json'))
      .map(name => readRecord(join(this.directory, name)))
      .filter(record => record !== undefined)
      .sort((a, b) => (a.root < b.root ? -1 : 1));
  }

  /** Remembers a record durably, and replaces an older one. Errors: QrunError `CONFIG`. */
  async remember(record: TrustRecord): Promise<void> {
    try {
      this.#refuse(record.root);
      makeDirectories(this.directory, 0o700);
      this.#refuse(record.root);
      const content = `${JSON.stringify({ version: VERSION, ...record }, null, 2)}\n`;
      await writeFileAtomic(this.#pathOf(record.root), content, 0o600);
    } catch (cause) {
      if (cause instanceof QrunError) throw cause;
      throw new QrunError('CONFIG', `cannot write to ${this.directory}: ${reasonOf(cause)}`, {
        hint: 'make it writable, name another place with XDG_STATE_HOME, or use --trust with each command',
        cause,
      });
    }
  }

  /** Forgets a root; returns whether it was remembered. Errors: QrunError `CONFIG`. */
  forget(root: string): boolean {
    try {
      unlinkSync(this.#pathOf(root));
      return true;
    } catch (cause) {
      if (['ENOENT', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '')) return false;
      throw new QrunError('CONFIG', `cannot remove ${this.#pathOf(root)}: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** Why nothing in the store is believed about this root (without one: about any); `undefined` if it is believed. */
  problem(root: string | undefined): string | undefined {
    const real = realOf(this.directory);
    if (root !== undefined && isBeneath(real, root)) {
      return `${this.directory} is in the tree itself, which must not say what is trusted`;
    }
    // Whoever may write to one of these directories could replace the one below it.
    for (let at = real, depth = 0; depth < 3; at = dirname(at), depth += 1) {
      let why: string | undefined;
      try {
        why = distrustPath(at);
      } catch (error) {
        why = (error as Error).message;
      }
      if (why !== undefined) return `${at} is not believed: ${why}`;
    }
    return undefined;
  }

  #refuse(root: string | undefined): void {
    const problem = this.problem(root);
    if (problem === undefined) return;
    throw new QrunError('CONFIG', `what is trusted cannot be remembered: ${problem}`, {
      hint: 'name a directory of your own with XDG_STATE_HOME, or use --trust or QRUN_TRUST',
    });
  }

  // The file name alone does not tell the root; the file does.
  #pathOf(root: string): string {
    return join(this.directory, `${createHash('sha256').update(root).digest('hex').slice(0, 32)}.json`);
  }
}

function stateDirectory({ XDG_STATE_HOME: state, HOME: home }: Readonly<Record<string, string | undefined>>) {
  // A relative path must be ignored (XDG Base Directory Specification): it would depend on where qrun is started.
  if (state !== undefined && isAbsolute(state)) return state;
  return join(home !== undefined && isAbsolute(home) ? home : homeOf(), '.local', 'state');
}

// For a user that the system does not know, as in some containers, nothing is remembered.
function homeOf(): string {
  try {
    return homedir();
  } catch {
    return '/nonexistent';
  }
}

function readRecord(path: string): TrustRecord | undefined {
  const content = readFields(path, 'lease', {
    follow: false,
    refuse: stat => distrust(stat) ?? ((stat.mode & 0o022) === 0 ? undefined : 'others may write to it'),
  });
  const { version, root, digest, trusted_at: at, settings } = content;
  const isWhole = typeof root === 'string' && typeof digest === 'string' && typeof at === 'string';
  // What is not a record makes nothing trusted.
  if (version !== VERSION || !isWhole || typeof settings !== 'object' || settings === null) return undefined;
  return { root, digest, trusted_at: at, settings };
}
