import { resolve } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import type { HostReply } from '../../../core/hosts/order.js';
import { jsonLine } from '../../../core/text/json.js';
import { carryOut } from '../../../local/hosts/order.js';
import type { Call } from '../../command.js';
import { untilStopped } from '../../terminal/signals.js';

/**
 * `qrun hosts order [ROOT]`: does what the qrun of another machine asks for, one line of stdin after the other, and
 * prints its reply to each as one JSON line. Returns 0 at the end of stdin, also when it refuses: the reply says why.
 */
export async function run({ argument: directory, terminal }: Call<string>): Promise<number> {
  const root = resolve(terminal.cwd, directory);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    for await (const line of linesOf(terminal.proc.stdin, signal)) {
      terminal.out.write(jsonLine<HostReply>(await carryOut(root, line, terminal, signal)));
    }
    return 0;
  });
}

// At least one, so that nobody who asks nothing waits for a reply.
async function* linesOf(stdin: Readable, signal: AbortSignal): AsyncGenerator<string> {
  let parts: string[] = [];
  let isFirst = true;
  for await (const text of addAbortSignal(signal, stdin).setEncoding('utf8') as AsyncIterable<string>) {
    const [end = '', ...more] = text.split('\n');
    parts.push(end);
    for (const begin of more) {
      yield parts.join('');
      isFirst = false;
      parts = [begin];
    }
  }
  const rest = parts.join('');
  if (rest !== '' || isFirst) yield rest;
}
