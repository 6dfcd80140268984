import { describe, expect, it } from 'vitest';
import { tlsHint } from '../../../src/core/engines/clickhouse/tls-hint.js';

describe('tlsHint', () => {
  it.each([
    [
      'Hostname/IP does not match (the certificate is for DNS:a.b) (ERR_TLS_CERT_ALTNAME_INVALID)',
      'it is for DNS:a.b:',
    ],
    ['Hostname mismatch (HOSTNAME_MISMATCH)', 'it is for another name:'],
    ['certificate has expired (CERT_HAS_EXPIRED)', 'renewed'],
    ['certificate is not yet valid (CERT_NOT_YET_VALID)', 'clock'],
    ['certificate revoked (CERT_REVOKED)', 'withdrawn'],
    [
      'tlsv13 alert certificate required (ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED)',
      'certificate of the client',
    ],
    ['unsupported protocol (ERR_SSL_UNSUPPORTED_PROTOCOL)', '1.2'],
  ])('of %s does not send people to --ca-file, whether one was given or not', (message, part) => {
    for (const hasCa of [false, true]) {
      expect(tlsHint(message, hasCa)).toContain(part);
      expect(tlsHint(message, hasCa)).not.toContain('--ca-file');
    }
  });

  it.each([
    [
      'self-signed certificate (DEPTH_ZERO_SELF_SIGNED_CERT)',
      'this certificate itself',
      'not the one in --ca-file',
    ],
    [
      'self-signed certificate in certificate chain (SELF_SIGNED_CERT_IN_CHAIN)',
      'not known here',
      'does not hold',
    ],
    [
      'unable to get local issuer certificate (UNABLE_TO_GET_ISSUER_CERT_LOCALLY)',
      'not known here',
      'does not hold',
    ],
    [
      'unable to verify the first certificate (UNABLE_TO_VERIFY_LEAF_SIGNATURE)',
      'not known here',
      'does not hold',
    ],
  ])('of %s depends on whether a CA was given', (message, without, withCa) => {
    expect(tlsHint(message, false)).toContain(without);
    expect(tlsHint(message, true)).toContain(withCa);
  });

  it('says nothing of what is not known', () => {
    expect(tlsHint('something (ERR_SSL_WEIRD)', false)).toBeUndefined();
  });
});
