import { realpathSync } from 'node:fs';
import { environmentName, flagName, tomlName } from '../../core/config/keys.js';
import type { Config } from '../../core/config/table.js';
import { type Giver, isLoopback } from '../../core/config/trust.js';
import { QrunError } from '../../core/errors.js';
import { shownUrl } from '../../core/text/shown-urls.js';
import { readSecretFile, readSecretOfTree } from '../../io/config/config-files.js';
import { distrustPath } from '../../io/files/owner.js';
import { isBeneath, isHiddenIn, realOf } from '../../io/files/paths.js';
import type { TreeTrust } from './trust.js';

/** Everything that a connection to a server needs: passed to the engine, never printed. */
export interface Connection {
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  readonly caFile?: string;
  /** What the person who starts a run should know about where this connects to. */
  readonly notices: readonly string[];
}

/** Values of the connection that decide where a secret goes or comes from. */
export type ConnectionKey = 'url' | 'passwordFile' | 'caFile';

/** A password, and who gave it. */
export interface Secret {
  readonly giver: Giver;
  /** Where it is set, for messages. */
  readonly where: string;
  readonly read: () => string;
}

/** What decides about a connection. Paths are absolute. */
export interface ConnectionInputs {
  readonly config: Config;
  /** Who gave each value that is set. */
  readonly givers: Readonly<Partial<Record<ConnectionKey, Giver>>>;
  /** Whether the password is the content of the file. */
  readonly fileWins: boolean;
  /** The password from a variable. */
  readonly variable: Secret | undefined;
  /** qrun.toml, .env or the file of a submission, whichever names the value; for messages. */
  readonly namedBy: (key: ConnectionKey) => string;
  readonly trust: TreeTrust;
  /** Whether the values come from the configuration of a submission without a proof that it is one. */
  readonly unproven: boolean;
}

const DEFAULT_URL = 'http://localhost:8123';

/** Returns the URLs of the servers that a configuration names. Errors: QrunError `CONFIG` for one with parameters. */
export function serverUrls({ config }: { readonly config: Config }): readonly string[] {
  const urls = config.url ?? [DEFAULT_URL];
  for (const url of urls) {
    // Refused here, because the parameters may hold a password: no message shows them.
    if (!/[?#]/.test(url)) continue;
    throw new QrunError('CONFIG', `the ClickHouse URL "${shownUrl(url)}" has parameters`, {
      hint: 'settings are given with --set name=value, the password in CLICKHOUSE_PASSWORD or a password file',
    });
  }
  return urls;
}

/**
 * Returns the connection to each server. This is the only way to one, and so the only place where a password is handed
 * out, after every URL has passed the same check: secrets go where their giver sent them. A secret from outside the tree (environment, flag, a file that they name) goes to a
 * server that is also named outside it, that is on this machine, or that a trusted tree names. A secret in the tree
 * goes where the tree says. A CA file of the tree does not vouch for a server that was named outside the tree, unless
 * the tree is trusted.
 *
 * Errors: QrunError `CONFIG` with the name of the secret, never its value, before its file is read; `CONFIG` for a
 * password file that cannot be read.
 */
export function connectionsOf(inputs: ConnectionInputs): readonly Connection[] {
  const urls = serverUrls(inputs);
  const secret = secretOf(inputs);
  const checked = urls.map(url => checkedUrl(inputs, url, secret));
  // Read once, and only when it may go to all of them.
  const password = secret?.read();
  return checked.map(server => connectionTo(inputs, server, password));
}

interface CheckedUrl {
  readonly url: string;
  readonly caFile: string | undefined;
  readonly notices: readonly string[];
}

function checkedUrl(inputs: ConnectionInputs, url: string, secret: Secret | undefined): CheckedUrl {
  const { config, givers, trust } = inputs;
  const notices: string[] = [];
  const isForeign = givers.url === 'tree' && !isLoopback(url);
  if (isForeign && secret?.giver === 'outside' && !trust.trusted()) throw refusedSecret(inputs, secret, url);
  const caFile = config.caFile === undefined ? undefined : certificates(inputs, config.caFile, url);
  if (isForeign && !trust.trusted()) {
    notices.push(
      `${inputs.namedBy('url')} names the server ${shownUrl(url)}: ${secret === undefined ? 'no password goes there' : 'only the password of the tree goes there'} (not trusted: ${trust.command})`,
    );
  }
  return { url, caFile, notices };
}

function connectionTo(
  { config: { user } }: ConnectionInputs,
  { url, caFile, notices }: CheckedUrl,
  password: string | undefined,
): Connection {
  const isRead = password !== undefined && password !== '' && isReadable(url);
  const inClear = `the password goes to ${shownUrl(url)} in clear text, readable by everybody on the way: use https://`;
  return {
    url,
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
    ...(caFile === undefined ? {} : { caFile }),
    notices: isRead ? [...notices, inClear] : notices,
  };
}

/** Returns where the password comes from, for people; `undefined` if there is none. Reads no file. */
export function passwordSource(inputs: ConnectionInputs): string | undefined {
  return secretOf(inputs, true)?.where;
}

// By http to another machine.
function isReadable(url: string): boolean {
  return /^http:/i.test(url) && !isLoopback(url);
}

function secretOf(inputs: ConnectionInputs, lookOnly = false): Secret | undefined {
  const { config, givers, fileWins, variable } = inputs;
  const path = config.passwordFile;
  if (!fileWins || path === undefined) return variable;
  const where = `${path} (${inputs.namedBy('passwordFile')})`;
  if (givers.passwordFile !== 'tree') return { giver: 'outside', where, read: () => readSecretFile(path) };
  if (lookOnly) return { giver: 'tree', where, read: () => '' };
  const real = beneathRoot(inputs, 'passwordFile', path);
  const root = realOf(inputs.trust.root);
  return {
    // What the tree only points at is not its own, nor is what the user's programs keep in it (.npmrc, .env.local).
    giver: isBeneath(real, root) && !isHiddenIn(root, real) ? 'tree' : 'outside',
    where,
    read: () => readSecretOfTree(real),
  };
}

function certificates(inputs: ConnectionInputs, path: string, url: string): string {
  const { givers, trust } = inputs;
  if (givers.caFile !== 'tree') return path;
  if (givers.url !== 'tree' && !trust.trusted()) {
    throw new QrunError(
      'CONFIG',
      `the CA file ${path}, which ${inputs.namedBy('caFile')} names, would decide whether ${shownUrl(url)} is trusted, but the tree is not trusted`,
      {
        hint: `name the CA file yourself with --ca-file or CLICKHOUSE_CA_FILE; or look at the tree, and then ${trust.command}`,
      },
    );
  }
  const real = beneathRoot(inputs, 'caFile', path);
  const why = distrustPath(real);
  if (why === undefined || trust.trusted()) return real;
  throw new QrunError('CONFIG', `cannot read the CA file ${path}: ${why}`, {
    hint: `take a copy of your own; or look at the tree, and then ${trust.command}`,
  });
}

// Returns the real path of a file that the tree names. It must lie in the tree, or the tree must be trusted:
// otherwise any file of the user could be sent.
function beneathRoot(inputs: ConnectionInputs, key: 'passwordFile' | 'caFile', path: string): string {
  const { trust } = inputs;
  let real: string;
  try {
    real = realpathSync(path);
  } catch (cause) {
    throw new QrunError('CONFIG', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
  if (isBeneath(real, realOf(trust.root)) || trust.trusted()) return real;
  const leads = real === path ? '' : ` (it leads to ${real})`;
  throw new QrunError(
    'CONFIG',
    `${inputs.namedBy(key)} names ${tomlName(key)} ${path}${leads}, which lies outside of ${trust.root}, and the tree is not trusted`,
    {
      hint: `name the file yourself with ${flagName(key)} or ${environmentName(key)}; or look at the tree, and then ${trust.command}`,
    },
  );
}

function refusedSecret(inputs: ConnectionInputs, secret: Secret, url: string): QrunError {
  const { trust } = inputs;
  const changes = trust.changes();
  const state =
    changes === undefined
      ? 'the tree is not trusted'
      : `it has changed since it was trusted (${changes.join(', ')})`;
  return new QrunError(
    'CONFIG',
    `the password of ${secret.where} is not sent to ${shownUrl(url)}: ${inputs.namedBy('url')} names this server, and ${state}`,
    {
      hint: inputs.unproven
        ? 'the command line has no --config-digest, which proves that this file was submitted: submit again'
        : `name the server yourself with --url or CLICKHOUSE_URL; or, if that is where the password belongs, ${trust.command} (QRUN_TRUST=${trust.root} or --trust in CI)`,
    },
  );
}
