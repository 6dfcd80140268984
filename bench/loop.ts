import { setMaxListeners } from 'node:events';
import { Agent, request } from 'node:http';
import { createClient } from '@clickhouse/client';
import { Pool } from 'undici';
import { HTTP_PARAMETERS } from '../src/core/engines/engine-settings.js';
import { HttpChannel } from '../src/io/engines/clickhouse/http/channel.js';
import { ServerIdentity } from '../src/io/engines/clickhouse/http/identity.js';

// Sends small queries over HTTP in a bare loop and discards the results: the most that each transport allows.
// usage: loop.js KIND PORT QUERIES CONCURRENCY SQL

const [kind = '', port = '', queries = '', concurrency = '', sql = ''] = process.argv.slice(2);
const origin = `http://127.0.0.1:${port}`;
const path = `/?${new URLSearchParams(HTTP_PARAMETERS)}`;

interface Loop {
  one(): Promise<void>;
  end(): Promise<void> | void;
}

const LOOPS: Readonly<Record<string, () => Loop>> = {
  http() {
    const agent = new Agent({ keepAlive: true, maxSockets: Number(concurrency) });
    return {
      one: () =>
        new Promise((done, fail) => {
          const post = request({ agent, host: '127.0.0.1', port, method: 'POST', path }, response => {
            response.resume();
            response.once('end', done);
          });
          post.once('error', fail);
          post.end(sql);
        }),
      end: () => agent.destroy(),
    };
  },
  undici() {
    const pool = new Pool(origin, { connections: Number(concurrency) });
    return {
      one: async () => {
        const { body } = await pool.request({ method: 'POST', path, body: sql });
        await body.text();
      },
      end: () => pool.close(),
    };
  },
  client() {
    const client = createClient({ url: origin, max_open_connections: Number(concurrency) + 2 });
    return {
      one: async () => {
        const { stream } = await client.exec({ query: sql, clickhouse_settings: HTTP_PARAMETERS });
        for await (const _ of stream);
      },
      end: () => client.close(),
    };
  },
  "qrun's channel"() {
    const endpoint = { origin, path: '/', url: origin, user: undefined, password: undefined, ca: undefined };
    const channel = new HttpChannel(endpoint, Number(concurrency) + 2, new ServerIdentity());
    const never = new AbortController().signal;
    setMaxListeners(0, never);
    return {
      one: async () => {
        const answer = await channel.call({ sql, queryId: '', query: HTTP_PARAMETERS }, never);
        if (!answer.ok) throw new Error(answer.failure.message);
      },
      end: () => channel.close(),
    };
  },
};

const loop = LOOPS[kind]?.();
if (loop === undefined) throw new Error(`no loop ${kind}`);
const go = async (count: number): Promise<void> => {
  let sent = 0;
  const work = async (): Promise<void> => {
    while (sent < count) {
      sent += 1;
      await loop.one();
    }
  };
  await Promise.all(Array.from({ length: Number(concurrency) }, work));
};
// Warms up V8's compiler and opens the connections.
await go(Math.ceil(Number(queries) / 10));
const cpu = process.cpuUsage();
const startedMs = performance.now();
await go(Number(queries));
const seconds = (performance.now() - startedMs) / 1000;
const { user, system } = process.cpuUsage(cpu);
await loop.end();
process.stdout.write(JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6 }));
