import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './clickhouse-server.js';

const BINARY = ['/usr/sbin/haproxy', '/usr/bin/haproxy'].find(path => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
});

/** A running HAProxy and how to end it. */
export interface HaProxy {
  readonly url: string;
  stop(): Promise<void>;
}

/** Whether HAProxy is installed. */
export function haProxyAvailable(): boolean {
  return BINARY !== undefined;
}

/**
 * Starts an HAProxy on a free port of 127.0.0.1 in front of servers, and resolves when it listens. `tcp` leads each
 * connection, `http` each request to the next one. `lines` are put into its frontend.
 */
export async function startHaProxy(
  mode: 'tcp' | 'http',
  ports: readonly number[],
  { balance = 'roundrobin', lines = [] }: { balance?: string; lines?: readonly string[] } = {},
): Promise<HaProxy> {
  if (BINARY === undefined) throw new Error('no haproxy in /usr/sbin or /usr/bin');
  const directory = await mkdtemp(join(tmpdir(), 'qrun-haproxy-'));
  const port = await freePort();
  const config = join(directory, 'haproxy.cfg');
  await writeFile(
    config,
    `defaults
  mode ${mode}
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:${port}
${lines.map(line => `  ${line}\n`).join('')}  default_backend servers
backend servers
  balance ${balance}
${ports.map((each, index) => `  server s${index} 127.0.0.1:${each}\n`).join('')}`,
  );
  const child = spawn(BINARY, ['-db', '-f', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const killNow = () => child.kill('SIGKILL');
  process.once('exit', killNow);
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`haproxy did not start: ${said}`);
    // It has no other sign of being ready than that it listens.
    await sleep(20);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    stop: async () => {
      process.off('exit', killNow);
      await endOf(child);
      await rm(directory, { recursive: true });
    },
  };
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise(resolve => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

function listens(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
