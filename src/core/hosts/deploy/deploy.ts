import type { Output } from '../../schema.js';
import { pasteableCommand } from '../../text/shell.js';
import type { HostCheck, HostFinding } from '../check.js';
import type { Host } from '../host.js';
import type { deployedHost, deployStep, schema } from './hosts-deploy.schema.js';
import { nodeOf } from './place.js';

/** What became of one step on one host. */
export interface DeployStep extends Output<typeof deployStep> {}

/** One host, and what became of the new version there. */
export interface DeployedHost extends Output<typeof deployedHost> {}

/** All hosts. */
export interface HostsDeploy extends Output<typeof schema> {}

/** The name of a step. */
export type StepName = DeployStep['step'];

/** Returns a step that was done. */
export function stepDone(step: StepName, says: string): DeployStep {
  return { step, state: 'done', says, mend: null, exit_code: 0 };
}

/** Returns a step that was done, with something that a person has to do. */
export function stepNote(step: StepName, says: string, mend: string): DeployStep {
  return { step, state: 'note', says, mend, exit_code: 0 };
}

/** Returns a step that ends the deployment on a host. */
export function stepProblem(
  step: StepName,
  { says, mend }: { readonly says: string; readonly mend: string },
  exitCode: number,
): DeployStep {
  return { step, state: 'problem', says, mend, exit_code: exitCode };
}

// Without these nothing can be brought to a host. All else that a check finds, a deployment may mend, or does not need.
const NEEDED: ReadonlySet<string> = new Set(['ssh', 'rsync']);

/** Returns the problems of a check that prevent a deployment. */
export function blockers({ findings }: Pick<HostCheck, 'findings'>): readonly HostFinding[] {
  return findings.filter(({ what, state }) => state === 'problem' && NEEDED.has(what));
}

/** Returns what else prevents a sweep there, and is not mended by a deployment. */
export function otherProblem({ findings }: Pick<HostCheck, 'findings'>): HostFinding | undefined {
  return findings.find(({ what, state }) => state === 'problem' && what !== 'qrun' && !NEEDED.has(what));
}

/**
 * Returns what happens to what runs and waits on a host. Nothing has to wait for it: a run keeps the files that it was
 * started from, and a queued task names the directory of the version that submitted it.
 */
export function decision({ qrun, sweeps }: HostCheck): string {
  if (sweeps.length > 0) {
    const shown = sweeps.map(
      ({ sweep, running, queued }) => `${sweep}: ${running} running, ${queued} queued`,
    );
    return `${shown.join('; ')}. They stay with the version that submitted them`;
  }
  return qrun === null
    ? 'no qrun answers there: nothing of it is known to run'
    : 'nothing runs or waits there';
}

/** Returns what `qrun` of a host must be in qrun.toml, so that it leads to the current version. */
export function wordsFor(host: Host, place: string): readonly string[] {
  const program = `${place}/current/bin/qrun.cjs`;
  const node = nodeOf(host);
  return node === 'node' ? [program] : [node, program];
}

/** Returns the line of qrun.toml that names the qrun of a host. */
export function tomlLine(words: readonly string[]): string {
  // What JSON escapes, TOML escapes in the same way; paths hold no control characters that only one of them knows.
  const quoted = words.map(word => JSON.stringify(word));
  return `qrun = ${quoted.length === 1 ? quoted[0] : `[${quoted.join(', ')}]`}`;
}

/** Returns the exit code of a deployment: that of the worst step; 0 without a problem. 26 for a host, 23 for its disk. */
export function deployExit(hosts: readonly Pick<DeployedHost, 'steps'>[]): number {
  return Math.max(0, ...hosts.flatMap(({ steps }) => steps.map(({ exit_code: code }) => code)));
}

/** Returns the commands to give after a deployment, for the sweep in a directory. */
export function nextCommands(hosts: readonly DeployedHost[], directory: string): readonly string[] {
  if (hosts.every(({ switched }) => !switched)) return [];
  const only = hosts.every(({ switched }) => switched)
    ? []
    : hosts.flatMap(({ name, switched }) => (switched ? [`--host=${name}`] : []));
  const change = hosts.some(({ qrun }) => qrun !== null)
    ? [pasteableCommand(['qrun', 'trust', directory])]
    : [];
  return [
    ...change,
    pasteableCommand(['qrun', 'submit-all', directory, ...only]),
    pasteableCommand(['qrun', 'status', directory, '--watch']),
  ];
}
