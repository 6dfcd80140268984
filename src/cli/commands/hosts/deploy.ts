import { QrunError } from '../../../core/errors.js';
import type { HostsDeploy } from '../../../core/hosts/deploy/deploy.js';
import { jsonLine } from '../../../core/text/json.js';
import { deployToHosts } from '../../../local/hosts/deploy/deploy.js';
import { resolveSweep } from '../../../local/sweep/context.js';
import type { Call } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { configFlags } from '../../options.js';
import { untilStopped } from '../../terminal/signals.js';
import { renderBegin, renderEnd, stepsRenderer } from './render-deploy.js';

const ALL_UNITS = { include: [], exclude: [] };

/**
 * `qrun hosts deploy [ROOT]`: brings this qrun to the hosts. Prints each step when all hosts have done it. Returns 0, or
 * the exit code of the worst problem.
 *
 * Errors: QrunError `CONFIG` for a tree that is not trusted or names no hosts, `USAGE`, `SSH_MISSING`, `WRITE_FAILED`.
 */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  const { out, outStyle: style, env } = terminal;
  if (flags.resubmit === true && (flags.json === true || flags.dryRun === true)) {
    throw new QrunError('USAGE', '--resubmit goes with neither --json nor --dry-run', {
      hint: 'give qrun submit-all --json after the deployment',
    });
  }
  if (flags.withChdb === true && flags.withoutChdb === true) {
    throw new QrunError('USAGE', '--with-chdb and --without-chdb exclude each other', {
      hint: 'leave one of them out',
    });
  }
  const link = flags.link === undefined ? undefined : String(flags.link);
  if (link !== undefined && !/^\/[^\p{Cc}\p{Zl}\p{Zp}]*$/u.test(link)) {
    throw new QrunError('USAGE', `--link ${JSON.stringify(link)} is no absolute path on the hosts`, {
      hint: 'name a directory there such as /usr/local/bin',
    });
  }
  const sweep = resolveSweep(directory, configFlags(flags), terminal, ALL_UNITS);
  let isWhole = false;
  const exitCode = await untilStopped(terminal.proc, async (signal, listen) => {
    listen();
    const isText = flags.json !== true;
    const names = stringsFlag(flags, 'host');
    const steps = stepsRenderer(
      style,
      names.length === 0 ? sweep.config.hosts.map(({ name }) => name) : names,
    );
    const report = await deployToHosts(
      sweep,
      {
        names,
        dryRun: flags.dryRun === true,
        withEngine: flags.withChdb === true ? true : flags.withoutChdb === true ? false : undefined,
        link,
        prune: flags.prune === true,
        onBegin: isText ? what => void out.write(renderBegin(what)) : undefined,
        onStep: isText ? (host, step) => void out.write(steps(host, step)) : undefined,
      },
      { env, signal },
    );
    out.write(isText ? renderEnd(report, style) : jsonLine<HostsDeploy>(report));
    isWhole = report.hosts.every(({ switched, qrun }) => switched && qrun === null);
    return report.exit_code;
  });
  if (flags.resubmit !== true || exitCode !== 0) return exitCode;
  if (!isWhole) {
    throw new QrunError('CONFIG', 'nothing was submitted: qrun.toml does not lead to what was deployed yet', {
      hint: 'change it as said above, and then qrun submit-all',
    });
  }
  out.write('\n');
  const submit = await import('../submit-all/run.js');
  return await submit.run({ ...call, flags: { hostNames: stringsFlag(flags, 'host'), trust: flags.trust } });
}
