// Node's codes for what is wrong with a certificate (X509_V_ERR_* of OpenSSL without the prefix), and for alerts that
// the other side sends.
const HINTS: readonly (readonly [RegExp, string])[] = [
  [/CERT_HAS_EXPIRED/, 'it has to be renewed on the server, or the clock of this machine is wrong'],
  [/CERT_NOT_YET_VALID/, 'it is not valid yet: check the clock of this machine'],
  [/CERT_REVOKED/, 'its issuer has withdrawn it: the server needs another one'],
  [
    /ALERT_(?:CERTIFICATE_REQUIRED|BAD_CERTIFICATE|HANDSHAKE_FAILURE)/i,
    'the server may ask for a certificate of the client, which qrun does not have: use another port, or a proxy',
  ],
  [
    /UNSUPPORTED_PROTOCOL|ALERT_PROTOCOL_VERSION/i,
    'client and server share no version of TLS (qrun uses 1.2 and later)',
  ],
];
const OTHER_NAME = /ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH/;
const NAMES = /\(the certificate is for ([^()]*)\)/;
const UNKNOWN_ISSUER =
  /DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT|UNABLE_TO_VERIFY_LEAF_SIGNATURE|CERT_SIGNATURE_FAILURE|CERT_UNTRUSTED/;

/**
 * Returns what to do about a certificate or handshake that failed with this message of Node; `undefined` if nothing is
 * known. `hasCa`: certificates to trust were given (`--ca-file`).
 */
export function tlsHint(message: string, hasCa: boolean): string | undefined {
  if (OTHER_NAME.test(message)) {
    const names = NAMES.exec(message)?.[1] ?? 'another name';
    return `it is for ${names}: use such a name in the URL, or have a certificate made for this one`;
  }
  const known = HINTS.find(([pattern]) => pattern.test(message));
  if (known !== undefined) return known[1];
  if (!UNKNOWN_ISSUER.test(message)) return undefined;
  const selfSigned = message.includes('DEPTH_ZERO_SELF_SIGNED_CERT');
  if (hasCa) {
    return selfSigned
      ? 'it is self-signed, and is not the one in --ca-file'
      : 'the file that --ca-file names does not hold the certificate of its issuer (all of the chain above it)';
  }
  return selfSigned
    ? 'it is self-signed: give this certificate itself with --ca-file'
    : 'its issuer is not known here: give the certificate of its issuer with --ca-file';
}
