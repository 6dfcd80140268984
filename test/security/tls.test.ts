import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { sweepContext } from '../../src/local/config/sweep-context.js';
import { endAll, put, qrun, removeTree, tree } from '../integration/qrun.js';

const PW = { CLICKHOUSE_PASSWORD: 'victim-pw-123' };
let root = '';
beforeEach(() => {
  root = tree({ 'u/a.sql': 'SELECT 1 AS v' });
});
afterEach(() => {
  endAll();
  removeTree(root);
});

it('no variable switches the proof of a certificate off', async () => {
  const [key, cert] = [join(root, 'key.pem'), join(root, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
  const kind = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2'];
  execFileSync('openssl', [...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'ignore' });
  const credentials: string[] = [];
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    credentials.push(request.headers.authorization ?? '');
    response.writeHead(403).end();
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  try {
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const off = { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1' };
    const refused = await qrun(['unit', 'u', '--url', url], { cwd: root, env: { ...PW, ...off } });
    expect([refused.code, refused.stderr]).toEqual([24, expect.stringContaining('is not accepted')]);
    // Nor for what is asked about a server.
    const probed = await qrun(['probe', 'u', '--json', '--url', url], { cwd: root, env: { ...PW, ...off } });
    expect(JSON.parse(probed.stdout).engine.error).toContain('is not accepted');
    expect(credentials).toEqual([]);
    // The server is one: with its certificate the password comes.
    const known = await qrun(['unit', 'u', '--url', url, '--ca-file', cert], { cwd: root, env: PW });
    expect(known.code).toBe(24);
    expect(credentials.length).toBeGreaterThan(0);
  } finally {
    server.closeAllConnections();
    await new Promise(resolve => server.close(resolve));
  }
});

it('one line says where a password goes in clear to another machine', () => {
  const notices = (url: string, env: Readonly<Record<string, string>> = PW): string =>
    sweepContext(join(root, 'u'), { flags: { url } }, { cwd: root, env })
      .connections()[0]
      ?.notices.join('\n') ?? '';
  expect(notices('http://ch.example:8123')).toContain('goes to http://ch.example:8123 in clear');
  expect(notices('HTTP://ch.example')).toContain('in clear');
  expect(notices('https://ch.example')).toBe('');
  expect(notices('http://localhost:8123')).toBe('');
  expect(notices('http://127.0.0.2')).toBe('');
  expect(notices('http://ch.example:8123', {})).toBe('');
  put(root, '.env', 'CLICKHOUSE_PASSWORD=trees\n');
  expect(notices('http://ch.example:8123', {})).toContain('in clear');
});
