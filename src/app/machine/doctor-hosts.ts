import type { HostsCheck } from '../../core/hosts/check.js';
import { installCommand } from '../../core/hosts/ssh-failure.js';
import { formatSize } from '../../core/text/bytes.js';
import { about, type Finding } from './finding.js';

/** What is known about the hosts that the configuration names. */
export interface HostsFacts {
  /** The versions of the programs that reach them; `undefined` for one that is not here. */
  readonly programs: Readonly<Record<'ssh' | 'rsync', string | undefined>>;
  /** What a look at each has found. Errors: QrunError, if nothing was looked at. */
  readonly check: () => Promise<HostsCheck>;
}

/** Returns the problem that a program that reaches hosts is not here. */
export function missingProgram(name: string): Finding {
  return about(name, 'host').problem(
    `there is no program ${name} in PATH: no host can be reached`,
    installCommand(name),
  );
}

/** Returns what is found about one host: its problems, or what it has. */
export function hostFindings({ name, findings, ...host }: HostsCheck['hosts'][number]): Finding[] {
  const what = `host ${name}`;
  const bad = findings.map(({ what: part, state, says, mend, exit_code: code }): Finding => {
    const kind = code === 23 ? 'log directory' : 'host';
    return { what, state, says: `${part}: ${says}`, mend, class: kind };
  });
  if (bad.some(({ state }) => state === 'problem')) return bad;
  const { node: nodeThere, qrun, queue: queueThere, free_bytes: free } = host;
  const disk = free === null ? [] : [`${formatSize(free)} free`];
  const parts = [`Node ${nodeThere}`, `qrun ${qrun}`, `queue ${queueThere}`, ...disk];
  return [about(what, 'host').ok(parts.join(', ')), ...bad];
}
