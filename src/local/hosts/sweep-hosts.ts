import { join, relative } from 'node:path';
import { byTomlName, entryOf, TOML_KEYS } from '../../core/config/keys.js';
import type { ConfigKey } from '../../core/config/table.js';
import { QrunError } from '../../core/errors.js';
import type { Host } from '../../core/hosts/host.js';
import {
  type HostAsk,
  type HostOrder,
  type HostReturn,
  type HostWork,
  parseReply,
} from '../../core/hosts/order.js';
import type { HostRefusal } from '../../core/hosts/refusal.js';
import { checkHint, type HostProblem, sshProblem } from '../../core/hosts/ssh-failure.js';
import { pasteableCommand } from '../../core/text/shell.js';
import { isBeneath } from '../../io/files/paths.js';
import { HostConnections, type SshOptions } from '../../io/hosts/ssh.js';
import type { ProgramEnd } from '../../io/machine/program.js';
import { version } from '../../io/machine/this-process.js';
import type { ResolvedSweep } from '../sweep/context.js';
import { hostsOfTree } from './hosts-of-tree.js';

/** What a host returned, or why it returned nothing. */
export type HostAnswer<T> =
  | { readonly host: Host; readonly returns: T }
  | { readonly host: Host; readonly problem: HostProblem };

/** What a host is asked: about which units, and what the work needs to know. */
export interface HostQuestion<W extends HostWork> {
  readonly units: readonly string[] | null;
  readonly ask: HostAsk<W>;
}

/**
 * The hosts of a sweep, with one login to each. A host that cannot be reached delays nobody but itself.
 *
 * Errors of each method: QrunError `SSH_MISSING`; the reason of the signal.
 */
export interface SweepHosts {
  readonly hosts: readonly Host[];
  readonly connections: HostConnections;
  /**
   * Asks hosts, all at once, to do a work with their part of the sweep, and resolves with their answers in their order.
   * `question`: `undefined` leaves a host out; it is then not in the answers.
   */
  ask<W extends HostWork>(
    work: W,
    question: (host: Host) => HostQuestion<W> | undefined,
    limitMs: number,
  ): Promise<HostAnswer<HostReturn<W>>[]>;
  /** Asks one of them. */
  askOne<W extends HostWork>(
    host: Host,
    work: W,
    question: HostQuestion<W>,
    limitMs: number,
  ): Promise<HostAnswer<HostReturn<W>>>;
}

/**
 * Connects to the hosts of a sweep (those with these names; all without names), does `work`, and closes the connections.
 * One login, and one qrun there, serve all questions to a host. `shared: false` is for a work that asks each of them
 * nothing else.
 *
 * Errors: as {@link hostsOfTree} and {@link SweepHosts}; those of `work`.
 */
export async function withHosts<T>(
  sweep: ResolvedSweep,
  names: readonly string[],
  options: SshOptions,
  work: (hosts: SweepHosts) => Promise<T>,
): Promise<T> {
  const hosts = hostsOfTree(sweep, names);
  const connections = new HostConnections({ shared: true, ...options });
  const askOne: SweepHosts['askOne'] = async (host, name, question, limitMs) => {
    const words = [...host.qrun, 'hosts', 'order', host.root];
    const line = `${JSON.stringify(orderOf(sweep, host, name, question))}\n`;
    const end = await connections.ask(host, words, line, {
      isAnswer: text => parseReply(text) !== undefined,
      timeoutMs: limitMs,
    });
    return answerOf(host, end);
  };
  const ask: SweepHosts['ask'] = async (name, question, limitMs) =>
    await Promise.all(
      hosts.flatMap(host => {
        const one = question(host);
        return one === undefined ? [] : [askOne(host, name, one, limitMs)];
      }),
    );
  try {
    return await work({ hosts, connections, ask, askOne });
  } finally {
    await connections.close();
  }
}

function orderOf<W extends HostWork>(
  { name, group, root, given, sources, timeZone }: ResolvedSweep,
  host: Host,
  work: W,
  { units, ask }: HostQuestion<W>,
): HostOrder<W> {
  // What qrun.toml says is in the qrun.toml that was pushed, and each machine has a .env of its own.
  const isSent = (key: ConfigKey): boolean => sources[key] !== 'qrun.toml' && sources[key] !== '.env';
  const keys = TOML_KEYS.filter(key => isSent(key) && given[key] !== undefined);
  // What lies in the tree here lies in the tree there.
  const there = (key: ConfigKey): unknown => {
    const value = given[key];
    const isOfTree = entryOf(key).path === true && typeof value === 'string' && isBeneath(value, root);
    return isOfTree ? join(host.root, relative(root, value)) : value;
  };
  const kept = Object.fromEntries(keys.map(key => [key, there(key)]));
  return {
    ...{ version: version(), work, sweep: name, group, units },
    given: byTomlName(kept),
    time_zone: timeZone ?? null,
    ask,
  };
}

function answerOf<W extends HostWork>(host: Host, end: ProgramEnd): HostAnswer<HostReturn<W>> {
  const unreached = sshProblem(host, end);
  if (unreached !== undefined) return { host, problem: unreached };
  const reply = parseReply<W>(end.stdout);
  if (reply === undefined) return { host, problem: strange(host, end) };
  if ('refusal' in reply) return { host, problem: refused(host, reply.version, reply.refusal) };
  return { host, returns: reply.returns };
}

function refused(host: Host, its: string, { code, says, details, hint }: HostRefusal): HostProblem {
  if (its !== version()) {
    const what = `it has qrun ${its}, and this is ${version()}: both must be the same`;
    return { code: 'HOST_FAILED', says: what, mend: deploy(host) };
  }
  const all = [says, ...details].join('; ');
  return { code, says: all, mend: hint ?? `look there: ${pasteableCommand(['ssh', host.ssh])}` };
}

// An older qrun does not know the command; a missing one is said by the shell.
function strange(host: Host, { exitCode, stderr }: ProgramEnd): HostProblem {
  const [first = ''] = stderr.trim().split('\n');
  const command = host.qrun.join(' ');
  if (exitCode === 127 || exitCode === 126) {
    return { code: 'HOST_FAILED', says: `there is no ${command} there`, mend: deploy(host) };
  }
  const words = first === '' ? `ended with ${exitCode} and printed nothing` : `says: ${first.slice(0, 300)}`;
  return {
    code: 'HOST_FAILED',
    says: `${command} there ${words}`,
    mend: checkHint(host),
  };
}

function deploy({ name }: Host): string {
  return `qrun hosts deploy --host ${name}`;
}

/** Returns the error for a command that has no host left to act on. */
export function noHostError(answers: readonly HostAnswer<unknown>[]): QrunError {
  const problems = answers.flatMap(answer => ('problem' in answer ? [answer] : []));
  return new QrunError(problems[0]?.problem.code ?? 'HOST_UNREACHABLE', 'no host can be used', {
    details: problems.map(({ host, problem }) => `${host.name}: ${problem.says}`),
    hint: problems[0]?.problem.mend ?? 'see what is missing: qrun hosts check',
  });
}
