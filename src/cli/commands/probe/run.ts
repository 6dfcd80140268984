import type { Output } from '../../../core/schema.js';
import { HostMeter } from '../../../io/machine/host.js';
import { knownEngine, recommend } from '../../../local/unit/concurrency.js';
import { unitContext } from '../../../local/unit/context.js';
import { type Call, writeResult } from '../../command.js';
import { jobSize } from '../../flags.js';
import { configFlags } from '../../options.js';
import { tell } from '../../terminal/streams.js';
import type { schema } from './probe.schema.js';
import { probeJson, renderProbe } from './render.js';

/**
 * `qrun probe [DIR]`: prints the machine, the limits of the engine, and what to run on them. A server that does not
 * answer is reported, and the rest is printed without it: exit 0. Errors: QrunError `USAGE`, `CONFIG`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const context = unitContext(directory, configFlags(flags), terminal);
  tell(terminal, context.notices);
  const job = jobSize(flags, context.config.memoryMax);
  const [host, engine] = await Promise.all([new HostMeter().read(), knownEngine(context)]);
  if (engine.facts.data === 'server') {
    for (const { notices } of context.connections()) tell(terminal, notices);
  }
  const report = { host, engine, ...recommend(host, engine, job) };
  writeResult<Output<typeof schema>>(call, probeJson(report), style => renderProbe(report, style));
  return 0;
}
