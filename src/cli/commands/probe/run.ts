import type { Output } from '../../../core/schema.js';
import { jsonLine } from '../../../core/text/json.js';
import { HostMeter } from '../../../io/machine/host.js';
import { knownEngine, recommend } from '../../../local/unit/concurrency.js';
import { unitContext } from '../../../local/unit/context.js';
import type { Flags } from '../../command.js';
import { configFlags } from '../../options.js';
import { jobSize } from '../../sweep/job-size.js';
import { type Terminal, tell } from '../../terminal/streams.js';
import type { schema } from './probe.schema.js';
import { probeJson, renderProbe } from './render.js';

/**
 * `qrun probe [DIR]`: prints the machine, the limits of the engine, and what to run on them. A server that does not
 * answer is reported, and the rest is printed without it: exit 0. Errors: QrunError `USAGE`, `CONFIG`.
 */
export async function probeCommand(directory: string, flags: Flags, terminal: Terminal): Promise<number> {
  const { json, memoryPerJob, coresPerJob } = flags;
  const context = unitContext(directory, configFlags(flags), terminal);
  tell(terminal, context.notices);
  const job = jobSize({ memoryPerJob, coresPerJob }, context.config.memoryMax);
  const [host, engine] = await Promise.all([new HostMeter().read(), knownEngine(context)]);
  if (engine.facts.data === 'server') {
    for (const { notices } of context.connections()) tell(terminal, notices);
  }
  const report = { host, engine, ...recommend(host, engine, job) };
  terminal.out.write(
    json === true
      ? jsonLine<Output<typeof schema>>(probeJson(report))
      : renderProbe(report, terminal.outStyle),
  );
  return 0;
}
