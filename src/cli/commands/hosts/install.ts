import { text } from 'node:stream/consumers';
import type { InstallReply } from '../../../core/hosts/deploy/install.js';
import { jsonLine } from '../../../core/text/json.js';
import { install } from '../../../local/hosts/deploy/install.js';
import type { Call } from '../../command.js';

/** `qrun hosts install`: a step of `qrun hosts deploy` there. Prints a JSON line, and returns 0, also if it refuses. */
export async function run({ terminal }: Call): Promise<number> {
  const reply = await install(await text(terminal.proc.stdin), terminal);
  terminal.out.write(jsonLine<InstallReply>(reply));
  return 0;
}
