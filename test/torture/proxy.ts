import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** How a connection ends in the middle of an answer. */
export type Cut = 'reset' | 'fin' | 'hang';

/** What happens to the answer of a request that holds a text. */
export interface CutRule {
  /** Of the request, as it goes over the wire. */
  readonly text: string;
  readonly how: Cut;
  /** Bytes of the answer, headers included, that still get through. */
  readonly afterBytes: number;
  /** How many such requests are hit. */
  times: number;
}

/** A TCP proxy on 127.0.0.1 that ends connections in the middle of answers. */
export interface Proxy {
  readonly url: string;
  readonly rules: CutRule[];
  /** How many connections were cut. */
  cuts: number;
  /** Called with each piece of a request. */
  onRequest: ((text: string) => void) | undefined;
  /** The answer to the last request that held the text, with its headers, as it went over the wire. */
  answerTo(text: string): Buffer;
  stop(): Promise<void>;
}

/** Starts a proxy for a port of 127.0.0.1. */
export async function startProxy(targetPort: number): Promise<Proxy> {
  const sockets = new Set<Socket>();
  const answers = new Map<string, Buffer[]>();
  const server = createServer(client => {
    const target = connect(targetPort, '127.0.0.1');
    let rule: CutRule | undefined;
    let answered = 0;
    let request = '';
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
    }
    client.on('data', chunk => {
      const text = chunk.toString('latin1');
      if (/^(POST|GET) /.test(text)) {
        request = '';
        answered = 0;
      }
      request += text;
      proxy.onRequest?.(text);
      rule ??= proxy.rules.find(entry => entry.times > 0 && request.includes(entry.text));
      if (rule !== undefined && rule.times > 0 && answered === 0) {
        rule.times -= 1;
        cutIfDue();
      }
      target.write(chunk);
    });
    const cutIfDue = (): boolean => {
      if (rule === undefined || answered < rule.afterBytes) return false;
      proxy.cuts += 1;
      const { how } = rule;
      target.removeAllListeners('data');
      target.resume();
      // What was sent must have left before the reset throws it away.
      setImmediate(() => {
        if (how === 'reset') client.resetAndDestroy();
        if (how === 'fin') client.end();
      });
      return true;
    };
    target.on('data', chunk => {
      const left = rule === undefined ? chunk.length : rule.afterBytes - answered;
      const part = chunk.subarray(0, Math.max(0, left));
      answered += part.length;
      answers.set(request, [...(answers.get(request) ?? []), part]);
      if (part.length > 0) client.write(part);
      cutIfDue();
    });
    client.on('close', () => target.destroy());
    target.on('close', () => client.end());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const proxy: Proxy = {
    url: `http://127.0.0.1:${port}`,
    rules: [],
    cuts: 0,
    onRequest: undefined,
    answerTo: text => Buffer.concat([...answers].findLast(([request]) => request.includes(text))?.[1] ?? []),
    stop: () =>
      new Promise(resolve => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
  return proxy;
}
