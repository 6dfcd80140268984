import type { Clock } from '../../../core/clock.js';
import { lowerVersion } from '../../../core/engines/endpoints.js';
import { QrunError } from '../../../core/errors.js';
import { systemClock } from '../../machine/clock.js';
import type { Engine, EngineInfo, Server } from '../engine.js';
import { delayOf, difference, REPLICA_DELAY, traitsOf } from './agreement.js';
import { isSameServer, openFailure } from './keeper.js';
import { Member, type MemberOptions } from './member.js';
import { EnginePool } from './pool.js';

/** Which servers are to share the queries of a run, and how. */
export interface PoolOptions {
  /** In the order in which they were named; two or more. */
  readonly servers: readonly MemberOptions[];
  /** The most attempts that run at once on all of them. */
  readonly concurrency: number;
  /** A server whose replicas lag more gets no queries; `undefined`: nobody asks. */
  readonly maxReplicaDelayMs: number | undefined;
  /** Called during the run with what a person should know: which server is away, and which is back. */
  readonly onNotice: (message: string) => void;
  /** How long the others are waited for when one has answered, in milliseconds; 3,000 by default. */
  readonly graceMs?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

// A server that answers does so in milliseconds. The others may come later.
const GRACE_MS = 3_000;

/**
 * Opens several servers that hold the same data, and resolves with them as one engine. At least one must answer; those
 * that do not are waited for in the background, and take part as soon as they answer and fit the others.
 *
 * Rejects with QrunError `CONFIG` if two of them are one server, or differ in what a query means there: user, database,
 * time zone; `ENGINE_REFUSED` if one does not say how far its replicas lag. Otherwise as `ServerEngine.open`: for the
 * first that refuses us, or if none answers.
 */
export async function openPool(options: PoolOptions, signal: AbortSignal): Promise<Engine> {
  const { clock = systemClock, random = Math.random, maxReplicaDelayMs, onNotice } = options;
  refuseSameUrls(options.servers);
  const members = options.servers.map(server => new Member(server, clock.monotonicMs()));
  const closing = new AbortController();
  const abort = (): void => closing.abort(signal.reason);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    await openMembers(members, closing.signal, options.graceMs ?? GRACE_MS, clock);
    signal.throwIfAborted();
    await compare(members, closing.signal);
    await lookAtReplicas(members, maxReplicaDelayMs, closing.signal);
    signal.throwIfAborted();
    const info = infoOf(members, options.concurrency);
    return new EnginePool({ info, members, maxReplicaDelayMs, clock, random, onNotice, closing });
  } catch (error) {
    closing.abort();
    await Promise.all(members.map(({ server }) => server?.close()));
    if (signal.aborted) {
      throw new QrunError('ENGINE_UNREACHABLE', 'connecting to the servers was interrupted', {
        cause: signal.reason,
      });
    }
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function refuseSameUrls(servers: readonly MemberOptions[]): void {
  const targets = servers.map(({ target }) => target);
  const twice = targets.find((target, index) => targets.indexOf(target) !== index);
  if (twice === undefined) return;
  throw new QrunError('CONFIG', `${twice} is named twice`, { hint: 'name each server once' });
}

// Opens all at once, and waits for all that answer soon.
async function openMembers(
  members: readonly Member[],
  closing: AbortSignal,
  graceMs: number,
  clock: Clock,
): Promise<void> {
  const errors = new Map<Member, QrunError>();
  let onFirst = (): void => {};
  const first = new Promise<void>(resolve => {
    onFirst = resolve;
  });
  let isLate = false;
  const opening = members.map(async member => {
    try {
      const server = await member.open(closing);
      // The keeper opens it again: it has its own look at what comes late.
      if (isLate || closing.aborted) await server.close();
      else member.server = server;
      onFirst();
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
      errors.set(member, error);
      if (!isLate) member.why = openFailure(error);
    }
  });
  const all = Promise.all(opening);
  // If nothing waits for it any more.
  all.catch(() => {});
  const grace = new AbortController();
  await Promise.race([all, first.then(() => clock.delay(graceMs, AbortSignal.any([grace.signal, closing])))]);
  grace.abort();
  isLate = true;
  const refusal = [...errors.values()].find(({ code }) => code !== 'ENGINE_UNREACHABLE');
  if (refusal !== undefined) throw refusal;
  if (members.some(({ server }) => server !== undefined)) return;
  await all;
  const [error, ...others] = [...errors.values()];
  if (error === undefined) return;
  throw new QrunError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: others.map(({ message }) => message),
    cause: error.cause,
  });
}

// Lets in those that answer, if queries mean the same on all of them.
async function compare(members: readonly Member[], closing: AbortSignal): Promise<void> {
  await Promise.all(
    members.map(async member => {
      if (member.server === undefined) return;
      const traits = await traitsOf(member.server, closing);
      if ('database' in traits) {
        member.enter(traits);
      } else member.why = traits;
    }),
  );
  const [one, ...others] = members.filter(({ state }) => state === 'in');
  if (one?.server === undefined || one.traits === undefined) {
    const why = members.find(member => member.why !== undefined)?.why?.message ?? 'none of them answers';
    throw new QrunError('ENGINE_UNREACHABLE', `no server can be used: ${why}`);
  }
  const problems: string[] = [];
  for (const { server, target, traits } of others) {
    if (server === undefined || traits === undefined) continue;
    const differs = difference(traits, one.traits);
    if (differs !== undefined) problems.push(`${target}: ${differs} as on ${one.target}`);
    else if (await isSameServer(one.server, server, closing)) {
      problems.push(`${target} is the same server as ${one.target}`);
    }
  }
  const [problem, ...details] = problems;
  if (problem === undefined) return;
  throw new QrunError('CONFIG', `the servers cannot share the queries of a run: ${problem}`, {
    details,
    hint: 'each --url must be a server of its own on which every query means the same',
  });
}

async function lookAtReplicas(
  members: readonly Member[],
  limitMs: number | undefined,
  closing: AbortSignal,
): Promise<void> {
  if (limitMs === undefined) return;
  await Promise.all(
    members.map(async member => {
      if (member.server === undefined || !member.isIn) return;
      const why = await delayOf(member.server, limitMs, closing);
      if (why === undefined) return;
      if (why.name !== REPLICA_DELAY && !why.serverGone && !closing.aborted) {
        throw new QrunError('ENGINE_REFUSED', `${member.target} cannot be used: ${why.message}`, {
          hint: 'let the user read system.replicas, or omit --max-replica-delay',
        });
      }
      member.state = 'away';
      member.why = why;
    }),
  );
}

/** Returns what the person who starts a run is told about a server that does not take part yet. */
export function awayNotice(target: string, why: string): string {
  return `${target} gets no queries yet: ${why}`;
}

function infoOf(members: readonly Member[], concurrency: number): EngineInfo {
  const open = members.flatMap(({ server }) => (server === undefined ? [] : [server as Server]));
  const infos = open.map(({ info }) => info);
  const [{ facts, user }] = infos as [EngineInfo, ...EngineInfo[]];
  const versions = infos.map(({ version }) => version);
  const servers = members.map(({ target, server, state, why }) => ({
    target,
    version: server?.info.version,
    ...(state === 'in' ? {} : { away: why?.message ?? 'it has not answered so far' }),
  }));
  const notices = [
    ...servers.flatMap(({ target, away }) => (away === undefined ? [] : [awayNotice(target, away)])),
    ...(new Set(versions).size === 1
      ? []
      : [
          `the servers have different versions (${infos.map(({ target, version }) => `${version} at ${target}`).join(', ')}): results may differ in details`,
        ]),
    ...infos.flatMap(({ target, notices: own = [] }) =>
      own.map(notice => (notice.includes(target) ? notice : `${target}: ${notice}`)),
    ),
  ];
  return {
    facts,
    version: versions.reduce(lowerVersion),
    target: members.map(({ target }) => target).join(', '),
    ...(user === undefined ? {} : { user }),
    ...(notices.length === 0 ? {} : { notices }),
    supportsParameters: infos.every(({ supportsParameters }) => supportsParameters),
    ...(infos.some(({ parametersLost }) => parametersLost === true) ? { parametersLost: true } : {}),
    permits: Math.min(
      concurrency,
      members.reduce((sum, { permits }) => sum + permits, 0),
    ),
    servers,
  };
}
