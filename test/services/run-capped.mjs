// Runs commands with the built runCapped, one after the other, and prints how each ended.
//
//   node run-capped.mjs '[{"command":"true","args":[],"memoryMaxBytes":100000000}, ...]'
//
// What a command prints goes to this process's output too; the ends are lines of JSON that begin with "end ".
import { runCapped, shellExitCode } from '../../dist/io/machine/systemd.js';

for (const request of JSON.parse(process.argv[2])) {
  const uncapped = [];
  const end = await runCapped({ ...request, onUncapped: reason => uncapped.push(reason) });
  process.stdout.write(`end ${JSON.stringify({ ...end, shell: shellExitCode(end), uncapped })}\n`);
}
