import { createHash } from 'node:crypto';
import { delimiter, isAbsolute, join } from 'node:path';
import { environmentName, keyOf } from '../../core/config/keys.js';
import type { ConfigKey } from '../../core/config/table.js';
import { TRUSTED_KEYS, type TreeSettings, trustDigest } from '../../core/config/trust.js';
import { QrunError } from '../../core/errors.js';
import { pasteablePath } from '../../core/text/shell.js';
import { shownUrl } from '../../core/text/shown-urls.js';
import { TrustStore } from '../../io/config/trust-store.js';
import type { FileChecks } from '../../io/files/open-file.js';
import { distrust } from '../../io/files/owner.js';
import { isBeneath, realOf } from '../../io/files/paths.js';
import { readBytes } from '../../io/files/read-file.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** What says that a tree is trusted; none of it can stand in the tree. */
export interface TrustInputs {
  /** `--trust`, or that the submission that this is a task of was trusted. */
  readonly given: boolean;
  /** Of the process, for `QRUN_TRUST` and the place of {@link TrustStore}. */
  readonly env: Environment;
}

/** A file of a tree that somebody else owns or can write to, and that is read only if the tree is trusted. */
interface Doubted {
  readonly file: string;
  readonly why: string;
}

/**
 * Whether a tree is trusted, asked when it matters: by `--trust`, by `QRUN_TRUST`, or because `qrun trust` has
 * remembered it and its settings are still the same.
 */
export class TreeTrust {
  readonly root: string;
  readonly #inputs: TrustInputs;
  readonly #doubted: Doubted[] = [];
  #settings: TreeSettings = {};
  #trusted: boolean | undefined;

  constructor(root: string, inputs: TrustInputs) {
    this.root = root;
    this.#inputs = inputs;
  }

  /**
   * What is asked of the tree's configuration files when they are opened: whose they are. Errors, from within the open:
   * QrunError `CONFIG` where nobody has said that the tree is trusted; see {@link settle}.
   */
  checks(file: string): FileChecks {
    return {
      refuse: stat => {
        const why = distrust(stat);
        if (why === undefined) return undefined;
        const doubted = { file, why };
        if (!acceptsRoot(this.root, this.#inputs)) throw this.#refusal(doubted);
        this.#doubted.push(doubted);
        return undefined;
      },
    };
  }

  /**
   * Takes what the files say. Errors: QrunError `CONFIG` when one of them is of somebody else, and the tree was trusted
   * with other settings.
   */
  settle(settings: TreeSettings): void {
    this.#settings = settings;
    const [doubted] = this.#doubted;
    if (doubted !== undefined && !this.trusted()) throw this.#refusal(doubted);
  }

  /** Whether the tree is trusted as it is now. Errors: QrunError `CONFIG` for a `QRUN_TRUST` that cannot be meant. */
  trusted(): boolean {
    this.#trusted ??=
      this.#inputs.given ||
      trustedByEnvironment(realOf(this.root), this.#inputs.env) ||
      this.#record()?.digest === this.digest();
    return this.#trusted;
  }

  /** What has changed since the tree was trusted; `undefined` where it never was. */
  changes(): readonly string[] | undefined {
    const before = this.#record();
    if (before === undefined) return undefined;
    const now = shownSettings(this.#settings);
    const changed = TRUSTED_KEYS.filter(key => before.settings[key] !== now[key]);
    if (changed.length > 0) return changed;
    // What is not kept as it was: the user in a URL, and what a file holds.
    return [now.ca_file === undefined ? 'url' : 'the certificates of ca_file'];
  }

  /** What trust is in. */
  get settings(): TreeSettings {
    return this.#settings;
  }

  /** As {@link trustDigest}, of the tree as it is now. */
  digest(): string {
    const { ca_file: caFile } = this.#settings;
    return trustDigest(
      realOf(this.root),
      this.#settings,
      caFile === undefined ? undefined : hashOf(this.root, caFile),
    );
  }

  /** The words that make the tree trusted, for hints. */
  get command(): string {
    return `qrun trust ${pasteablePath(this.root, true)}`;
  }

  #record() {
    return new TrustStore(this.#inputs.env).find(realOf(this.root));
  }

  #refusal({ file, why }: Doubted): QrunError {
    return new QrunError('CONFIG', `cannot read ${file}: ${why}`, {
      hint: `who can write it decides what qrun does: take a copy of your own, or look at it and accept it with --trust, QRUN_TRUST=${this.root}, or ${this.command}`,
    });
  }
}

/**
 * Whether somebody who may say so has accepted a directory as a root, whatever its files say now: what is trusted must
 * be found although others own it.
 */
export function acceptsRoot(directory: string, inputs: TrustInputs): boolean {
  return isAccepted(directory, inputs) || new TrustStore(inputs.env).find(realOf(directory)) !== undefined;
}

/**
 * What a file of process jobs must be, whose commands qrun starts: of this user or of root, or of a directory that was
 * accepted by `--trust` or `QRUN_TRUST`. What `qrun trust` remembers does not count: it is about settings, not commands.
 */
export function jobsChecks(directory: string, inputs: TrustInputs): FileChecks {
  return {
    refuse: stat => {
      const why = distrust(stat);
      if (why === undefined || isAccepted(directory, inputs)) return undefined;
      return `${why}; who can write it decides what runs: accept it with --trust or QRUN_TRUST`;
    },
  };
}

/** Whether `--trust` or `QRUN_TRUST` accept a directory, whatever is in it. */
export function isAccepted(directory: string, { given, env }: TrustInputs): boolean {
  return given || trustedByEnvironment(realOf(directory), env);
}

/** The settings of a tree as they may be shown and kept: no URL with a password. */
export function shownSettings(settings: TreeSettings): TreeSettings {
  return settings.url === undefined ? settings : { ...settings, url: shownUrl(settings.url) };
}

/** What a tree says of {@link TRUSTED_KEYS}: the variables of its `.env`, then its qrun.toml. */
export function treeSettings(toml: Readonly<Record<string, unknown>>, dotEnv: Environment): TreeSettings {
  return Object.fromEntries(
    TRUSTED_KEYS.flatMap(name => {
      const value = dotEnv[environmentName(keyOf(name) as ConfigKey) ?? ''] || toml[name];
      return typeof value === 'string' || typeof value === 'boolean' ? [[name, String(value)]] : [];
    }),
  );
}

// Absolute paths of roots, or of directories above them; a missing one means nothing.
function trustedByEnvironment(root: string, { QRUN_TRUST: value = '' }: Environment): boolean {
  const paths = value.split(delimiter).filter(path => path !== '');
  const relative = paths.find(path => !isAbsolute(path));
  if (relative !== undefined) {
    throw new QrunError('CONFIG', `QRUN_TRUST: ${JSON.stringify(relative)} is no absolute path`, {
      hint: `it holds the directories that are trusted, with what lies below them, separated by "${delimiter}"`,
    });
  }
  return paths.some(path => isBeneath(root, realOf(path)));
}

function hashOf(root: string, caFile: string): string {
  const path = isAbsolute(caFile) ? caFile : join(root, caFile);
  try {
    return createHash('sha256').update(readBytes(path, 'certificates')).digest('hex');
  } catch {
    // Whoever needs it says why it cannot be read.
    return '';
  }
}
