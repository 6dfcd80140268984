import { tlsHint } from '../../../core/engines/clickhouse/tls-hint.js';
import type { Failure } from '../../../core/engines/failure.js';
import { refusalOf } from '../../../core/engines/refusal.js';
import { QrunError } from '../../../core/errors.js';
import type { HttpEndpoint } from './http/endpoint.js';
import { refusesSetting } from './readonly.js';

/** Returns `ENGINE_REFUSED`: parameters of the URL do not reach the server. */
export function lostError(lost: readonly string[], { origin }: HttpEndpoint): QrunError {
  const names = lost.slice(0, 12).join(', ') + (lost.length > 12 ? ` and ${lost.length - 12} more` : '');
  const verb = lost.length === 1 ? 'does' : 'do';
  return new QrunError(
    'ENGINE_REFUSED',
    `a proxy at ${origin} drops or replaces what qrun asks for in the URL: ${names} ${verb} not reach ClickHouse`,
    {
      hint: "let the proxy pass all URL parameters on as they are, or give the server's own address; chproxy passes on only a few, whatever its configuration",
    },
  );
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'start the server, or check host and port: HTTP is 8123, HTTPS 8443 (9000 is not HTTP)'],
  [/ENOTFOUND|EAI_AGAIN/, 'the name of the host is not known here: check its spelling and DNS'],
  [/9000/, 'use the HTTP port, 8123 by default'],
  [/HPE_|Parse Error/, 'what answers there does not speak HTTP: check the port (HTTP is 8123, HTTPS 8443)'],
  [
    /wrong version number|packet length too long|EPROTO/i,
    'the port does not speak TLS: use http://, or another port',
  ],
  [
    /socket hang up|ECONNRESET/,
    'the connection was closed without an answer: an https port, a proxy, or a server that asks for a certificate of the client?',
  ],
  [
    /X-ClickHouse-Server-Display-Name/,
    'every ClickHouse from 18.16 on sends this header: if there is one behind a proxy, let the X-ClickHouse-* headers of its answers through',
  ],
  [/^HTTP 3\d\d/, 'give the URL that it redirects to; redirects are not followed'],
];

/**
 * Returns the error for a failed first request, which says what answered and what to do: `ENGINE_UNREACHABLE`,
 * `ENGINE_REFUSED`, or `CONFIG` if the URL is too long. Its cause is the failure.
 */
export function openError(
  failure: Failure,
  endpoint: HttpEndpoint,
  options: { readonly database?: string },
): QrunError {
  const { code, message, hint } = whyNotOpen(failure, endpoint, options);
  return new QrunError(code, message, { ...(hint === undefined ? {} : { hint }), cause: failure });
}

function whyNotOpen(
  failure: Failure,
  { url: origin, user, ca, path }: HttpEndpoint,
  { database }: { readonly database?: string },
): QrunError {
  const { code, name, message } = failure;
  const who = `"${user ?? 'default'}"`;
  if (name === 'URL_TOO_LONG') return new QrunError('CONFIG', `${origin} refuses the request: ${message}`);
  const refusal = refusalOf(failure);
  if (refusal === 'quota') {
    return new QrunError(
      'ENGINE_REFUSED',
      `the quota of the user ${who} on ${origin} is used up: ${message}`,
      {
        hint: 'run the same command again when the interval has ended',
      },
    );
  }
  if (refusal === 'credentials') {
    return new QrunError('ENGINE_REFUSED', `${origin} refuses the user ${who}: ${message}`, {
      hint: 'check the user and the password',
    });
  }
  if (code === 81) {
    return new QrunError('ENGINE_REFUSED', `${origin} has no database "${database ?? ''}"`, {
      hint: 'SHOW DATABASES lists those that the user may see',
    });
  }
  if (refusesSetting(failure)) {
    return new QrunError(
      'ENGINE_REFUSED',
      `the user ${who} may not change settings on ${origin}: ${message}`,
      {
        hint: 'qrun sends settings with each query; give the user a profile with readonly 0 or 2 instead of 1',
      },
    );
  }
  if (code > 0) {
    return new QrunError('ENGINE_REFUSED', `${origin} answers, but does not run a simple query: ${message}`);
  }
  if (name === 'TLS_FAILED' && !/EPROTO|wrong version|packet length/i.test(message)) {
    const hint = tlsHint(message, ca !== undefined);
    return new QrunError(
      'ENGINE_UNREACHABLE',
      `the certificate of ${origin} is not accepted: ${message}`,
      hint === undefined ? {} : { hint },
    );
  }
  const hint =
    name === 'HTTP_404' && path !== '/'
      ? 'check the path of the URL, with or without a slash at its end; a database is given with --database'
      : HINTS.find(([pattern]) => pattern.test(message))?.[1];
  const foreign = name.startsWith('HTTP_') || name === 'NOT_CLICKHOUSE' || name.startsWith('RESULT_');
  const text = foreign
    ? `what answers at ${origin} is not ClickHouse`
    : `no ClickHouse server answers at ${origin}`;
  return new QrunError('ENGINE_UNREACHABLE', `${text}: ${message}`, hint === undefined ? {} : { hint });
}
