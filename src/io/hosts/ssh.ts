import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { QrunError } from '../../core/errors.js';
import type { Host } from '../../core/hosts/host.js';
import { CONNECT_LIMIT_S, installCommand } from '../../core/hosts/ssh-failure.js';
import { remoteCommand } from '../../core/text/shell.js';
import { type ProgramEnd, runProgram } from '../machine/program.js';
import { Dialog } from './dialog.js';

/** How hosts are connected to. */
export interface SshOptions {
  /** Of the process. Of it, ssh and rsync get what they need to find keys, and nothing that may be a secret. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether the key of a host that is not known yet is remembered, instead of refused. One that differs never is. */
  readonly acceptNew?: boolean;
  /** Ends what is running. */
  readonly signal?: AbortSignal | undefined;
  /** Whether each host is asked more than once: then one login serves all. */
  readonly shared?: boolean;
}

const ENVIRONMENT = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR', 'XDG_RUNTIME_DIR'],
  ...['SSH_AUTH_SOCK', 'KRB5CCNAME'],
];

// A host that is silent for so long (in seconds) has gone: two questions of ssh without an answer.
const ALIVE_INTERVAL_S = 5;
const ALIVE_COUNT = 2;
// How long a shared connection outlives its last use, if this process dies before it closes it.
const PERSIST_S = 15;
// The path of a socket has 104 bytes at most (macOS), ssh appends 17 of its own while it makes one, and there are 20 of
// the directory and the number in it.
const MAX_BASE = 60;

/**
 * Connections to hosts by the user's own ssh and rsync, with their configuration, keys and agent. Nothing is asked on
 * the terminal; a host is reached only if its key is known (or new, where that is allowed), whatever the configuration
 * says. Agent, X11 and ports are not forwarded. What is started on a host does not end with its connection.
 *
 * Shared connections have their sockets in a directory of mode 0700; {@link close} ends them.
 */
export class HostConnections {
  readonly #options: SshOptions;
  readonly #env: Record<string, string>;
  readonly #directory: string | undefined;
  readonly #used = new Map<string, Host>();
  readonly #dialogs = new Map<string, Dialog>();

  constructor(options: SshOptions) {
    this.#options = options;
    this.#env = environmentOf(options.env);
    this.#directory = options.shared === true ? socketDirectory(options.env) : undefined;
  }

  /**
   * Runs a command on a host and resolves with how it ended, also if the host was not reached (exit code 255). Gets
   * exactly these words there, whatever the login shell is, and `input` as its stdin.
   *
   * Errors: QrunError `SSH_MISSING`; the reason of the signal.
   */
  async run(host: Host, words: readonly string[], timeoutMs: number, input?: string): Promise<ProgramEnd> {
    const args = [...this.#sshOptions(host), '-T', '--', host.ssh, remoteCommand(words)];
    return await this.#start('ssh', args, timeoutMs, { input });
  }

  /**
   * Asks a command on a host that answers each line of its stdin with a line; it is started at the first question, and
   * serves the later ones. `isAnswer`: which of its lines are answers. Resolves with the answer as stdout, or with how
   * the command ended instead; the next question then starts it again. Errors: as {@link run}.
   */
  async ask(
    host: Host,
    words: readonly string[],
    line: string,
    { isAnswer, timeoutMs }: { isAnswer: (line: string) => boolean; timeoutMs: number },
  ): Promise<ProgramEnd> {
    const { signal } = this.#options;
    signal?.throwIfAborted();
    const name = JSON.stringify([host.name, ...words]);
    let dialog = this.#dialogs.get(name);
    // While one question is being answered, another one has a command of its own.
    if (dialog?.isBusy === true) return await this.run(host, words, timeoutMs, line);
    if (dialog === undefined || dialog.hasEnded) {
      const args = [...this.#sshOptions(host), '-T', '--', host.ssh, remoteCommand(words)];
      dialog = new Dialog('ssh', args, this.#env, isAnswer);
      this.#dialogs.set(name, dialog);
    }
    const asked = dialog;
    const stop = (): void => void asked.close();
    signal?.addEventListener('abort', stop, { once: true });
    const end = await asked.ask(line, timeoutMs);
    signal?.removeEventListener('abort', stop);
    if (!end.ok) signal?.throwIfAborted();
    return started('ssh', end);
  }

  /**
   * Runs rsync, with `paths` of this machine relative to `cwd`, into a directory of a host. `options` are rsync's own,
   * `input` is its stdin. Resolves with how it ended. Errors: as {@link run}.
   */
  async send(
    host: Host,
    {
      cwd,
      options,
      paths,
      to,
      input,
    }: {
      cwd: string;
      options: readonly string[];
      paths: readonly string[];
      to: string;
      input?: string;
    },
    timeoutMs: number,
  ): Promise<ProgramEnd> {
    const args = [...options, ...this.#rsyncOptions(host), '--', ...paths, `${host.ssh}:${to}/`];
    return await this.#start('rsync', args, timeoutMs, { cwd, input });
  }

  /**
   * Runs rsync, with what is in the directory `from` of a host, into the directory `to` of this machine. `options` are
   * rsync's own. Resolves with how it ended. Errors: as {@link run}.
   */
  async fetch(
    host: Host,
    { options, from, to }: { options: readonly string[]; from: string; to: string },
    timeoutMs: number,
  ): Promise<ProgramEnd> {
    const args = [...options, ...this.#rsyncOptions(host), '--', `${host.ssh}:${from}/`, './'];
    return await this.#start('rsync', args, timeoutMs, { cwd: to });
  }

  /** Ends what still waits for questions, and shared connections, and removes their directory. Never rejects. */
  async close(): Promise<void> {
    const directory = this.#directory;
    const shared = directory === undefined ? [] : [...this.#used.values()];
    // Both at once: what serves a shared connection may hold the output of what began it.
    await Promise.all([
      ...[...this.#dialogs.values()].map(dialog => dialog.close()),
      ...shared.map(host =>
        runProgram('ssh', ['-o', `ControlPath=${this.#socket(host)}`, '-O', 'exit', '--', host.ssh], {
          env: this.#env,
          timeoutMs: 2_000,
        }).catch(() => {}),
      ),
    ]);
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  }

  #rsyncOptions(host: Host): string[] {
    // It is split at spaces, of which none of these words holds one.
    const shell = ['ssh', ...this.#sshOptions(host)].join(' ');
    // The words of the other side are sent by its protocol, so that no shell there reads them.
    return ['--protect-args', `--rsh=${shell}`];
  }

  #sshOptions(host: Host): string[] {
    const { acceptNew } = this.#options;
    this.#used.set(host.name, host);
    const pairs = [
      'BatchMode=yes',
      `StrictHostKeyChecking=${acceptNew === true ? 'accept-new' : 'yes'}`,
      `ConnectTimeout=${CONNECT_LIMIT_S}`,
      `ServerAliveInterval=${ALIVE_INTERVAL_S}`,
      `ServerAliveCountMax=${ALIVE_COUNT}`,
      ...['ForwardAgent=no', 'ForwardX11=no', 'ClearAllForwardings=yes', 'PermitLocalCommand=no'],
      ...(this.#directory === undefined
        ? ['ControlMaster=no', 'ControlPath=none']
        : ['ControlMaster=auto', `ControlPath=${this.#socket(host)}`, `ControlPersist=${PERSIST_S}`]),
    ];
    return pairs.flatMap(pair => ['-o', pair]);
  }

  // By number, because a name could be too long.
  #socket(host: Host): string {
    const number = [...this.#used.keys()].indexOf(host.name);
    return join(this.#directory ?? '', String(number));
  }

  async #start(
    program: string,
    args: readonly string[],
    timeoutMs: number,
    { cwd, input }: { readonly cwd?: string; readonly input?: string | undefined } = {},
  ): Promise<ProgramEnd> {
    const { signal } = this.#options;
    const end = await runProgram(program, args, {
      env: this.#env,
      timeoutMs,
      input,
      ...(cwd === undefined ? {} : { cwd }),
      ...(signal === undefined ? {} : { signal }),
    });
    return started(program, end);
  }
}

// Errors: QrunError `SSH_MISSING`.
function started(program: string, end: ProgramEnd): ProgramEnd {
  if (end.startError === undefined) return end;
  throw new QrunError('SSH_MISSING', `there is no program ${program} in PATH (${end.startError})`, {
    hint: `install it: ${installCommand(program)}`,
  });
}

function environmentOf(env: SshOptions['env']): Record<string, string> {
  const found = ENVIRONMENT.flatMap(name => {
    const value = env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(found), LC_ALL: 'C' };
}

// mkdtemp makes it with mode 0700. ssh and rsync would each act on other characters in its path.
function socketDirectory({ XDG_RUNTIME_DIR: runtime }: SshOptions['env']): string {
  for (const base of [runtime, tmpdir()]) {
    if (base === undefined || base.length > MAX_BASE || !/^[\w./-]+$/.test(base)) continue;
    try {
      return mkdtempSync(join(base, 'qrun-ssh-'));
    } catch {
      // Another place will do.
    }
  }
  return mkdtempSync('/tmp/qrun-ssh-');
}
