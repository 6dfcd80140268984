import { createHash } from 'node:crypto';
import { delimiter, isAbsolute, join } from 'node:path';
import { environmentName, keyOf } from '../../core/config/keys.js';
import type { ConfigKey } from '../../core/config/table.js';
import { TRUSTED_KEYS, type TreeSettings, trustDigest } from '../../core/config/trust.js';
import { urlsIn, urlsOfText, urlsText } from '../../core/config/urls.js';
import { QrunError } from '../../core/errors.js';
import { pasteablePath } from '../../core/text/shell.js';
import { shownUrl } from '../../core/text/shown-urls.js';
import { TrustStore } from '../../io/config/trust-store.js';
import type { FileChecks } from '../../io/files/open-file.js';
import { distrust } from '../../io/files/owner.js';
import { isBeneath, realOf } from '../../io/files/paths.js';
import { readBytes } from '../../io/files/read-file.js';

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What makes a tree trusted; none of it can be in the tree itself. */
export interface TrustInputs {
  /** `--trust`, or whether the submission that this is a task of was trusted. */
  readonly given: boolean;
  /** Of the process, for `QRUN_TRUST` and the place of {@link TrustStore}. */
  readonly env: Environment;
}

/** A file of a tree that another user owns or can write to, and that is read only if the tree is trusted. */
interface Doubted {
  readonly file: string;
  readonly why: string;
}

/**
 * Whether a tree is trusted, decided when it matters: by `--trust`, by `QRUN_TRUST`, or because `qrun trust` has
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
   * Returns the checks of the tree's configuration files when they are opened: who owns them. Errors, from within the
   * open: QrunError `CONFIG` if nobody has said that the tree is trusted; see {@link settle}.
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
   * Takes what the files say. Errors: QrunError `CONFIG` when one of them belongs to somebody else, and the tree was
   * trusted with other settings.
   */
  settle(settings: TreeSettings): void {
    this.#settings = settings;
    const [doubted] = this.#doubted;
    if (doubted !== undefined && !this.trusted()) throw this.#refusal(doubted);
  }

  /** Returns whether the tree is trusted as it is now. Errors: QrunError `CONFIG` for an invalid `QRUN_TRUST`. */
  trusted(): boolean {
    this.#trusted ??=
      this.#inputs.given ||
      trustedByEnvironment(realOf(this.root), this.#inputs.env) ||
      this.#record()?.digest === this.digest();
    return this.#trusted;
  }

  /** Returns what has changed since the tree was trusted; `undefined` if it never was. */
  changes(): readonly string[] | undefined {
    const before = this.#record();
    if (before === undefined) return undefined;
    const now = shownSettings(this.#settings);
    const changed = TRUSTED_KEYS.filter(key => before.settings[key] !== now[key]);
    if (changed.length > 0) return changed;
    // What the record does not keep as it was: the user in a URL, and the content of a file.
    return [now.ca_file === undefined ? 'url' : 'the certificates of ca_file'];
  }

  /** The settings to which the trust applies. */
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

  /** The command that makes the tree trusted, for hints. */
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
 * Returns whether somebody who may do so has accepted a directory as a root, whatever its files say now: a trusted
 * root must be found even if others own it.
 */
export function acceptsRoot(directory: string, inputs: TrustInputs): boolean {
  return isAccepted(directory, inputs) || new TrustStore(inputs.env).find(realOf(directory)) !== undefined;
}

/**
 * Returns the checks of a file of process jobs, whose commands qrun starts: it must belong to this user or to root,
 * or be in a directory that was accepted by `--trust` or `QRUN_TRUST`. What `qrun trust` remembers does not count: it
 * is about settings, not commands.
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

/** Returns whether `--trust` or `QRUN_TRUST` accepts a directory, whatever is in it. */
export function isAccepted(directory: string, { given, env }: TrustInputs): boolean {
  return given || trustedByEnvironment(realOf(directory), env);
}

/** Returns the settings of a tree as they may be shown and kept: no URL with a password. */
export function shownSettings(settings: TreeSettings): TreeSettings {
  if (settings.url === undefined) return settings;
  return { ...settings, url: urlsText(urlsOfText(settings.url).map(shownUrl)) };
}

/** Returns what a tree says about {@link TRUSTED_KEYS}: the variables of its `.env`, then its qrun.toml. */
export function treeSettings(toml: Readonly<Record<string, unknown>>, dotEnv: Environment): TreeSettings {
  return Object.fromEntries(
    TRUSTED_KEYS.flatMap((name): [string, string][] => {
      const value = dotEnv[environmentName(keyOf(name) as ConfigKey) ?? ''] || toml[name];
      if (name === 'url' && value !== undefined)
        return [[name, urlsText([value].flat().map(String).flatMap(urlsIn))]];
      if (name === 'hosts') return Array.isArray(value) && value.length > 0 ? [[name, hostsText(value)]] : [];
      return typeof value === 'string' || typeof value === 'boolean' ? [[name, String(value)]] : [];
    }),
  );
}

// The same for the same hosts, in whatever order their keys are written.
function hostsText(hosts: readonly unknown[]): string {
  const sorted = (host: unknown): unknown =>
    typeof host === 'object' && host !== null
      ? Object.fromEntries(Object.entries(host).sort(([a], [b]) => (a < b ? -1 : 1)))
      : host;
  return JSON.stringify(hosts.map(sorted));
}

// Absolute paths of roots, or of directories above them; a missing one means nothing.
function trustedByEnvironment(root: string, { QRUN_TRUST: value = '' }: Environment): boolean {
  const paths = value.split(delimiter).filter(path => path !== '');
  const relative = paths.find(path => !isAbsolute(path));
  if (relative !== undefined) {
    throw new QrunError('CONFIG', `QRUN_TRUST: ${JSON.stringify(relative)} is not an absolute path`, {
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
    // Whoever needs it reports why it cannot be read.
    return '';
  }
}
