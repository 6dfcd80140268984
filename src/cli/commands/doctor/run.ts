import { join } from 'node:path';
import { diagnose, type EngineFacts } from '../../../app/machine/doctor.js';
import type { QueueKind } from '../../../core/queue/queue.js';
import type { Output } from '../../../core/schema.js';
import { parseQuery } from '../../../core/sql/parse.js';
import { textsOf } from '../../../io/engines/answer-texts.js';
import type { Engine } from '../../../io/engines/engine.js';
import { replicaLag } from '../../../io/engines/pool/agreement.js';
import { awayNotice } from '../../../io/engines/pool/open.js';
import { engineOf, localEngines } from '../../../io/engines/registry.js';
import { lockMechanism } from '../../../io/files/flock.js';
import { statOf } from '../../../io/files/paths.js';
import { lookAtLogPlace } from '../../../io/log/place.js';
import { runProgram } from '../../../io/machine/program.js';
import { systemdUsable } from '../../../io/machine/systemd.js';
import { QUEUE, queueOf } from '../../../io/queue/queues.js';
import { hostsFacts } from '../../../local/hosts/facts.js';
import { type UnitContext, unitContext } from '../../../local/unit/context.js';
import { openServer } from '../../../local/unit/open-engine.js';
import { type Call, writeResult } from '../../command.js';
import { stringsFlag } from '../../flags.js';
import { configFlags } from '../../options.js';
import type { schema } from './doctor.schema.js';
import { renderDiagnosis } from './render.js';

// A program that takes longer than this to answer `--version` is not usable.
const LIMIT_MS = 10_000;

/** `qrun doctor [DIR]`: reports what is there and what is not. Returns 0, or the code of the worst problem. */
export async function run(call: Call<string>): Promise<number> {
  const { argument: directory, flags, terminal } = call;
  // Each check that needs the configuration reads it again, and fails with its error. It is that of any unit in the
  // directory, so that the directory may be the sweep's own.
  const anyUnit = join(directory, 'unit');
  const context = (): UnitContext => unitContext(anyUnit, configFlags(flags), terminal);
  const kind = queueKind(context);
  const diagnosis = await diagnose({
    nodeVersion: terminal.proc.versions.node,
    configuration: () => {
      const { root, configFile, notices } = context();
      return { root, file: configFile, notices };
    },
    openSecrets: () => context().secretFiles.filter(isOpen),
    queueKind: kind,
    queue: () => kind.open({ env: terminal.env }),
    engine: () => engineFacts(context()),
    usesServer: () => usesServer(context),
    chdb: async () => {
      for (const engine of localEngines()) await engine.check();
    },
    locks: lockMechanism,
    memoryCaps: async () => {
      const usability = await systemdUsable(terminal.env);
      return usability.usable ? undefined : usability.reason;
    },
    mise: async () => {
      const end = await runProgram('mise', ['--version'], { timeoutMs: LIMIT_MS });
      return end.ok ? end.stdout.split('\n')[0]?.trim() : undefined;
    },
    logPlace: async () => lookAtLogPlace(context().logDirectory),
    hosts: async () =>
      flags.hereOnly === true
        ? undefined
        : await hostsFacts(context(), stringsFlag(flags, 'hostNames'), terminal.env),
  });
  const json = {
    exit_code: diagnosis.exitCode,
    findings: diagnosis.findings.map(finding => ({ ...finding, mend: finding.mend ?? null })),
  };
  writeResult<Output<typeof schema>>(call, json, style => renderDiagnosis(diagnosis, style));
  return diagnosis.exitCode;
}

// An unusable configuration has its own line.
function queueKind(context: () => UnitContext): QueueKind {
  try {
    return queueOf(context().table);
  } catch {
    return QUEUE;
  }
}

// If the configuration is unusable this is not known, and nothing is lost by taking the stricter view.
function usesServer(context: () => UnitContext): boolean {
  try {
    return engineOf(context().config.engine).data === 'server';
  } catch {
    return false;
  }
}

function isOpen(path: string): boolean {
  const stat = statOf(path);
  return stat?.isFile() === true && (stat.mode & 0o004) !== 0;
}

const LIMITS = ['max_threads', 'max_memory_usage', 'max_execution_time', 'max_concurrent_queries_for_user'];

async function engineFacts(context: UnitContext): Promise<EngineFacts> {
  const known = engineOf(context.config.engine);
  // It is not opened: that would create a data directory, and fail while a unit is running.
  if (known.data === 'directory') {
    await known.check();
    return { says: known.title, limits: {} };
  }
  const signal = new AbortController().signal;
  // One query: how many a run would send at once does not matter here.
  const one = { ...context, config: { ...context.config, concurrency: 1 } };
  const engine = await openServer(one, signal, () => {});
  try {
    const { target, version } = engine.info;
    return {
      says: `ClickHouse ${version} at ${target}`,
      limits: await limitsOf(engine, signal),
      ...(await serversFacts(engine, signal)),
    };
  } finally {
    await engine.close();
  }
}

// What a run would find out about each of several servers when it begins.
async function serversFacts(
  engine: Engine,
  signal: AbortSignal,
): Promise<Pick<EngineFacts, 'notices' | 'servers' | 'uneven'>> {
  const { servers = [], notices = [] } = engine.info;
  if (servers.length === 0) return { notices };
  const lags = new Map<string, number | undefined>();
  for (const one of engine.members?.() ?? []) lags.set(one.info.target, await replicaLag(one, signal));
  const away = new Set(
    servers.flatMap(one => (one.away === undefined ? [] : [awayNotice(one.target, one.away)])),
  );
  return {
    // They have lines of their own.
    notices: notices.filter(notice => !away.has(notice)),
    servers: servers.map(one => ({ ...one, lagS: lags.get(one.target) })),
    uneven: (await engine.uneven?.(signal)) ?? [],
  };
}

/** Returns the limits that the server tells this user; none if the user may not read them. */
async function limitsOf(engine: Engine, signal: AbortSignal): Promise<Record<string, string>> {
  const names = LIMITS.map(name => `'${name}'`).join(', ');
  const sql = `SELECT name, value FROM system.settings WHERE name IN (${names}) ORDER BY name`;
  const result = await engine.run({
    query: parseQuery(sql),
    queryId: `qrun-doctor-${crypto.randomUUID()}`,
    parameters: {},
    settings: {},
    timeoutMs: LIMIT_MS,
    signal,
  });
  if (!result.ok) return {};
  const rows = (await textsOf(result.body, ['name', 'value'])) ?? [];
  return Object.fromEntries(rows.map(({ name, value }) => [name, value === '0' ? 'none' : value]));
}
