import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { accessSync, constants, rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const BINARY = ['/usr/sbin/clickhouse-server', '/usr/bin/clickhouse-server'].find(isExecutable);
const START_LIMIT_MS = 20_000;

/** A user that the generated configuration knows. */
export interface ServerUser {
  readonly user: string;
  readonly password: string;
}

/** A running server and how to end it. */
export interface ClickHouseServer {
  readonly url: string;
  readonly port: number;
  /** Port of the native protocol, for clickhouse-client; 0 where it is not known. */
  readonly nativePort: number;
  readonly pid: number;
  /** `true` for the server that QRUN_TEST_URL names: it cannot be stopped, killed or restarted. */
  readonly external: boolean;
  /** Who may do everything: the default user, or CLICKHOUSE_USER and CLICKHOUSE_PASSWORD. */
  readonly admin: Partial<ServerUser>;
  /** A second user with all rights and a password. Only on a server of our own. */
  readonly second: ServerUser;
  /** A user whose profile has readonly=1. Only on a server of our own. */
  readonly readonly: ServerUser;
  /** One with readonly=1 whose profile has the values that qrun wants. Only on a server of our own. */
  readonly careful: ServerUser;
  /** One who may do twelve queries in five seconds. Only on a server of our own. */
  readonly limited: ServerUser;
  /** Gives `second` another password, which counts when it resolves. Only on a server of our own. */
  changePassword(password: string): Promise<void>;
  /** What the server has written so far. */
  log(): string;
  /** Ends the server and removes its directories. */
  stop(): Promise<void>;
  /** Ends the server with SIGKILL and keeps its data. */
  kill(): Promise<void>;
  /** Starts the killed server again, on the same port and data. */
  restart(): Promise<void>;
}

/** Whether tests against a real server can run here. */
export function clickHouseServerAvailable(): boolean {
  return process.env.QRUN_TEST_URL !== undefined || BINARY !== undefined;
}

/** Whether the absence of a service must fail the tests in place of leaving them out. */
export function servicesRequired(): boolean {
  return process.env.QRUN_REQUIRE_SERVICES === '1';
}

/** How a server is started. */
export interface ServerOptions {
  readonly maxQueries?: number;
  readonly displayName?: string;
  /** An address of this machine in 10.0.0.0/8 on which it listens too: hosts of the tests reach it there. */
  readonly alsoAt?: string;
}

/**
 * Starts a ClickHouse server of its own on free ports of 127.0.0.1, with directories of its own, and resolves
 * when it answers. Any number may run side by side. With QRUN_TEST_URL that server is used and nothing started.
 */
export async function startClickHouseServer(options: ServerOptions = {}): Promise<ClickHouseServer> {
  const external = process.env.QRUN_TEST_URL;
  if (external !== undefined) return externalServer(external);
  if (BINARY === undefined) throw new Error('no clickhouse-server in /usr/sbin or /usr/bin');
  const directory = await mkdtemp(join(tmpdir(), 'qrun-clickhouse-'));
  for (const name of ['data', 'tmp', 'user_files', 'format_schemas']) await mkdir(join(directory, name));
  await writeFile(join(directory, 'users.xml'), usersXml(options));
  // A free port can be taken between finding and using it.
  for (let attempt = 1; ; attempt += 1) {
    const server = new OwnServer(directory, await freePort(), await freePort(), options);
    try {
      await server.restart();
      return server;
    } catch (error) {
      await server.kill();
      if (attempt === 3 || !server.log().includes('Address already in use')) {
        await rm(directory, { recursive: true, force: true });
        throw error;
      }
    }
  }
}

class OwnServer implements ClickHouseServer {
  readonly external = false;
  readonly admin = {};
  readonly second = { user: 'second', password: SECOND_PASSWORD };
  readonly readonly = { user: 'reader', password: 'reader' };
  readonly careful = { user: 'careful', password: 'careful' };
  readonly limited = { user: 'limited', password: 'limited' };
  readonly url: string;
  #child: ChildProcess | undefined;
  #log = '';
  readonly #killNow = () => {
    this.#child?.kill('SIGKILL');
    try {
      rmSync(this.directory, { recursive: true, force: true });
    } catch {
      // The server may still be writing; the directory is in the place for temporary files.
    }
  };

  constructor(
    readonly directory: string,
    readonly port: number,
    readonly nativePort: number,
    readonly options: ServerOptions,
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  log(): string {
    return this.#log;
  }

  async restart(): Promise<void> {
    const config = join(this.directory, 'config.xml');
    await writeFile(config, configXml(this.directory, this.port, this.nativePort, this.options));
    const child = spawn(BINARY ?? '', ['--config-file', config], {
      cwd: this.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    // A test process that ends early must not leave a server behind.
    process.once('exit', this.#killNow);
    const keep = (chunk: Buffer) => {
      this.#log = (this.#log + chunk.toString('utf8')).slice(-100_000);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    const limit = Date.now() + START_LIMIT_MS;
    while (!(await answers(`${this.url}/ping`))) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > limit) {
        throw new Error(`clickhouse-server did not start:\n${this.#log}`);
      }
      // The server has no other sign of being ready than an answer.
      await sleep(20);
    }
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    process.off('exit', this.#killNow);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise(resolve => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async changePassword(password: string): Promise<void> {
    await writeFile(join(this.directory, 'users.xml'), usersXml(this.options, password));
    const reloaded = await fetch(this.url, { method: 'POST', body: 'SYSTEM RELOAD CONFIG' });
    if (!reloaded.ok) throw new Error(await reloaded.text());
  }

  // An orderly end takes 3 seconds; the data is thrown away, so that nothing is lost without one.
  async stop(): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function externalServer(url: string): ClickHouseServer {
  const { CLICKHOUSE_USER: user, CLICKHOUSE_PASSWORD: password } = process.env;
  const cannot = async () => {
    throw new Error('the server of QRUN_TEST_URL is not ours to stop');
  };
  return {
    url,
    port: Number(new URL(url).port),
    nativePort: 0,
    pid: 0,
    external: true,
    admin: { ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password }) },
    second: { user: 'second', password: 'unknown here' },
    readonly: { user: 'reader', password: 'unknown here' },
    careful: { user: 'careful', password: 'unknown here' },
    limited: { user: 'limited', password: 'unknown here' },
    changePassword: cannot,
    log: () => '',
    stop: async () => undefined,
    kill: cannot,
    restart: cannot,
  };
}

function configXml(
  directory: string,
  port: number,
  nativePort: number,
  { maxQueries = 100, displayName, alsoAt }: ServerOptions,
): string {
  return `<yandex>${displayName === undefined ? '' : `<display_name>${displayName}</display_name>`}
  <logger><level>warning</level><console>1</console></logger>
  <http_port>${port}</http_port>
  <tcp_port>${nativePort}</tcp_port>
  <listen_host>127.0.0.1</listen_host>${alsoAt === undefined ? '' : `<listen_host>${alsoAt}</listen_host>`}
  <path>${directory}/data/</path>
  <tmp_path>${directory}/tmp/</tmp_path>
  <user_files_path>${directory}/user_files/</user_files_path>
  <format_schema_path>${directory}/format_schemas/</format_schema_path>
  <users_config>${directory}/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <max_concurrent_queries>${maxQueries}</max_concurrent_queries>
  <keep_alive_timeout>10</keep_alive_timeout>
  <!-- Written only for queries with log_queries=1. -->
  <query_log><database>system</database><table>query_log</table>
    <flush_interval_milliseconds>100</flush_interval_milliseconds></query_log>
</yandex>
`;
}

const SECOND_PASSWORD = "s3cret'\\ü";

function usersXml({ alsoAt }: ServerOptions, secondPassword = SECOND_PASSWORD): string {
  const others = alsoAt === undefined ? '' : '<ip>10.0.0.0/8</ip>';
  const user = (name: string, password: string, profile = 'default', quota = 'default') => `
    <${name}><password>${password}</password><networks><ip>127.0.0.1</ip>${others}</networks>
      <profile>${profile}</profile><quota>${quota}</quota></${name}>`;
  return `<yandex>
  <profiles><default></default><reader><readonly>1</readonly></reader>
    <careful><output_format_json_quote_64bit_integers>0</output_format_json_quote_64bit_integers>
      <readonly>1</readonly></careful></profiles>
  <users>${user('default', '')}${user('second', secondPassword)}${user('reader', 'reader', 'reader')}
    ${user('careful', 'careful', 'careful')}${user('limited', 'limited', 'default', 'twelve')}
  </users>
  <quotas><default></default><twelve><interval><duration>5</duration><queries>12</queries><errors>0</errors>
    <result_rows>0</result_rows><read_rows>0</read_rows><execution_time>0</execution_time></interval></twelve></quotas>
</yandex>
`;
}

async function answers(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2000) })).ok;
  } catch {
    return false;
  }
}

// Below those that the system gives out (32768 to 60999 on Linux), which others take at any moment: a server of another
// test, or a mere connection.
const FIRST_PORT = 15_000;
const LAST_PORT = 32_000;

/** A port of 127.0.0.1 at which nobody listens, and which is not given to anybody else by chance. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
