import { resolve } from 'node:path';
import type { HereReport } from '../../../core/hosts/look.js';
import { jsonLine } from '../../../core/text/json.js';
import { lookHere } from '../../../local/hosts/here.js';
import type { Call } from '../../command.js';
import { configFlags } from '../../options.js';

/** `qrun hosts here [ROOT]`: one JSON line, for the qrun of another machine. Returns 0, whatever is missing. */
export async function run({ argument: directory, flags, terminal }: Call<string>): Promise<number> {
  const root = resolve(terminal.cwd, directory);
  const report = await lookHere(root, configFlags(flags), terminal, terminal.proc.versions.node);
  terminal.out.write(jsonLine<HereReport>(report));
  return 0;
}
