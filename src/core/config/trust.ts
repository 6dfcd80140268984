import { createHash } from 'node:crypto';

/**
 * Who gave a value: whoever started qrun (a flag, the environment of the process), or the tree that it works on
 * (qrun.toml and .env, which count as one).
 */
export type Giver = 'outside' | 'tree';

/**
 * The settings of a tree that decide where secrets and results go, what its SQL may reach, and what may be sent as
 * SQL: the keys marked so in the table of configuration, by their names in qrun.toml. Trust covers these values, and
 * ends when one of them changes. Their order is part of the digest, and so of all remembered trust; a later one is
 * added at the end, and counts only where a tree sets it.
 */
export const TRUSTED_KEYS = [
  ...(['url', 'user', 'ca_file', 'password_file', 'log_dir', 'data_dir'] as const),
  ...(['allow_files', 'allow_network', 'follow_links'] as const),
  'hosts',
] as const;

// Those of the first version are hashed always.
const LATER: ReadonlySet<string> = new Set(['hosts']);

/** The values of {@link TRUSTED_KEYS} in a tree; those that it does not set are missing. */
export type TreeSettings = Readonly<Partial<Record<(typeof TRUSTED_KEYS)[number], string>>>;

/**
 * Returns whether a URL leads to this machine: its host is `localhost`, an address in 127.0.0.0/8, or `[::1]`, as
 * understood by the URL parser that the connection uses (including upper case, and addresses in hex, octal or as one
 * number). The name decides, never what it resolves to, because a DNS server may say anything: `localhost.`,
 * `x.localhost` and names of 127.0.0.1 do not count as this machine. `false` for what is not a URL.
 */
export function isLoopback(url: string): boolean {
  const host = URL.canParse(url) ? new URL(url).hostname : '';
  return host === 'localhost' || host === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/**
 * Returns a digest of what is trusted: the root by its real path, its settings, and the digest of the certificates in
 * its CA file, because whoever replaces them replaces whom we believe. SHA-256, in hex. Different inputs are never
 * hashed as the same string.
 */
export function trustDigest(root: string, settings: TreeSettings, certificates: string | undefined): string {
  const values = TRUSTED_KEYS.filter(key => !LATER.has(key) || settings[key] !== undefined).map(key => [
    key,
    settings[key] ?? null,
  ]);
  return createHash('sha256')
    .update(JSON.stringify([1, root, values, certificates ?? null]))
    .digest('hex');
}
