import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { QrunError } from '../../../core/errors.js';
import type { CancelReport } from '../../../core/sweep/cancel.js';
import { cancelOnHosts } from '../../../local/hosts/cancel.js';
import { readJobs } from '../../../local/jobs/context.js';
import { JobsOf } from '../../../local/jobs/jobs.js';
import type { CancelWatch } from '../../../local/queue/cancel.js';
import { cancelSweep, choiceOf } from '../../../local/sweep/cancel.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { hostsWanted, sweepOf } from '../../sweep/options.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderCancel } from './render.js';

/**
 * `qrun cancel ROOT`: returns 0 when the queue has taken the order, also if there was nothing to cancel; 26 when a host
 * was not reached. Errors: as {@link cancelSweep} and {@link cancelOnHosts}.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument, terminal } = call;
  return await untilStopped(terminal.proc, async (signal, onBegin) => {
    const watch = { signal, onBegin };
    const isFile = statSync(resolve(terminal.cwd, argument), { throwIfNoEntry: false })?.isFile() === true;
    const report = isFile ? await cancelJobs(call, watch) : await cancelUnits(call, watch);
    writeResult<CancelReport>(call, report, style => renderCancel(report, argument, style));
    return report.exit_code;
  });
}

async function cancelUnits(call: Call<string>, watch: CancelWatch): Promise<CancelReport> {
  const { flags, terminal } = call;
  const options = { dryRun: flags.dryRun === true, wait: flags.wait === true };
  const sweep = sweepOf(call);
  const hosts = hostsWanted(sweep, flags);
  if (hosts === undefined) return await cancelSweep(sweep, terminal, choiceOf(sweep), options, watch);
  watch.onBegin?.();
  return await cancelOnHosts(sweep, hosts, options, { env: terminal.env, signal: watch.signal });
}

async function cancelJobs(
  { argument, flags, terminal }: Call<string>,
  watch: CancelWatch,
): Promise<CancelReport> {
  const [host] = stringsFlag(flags, 'hostNames');
  for (const [flag, value] of [
    ['--host', host],
    ['--on', flags.on],
  ] as const) {
    if (value === undefined) continue;
    throw new QrunError(
      'USAGE',
      `${flag} ${value}: ${argument} is a file of process jobs, which run on this machine`,
      { hint: `leave out ${flag}, or give the directory of a sweep` },
    );
  }
  const jobs = new JobsOf(readJobs(argument, terminal, flags), terminal, flags.trust === true);
  const selection = {
    include: stringsFlag(flags, 'includeUnits'),
    exclude: stringsFlag(flags, 'excludeUnits'),
  };
  return await jobs.cancel({ ...selection, dryRun: flags.dryRun === true, wait: flags.wait === true }, watch);
}
