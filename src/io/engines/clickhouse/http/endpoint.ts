import { QrunError } from '../../../../core/errors.js';
import { readBytesAsync } from '../../../files/read-file.js';

/** Where a server is, and as which user to ask. */
export interface HttpEndpoint {
  /** Scheme, host and port; nothing else. */
  readonly origin: string;
  /** The path that requests go to: `/`, or what a proxy serves the server under. */
  readonly path: string;
  /** Both together, for people. */
  readonly url: string;
  readonly user: string | undefined;
  readonly password: string | undefined;
  /** Certificates in PEM that are trusted instead of the system's. */
  readonly ca: Buffer | undefined;
}

/** How a user names a server and its user. */
export interface EndpointOptions {
  /** `http://host:8123` or `https://host/path/`, without parameters; a user before the `@` is accepted. */
  readonly url: string;
  readonly user?: string;
  readonly password?: string;
  /** Certificates (PEM) to trust instead of the system's. */
  readonly caFile?: string;
}

/** Checks the options, and returns the endpoint that they name. Errors: QrunError `CONFIG`. */
export async function endpointOf(options: EndpointOptions): Promise<HttpEndpoint> {
  // Everything up to the last @ may be a password, even in a string that is not a URL.
  const shown = options.url.replace(/^([a-z]+:\/\/)?.*@/is, '$1');
  const bad = (what: string, hint = 'the form is http://host:8123 or https://host:8443') =>
    new QrunError('CONFIG', `the ClickHouse URL "${shown}" ${what}`, { hint });
  let url: URL;
  let userInUrl: string;
  try {
    url = new URL(options.url);
    userInUrl = decodeURIComponent(url.username);
  } catch {
    throw bad('is not a URL');
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw bad('must begin with http:// or https://');
  if (url.password !== '') {
    throw bad(
      'holds a password, which would be seen in process lists and logs',
      'give it in CLICKHOUSE_PASSWORD (environment or .env) or in a password file',
    );
  }
  // In `http://me:1/2@host`, every URL parser takes "me" for the host and the rest of the password for the path.
  if (url.pathname.includes('@')) {
    throw bad('has an @ after the host', 'write / and @ in a user or a path as %2F and %40');
  }
  if (url.search !== '' || url.hash !== '')
    throw bad('has parameters', 'settings are given with --set name=value');
  if (userInUrl !== '' && options.user !== undefined && options.user !== userInUrl) {
    throw bad(
      `names the user "${userInUrl}", and the user "${options.user}" is given too`,
      'give one of them',
    );
  }
  return {
    origin: url.origin,
    path: url.pathname,
    url: url.pathname === '/' ? url.origin : `${url.origin}${url.pathname}`,
    user: options.user ?? (userInUrl === '' ? undefined : userInUrl),
    password: options.password,
    ca: options.caFile === undefined ? undefined : await readCa(options.caFile, url),
  };
}

async function readCa(path: string, url: URL): Promise<Buffer> {
  if (url.protocol !== 'https:') {
    throw new QrunError('CONFIG', `a CA file (${path}) is of no use with ${url.origin}`, {
      hint: 'use an https:// URL, or omit the CA file',
    });
  }
  let ca: Buffer;
  try {
    ca = await readBytesAsync(path, 'certificates');
  } catch (cause) {
    throw new QrunError('CONFIG', `cannot read the CA file ${path}: ${(cause as Error).message}`, { cause });
  }
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) {
    throw new QrunError('CONFIG', `the CA file ${path} holds no certificate`, {
      hint: 'it must be in PEM form, with -----BEGIN CERTIFICATE-----',
    });
  }
  return ca;
}
