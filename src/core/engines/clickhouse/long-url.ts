import { type Failure, ownFailure } from '../failure.js';

// nginx accepts request lines of 8 KiB, Node and servers before 21.1 accept 16 KiB, and later servers 1 MiB. A URL
// shorter than half of the smallest limit is never too long.
const NEVER_TOO_LONG_BYTES = 4 * 1024;
// What servers and proxies answer then: 414, 431, or (Poco's HTTP server among others) just 400.
const TOO_LONG: ReadonlySet<string> = new Set(['HTTP_414', 'HTTP_431']);
const BAD_REQUEST = 'HTTP_400';
const FIELD_TOO_LONG = /HTML Form Exception: (?:Field value too long|URI too long)/i;

/**
 * Returns the failure of a request whose URL, or one of its fields, was too long for the server or a proxy, with the
 * name of the largest part and what helps. Returns any other failure as it is. A lost connection may have other
 * reasons, so it only gets a hint. `parts`: what of the request is in its URL or in its form fields, and the length of
 * the whole URL.
 */
export function explainLongUrl(
  failure: Failure,
  parts: () => { readonly urlBytes: number; readonly pairs: Readonly<Record<string, string>> },
): Failure {
  const { code, name, message } = failure;
  if (code === 1000 && FIELD_TOO_LONG.test(message)) {
    const why = `a value is too long for the server: ${largest(parts().pairs)}. It takes 131,072 bytes unless http_max_field_value_size is larger in its default profile. ${message}`;
    return tooLong(why);
  }
  const cut = name === 'CONNECTION_LOST';
  if (!TOO_LONG.has(name) && name !== BAD_REQUEST && !cut) return failure;
  const { urlBytes, pairs } = parts();
  if (urlBytes < NEVER_TOO_LONG_BYTES) return failure;
  const size = `the URL of the request has ${urlBytes.toLocaleString('en')} bytes, most of them for ${largest(pairs)}`;
  if (cut) return { ...failure, message: `${message} (${size}, which may be too long)` };
  const limits =
    'ClickHouse 22.8 and later take parameters in the body; before, and in proxies, a URL may have 8 or 16 KiB';
  return tooLong(`${size}, which is too long. ${limits}. ${message}`);
}

function tooLong(message: string): Failure {
  return { ...ownFailure('URL_TOO_LONG', 'permanent', message), neverStarted: true };
}

function largest(pairs: Readonly<Record<string, string>>): string {
  let found = ['', ''] as readonly [string, string];
  for (const pair of Object.entries(pairs)) if (pair[1].length >= found[1].length) found = pair;
  const [name, value] = found;
  const bytes = `${Buffer.byteLength(value).toLocaleString('en')} bytes`;
  if (name.startsWith('param_')) return `the parameter "${name.slice('param_'.length)}" (${bytes})`;
  return name === 'query' ? `the SQL itself (${bytes})` : `the setting "${name}" (${bytes})`;
}
