import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { HostReply } from '../../../core/hosts/order.js';
import { jsonLine } from '../../../core/text/json.js';
import { carryOut } from '../../../local/hosts/order.js';
import type { Call } from '../../command.js';
import { untilStopped } from '../../terminal/signals.js';

/**
 * `qrun hosts order [ROOT]`: does what the qrun of another machine asks for on stdin, and prints its reply as one JSON
 * line. Returns 0, also when it refuses: the reply says why.
 */
export async function run({ argument: directory, terminal }: Call<string>): Promise<number> {
  const line = await text(terminal.proc.stdin);
  return await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    const reply = await carryOut(resolve(terminal.cwd, directory), line, terminal, signal);
    terminal.out.write(jsonLine<HostReply>(reply));
    return 0;
  });
}
