import { createHash } from 'node:crypto';

/**
 * Who gave a value: whoever starts qrun (a flag, the environment of the process), or the tree that it works on
 * (qrun.toml and .env, which count as one).
 */
export type Giver = 'outside' | 'tree';

/**
 * What a tree can say that decides where secrets and results go, what its SQL may reach and what may be sent as SQL: the
 * keys that the table of configuration marks so, by their names in qrun.toml. Trust is in these values, and ends when one
 * of them changes. Their order is part of the digest, and so of every trust that is remembered.
 */
export const TRUSTED_KEYS = [
  ...(['url', 'user', 'ca_file', 'password_file', 'log_dir', 'data_dir'] as const),
  ...(['allow_files', 'allow_network', 'follow_links'] as const),
] as const;

/** The values of {@link TRUSTED_KEYS} as a tree has them; what it does not say is missing. */
export type TreeSettings = Readonly<Partial<Record<(typeof TRUSTED_KEYS)[number], string>>>;

/**
 * Whether a URL leads to this machine: its host is `localhost`, an address in 127.0.0.0/8, or `[::1]`, as the parser of
 * URLs that the connection uses understands it (upper case, and addresses in hex, octal or as one number included). The
 * name decides and never what it resolves to, because a DNS server may say anything: `localhost.`, `x.localhost` and
 * names of 127.0.0.1 are not of this machine. `false` for what is no URL.
 */
export function isLoopback(url: string): boolean {
  let host: string;
  try {
    host = new URL(url).hostname;
  } catch {
    return false;
  }
  return host === 'localhost' || host === '[::1]' || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(host);
}

/**
 * A digest of what is trusted: the root by its real path, its settings, and the certificates of its CA file (their own
 * digest), because who replaces them replaces whom we believe. SHA-256, in hex; no two different inputs look alike
 * before it.
 */
export function trustDigest(root: string, settings: TreeSettings, certificates: string | undefined): string {
  const values = TRUSTED_KEYS.map(key => [key, settings[key] ?? null]);
  return createHash('sha256')
    .update(JSON.stringify([1, root, values, certificates ?? null]))
    .digest('hex');
}
