import { type Advice, adviseMaxThreads, type Sizing, USABLE_SHARE } from '../../../core/machine/sizing.js';
import type { Output } from '../../../core/schema.js';
import { formatSize } from '../../../core/text/bytes.js';
import type { ServerLimits } from '../../../io/engines/clickhouse/limits.js';
import type { HostFacts } from '../../../io/machine/host.js';
import type { ChosenConcurrency, KnownEngine } from '../../../local/unit/concurrency.js';
import { formatAmount, formatCount, formatDecimal } from '../../terminal/format.js';
import type { Style } from '../../terminal/style.js';
import type { schema } from './probe.schema.js';

/** Everything that `qrun probe` found and recommends. */
export interface ProbeReport {
  readonly host: HostFacts;
  readonly engine: KnownEngine;
  readonly sizing: Sizing;
  readonly alone: Advice;
  readonly together: Advice;
}

const LABEL_WIDTH = 13;

/** Returns the text of a probe: the machine, the engine, and each recommendation with the numbers it is based on. */
export function renderProbe(report: ProbeReport, style: Style): string {
  const { host, engine, sizing, alone, together } = report;
  const lines: string[] = [];
  const add = (label: string, ...texts: string[]): void => {
    texts.forEach((text, index) => {
      lines.push(`${style.paint.faint((index === 0 ? label : '').padEnd(LABEL_WIDTH))}${text}`.trimEnd());
    });
  };
  add('cores', `${formatDecimal(host.cores)} usable (${coresInputs(host)})`);
  add('memory', memoryLine(host));
  add('swap', swapLine(host));
  add(
    'now',
    `load ${host.load1.toFixed(2)}, cpu ${percent(host.cpuPercent)} over ${formatDecimal(host.windowMs / 1000)} s`,
  );
  if (host.openFiles !== undefined) add('open files', `${formatCount(host.openFiles)} for each process`);
  if (host.unknown.length > 0) add('not known', host.unknown.join(', '));
  lines.push('');
  add('engine', ...engineLines(engine, style));
  lines.push('');
  add('slots', ...sizingLines(sizing, style));
  add(
    'threads',
    `${formatDecimal(together.threadsPerSlot)} for each slot = ${formatDecimal(together.threads)} (${formatThreads(together)}) / ${formatAmount(together.slots, 'slot')}`,
  );
  add(
    '-P',
    `${style.paint.strong(String(alone.concurrency))} for a unit that runs alone: ${formatReason(alone)}`,
    ...(together.slots === 1
      ? []
      : [
          `${style.paint.strong(String(together.concurrency))} for each of ${together.slots} units side by side: ${formatReason(together)}`,
        ]),
  );
  add(
    'max_threads',
    `${adviseMaxThreads(alone, alone.concurrency)} with that many queries at a time; ${adviseMaxThreads(alone, 1)} for a single heavy one (threads / queries)`,
  );
  return `${lines.join('\n')}\n`;
}

/** Returns the same as JSON: sizes in bytes; unknown values are `null`. */
export function probeJson({ host, engine, sizing, alone, together }: ProbeReport): Output<typeof schema> {
  const { facts, servers } = engine;
  const engineJson = (server: ServerLimits | Error | undefined) => {
    const limits = server instanceof Error ? undefined : server;
    return {
      kind: facts.name,
      error: server instanceof Error ? server.message : null,
      target: limits?.target ?? null,
      version: limits?.version ?? null,
      max_concurrent_queries: limits?.maxQueries ?? null,
      max_server_memory_usage: limits?.maxServerMemoryBytes ?? null,
      max_memory_usage: limits?.maxQueryMemoryBytes ?? null,
      max_threads: limits?.maxThreads ?? null,
      concurrent_threads_soft_limit_num: limits?.softThreads ?? null,
      concurrent_threads_soft_limit_ratio_to_cores: limits?.softThreadsPerCore ?? null,
      unknown: limits?.unknown ?? [],
    };
  };
  const advice = (one: Advice) => ({
    slots: one.slots,
    threads: one.threads,
    threads_from: one.threadsFrom,
    cores: one.cores,
    cores_from: one.coresFrom,
    threads_per_slot: one.threadsPerSlot,
    concurrency: one.concurrency,
    bound: one.bound,
    max_threads: adviseMaxThreads(one, one.concurrency),
  });
  return {
    host: {
      cores: host.cores,
      cores_online: host.coresOnline,
      cores_quota: host.coresQuota ?? null,
      memory_bytes: host.memoryBytes,
      machine_memory_bytes: host.machineMemoryBytes,
      memory_limit_bytes: host.memoryLimitBytes ?? null,
      memory_available_bytes: host.memoryAvailableBytes,
      memory_percent: rounded(host.memoryPercent),
      swap_bytes: host.swapBytes ?? null,
      swap_used_bytes: host.swapUsedBytes ?? null,
      swap_in_pages_per_second: perSecond(host.swapPages?.in, host.windowMs),
      swap_out_pages_per_second: perSecond(host.swapPages?.out, host.windowMs),
      load1: host.load1,
      cpu_percent: rounded(host.cpuPercent),
      window_ms: Math.round(host.windowMs),
      open_files: host.openFiles ?? null,
      unknown: host.unknown,
    },
    engine: engineJson(servers[0]),
    engines: servers.map(engineJson),
    sizing: {
      slots: sizing.slots,
      bound: sizing.bound,
      by_memory: sizing.byMemory ?? null,
      by_cores: sizing.byCores,
      memory_bytes: sizing.capacity.memoryBytes,
      cores: sizing.capacity.cores,
      memory_per_job_bytes: sizing.job.memoryBytes ?? null,
      cores_per_job: sizing.job.cores,
      usable_share: USABLE_SHARE,
    },
    alone: advice(alone),
    together: advice(together),
  };
}

/** Returns the sizing with its inputs in one line: `2 = min(23.5G x 0.8 / 8G = 2.3, 4 cores x 0.8 / 1 = 3.2)`. */
export function formatSizing({ slots, byMemory, byCores, bound, capacity, job }: Sizing): string {
  const cores = `${formatAmount(capacity.cores, 'core')} x ${USABLE_SHARE} / ${formatDecimal(job.cores)} = ${formatDecimal(byCores)}`;
  const inputs =
    byMemory === undefined || job.memoryBytes === undefined
      ? cores
      : `min(${formatSize(capacity.memoryBytes)} x ${USABLE_SHARE} / ${formatSize(job.memoryBytes)} = ${formatDecimal(byMemory)}, ${cores})`;
  return `${slots} = ${inputs}${bound === 'minimum' ? ', at least 1' : ''}`;
}

/** Returns the line that says what `-P auto` became, and why. */
export function renderConcurrency({ advice, sharedBy }: ChosenConcurrency): string {
  const beside =
    sharedBy === undefined
      ? ''
      : `, shared by ${formatAmount(sharedBy.slots, 'unit')} (${formatSizing(sharedBy)})`;
  return `-P auto: ${formatAmount(advice.concurrency, 'query')} at a time, ${formatReason(advice)}${beside}\n`;
}

/** What a number of simultaneous queries is based on. */
function formatReason(advice: Advice): string {
  const { engine, bound, slots, cores, of } = advice;
  if (of !== undefined) return `${of.map(({ concurrency }) => concurrency).join(' + ')} for the servers`;
  const shared = slots === 1 ? '' : ` / ${slots} slots`;
  if (bound === 'max_concurrent_queries') {
    return `max_concurrent_queries ${engine.maxQueries} x ${USABLE_SHARE}${shared}`;
  }
  if (bound === engine.facts.name) {
    return `${engine.facts.queriesForEachCore} x ${formatAmount(cores, 'core')}, as the ${bound} engine takes`;
  }
  const least = bound === 'minimum' ? ', at least 1' : '';
  return `${formatAmount(advice.threads, 'thread')} (${formatThreads(advice)})${shared}${least}`;
}

function formatThreads({ threadsFrom, cores, coresFrom, engine, of }: Advice): string {
  if (of !== undefined)
    return `${of.map(({ threads }) => formatDecimal(threads)).join(' + ')} of the servers`;
  const where = coresFrom === 'server' ? ' of the server' : '';
  switch (threadsFrom) {
    case 'soft limit':
      return "the server's soft limit";
    case 'soft limit per core':
      return `soft limit of ${engine.softThreadsPerCore} x ${formatAmount(cores, 'core')}${where}`;
    case 'cores':
      return `2 x ${formatAmount(cores, 'core')}${where}`;
  }
}

function coresInputs({ coresOnline, coresQuota }: HostFacts): string {
  const quota = coresQuota === undefined ? 'no quota' : `a quota of ${formatDecimal(coresQuota)}`;
  return `${coresOnline} for this process, ${quota}`;
}

function memoryLine(host: HostFacts): string {
  const limit =
    host.memoryLimitBytes === undefined
      ? 'no limit below it'
      : `a limit on ${formatSize(host.machineMemoryBytes)} of the machine`;
  return `${formatSize(host.memoryBytes)} (${limit}), ${formatSize(host.memoryAvailableBytes)} available, ${percent(host.memoryPercent)} used`;
}

function swapLine({ swapBytes, swapUsedBytes, swapPages, windowMs }: HostFacts): string {
  const size =
    swapBytes === undefined
      ? 'not known'
      : swapBytes === 0
        ? 'none'
        : `${formatSize(swapBytes)}, ${formatSize(swapUsedBytes ?? 0)} used`;
  if (swapPages === undefined) return size;
  const rate = (pages: number) => formatCount(perSecond(pages, windowMs) ?? 0);
  return `${size}; ${rate(swapPages.in)} pages/s in, ${rate(swapPages.out)} out`;
}

function engineLines({ facts, servers }: KnownEngine, style: Style): string[] {
  if (servers.length === 0) return [`${facts.name} (no server is named)`];
  return servers.flatMap((server, index) => [...(index === 0 ? [] : ['']), ...serverLines(server, style)]);
}

function serverLines(server: ServerLimits | Error, style: Style): string[] {
  if (server instanceof Error) {
    return [style.paint.caution(style.foreign(server.message)), 'its limits are not known and not counted'];
  }
  const limit = (value: number | undefined, show: (value: number) => string) =>
    value === undefined ? 'not known' : value === 0 ? 'no limit' : show(value);
  const rows: [string, string][] = [
    ['max_concurrent_queries', limit(server.maxQueries, formatCount)],
    ['max_server_memory_usage', limit(server.maxServerMemoryBytes, formatSize)],
    ['max_memory_usage', limit(server.maxQueryMemoryBytes, formatSize)],
    ['max_threads', limit(server.maxThreads, formatCount)],
    ['concurrent_threads_soft_limit', softLimit(server)],
  ];
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return [
    `ClickHouse ${style.foreign(server.version)} at ${style.foreign(server.target)}`,
    ...rows.map(([name, value]) => `${name.padEnd(width)}${value}`),
    ...server.unknown.map(reason =>
      style.paint.faint(style.foreign(`not readable: ${reason}`.slice(0, 200))),
    ),
  ];
}

function softLimit({ softThreads, softThreadsPerCore }: ServerLimits): string {
  if (softThreads === undefined && softThreadsPerCore === undefined) return 'not known';
  if (softThreads !== undefined && softThreads > 0) return formatCount(softThreads);
  if (softThreadsPerCore !== undefined && softThreadsPerCore > 0) return `${softThreadsPerCore} x cores`;
  return 'no limit';
}

function sizingLines(sizing: Sizing, style: Style): string[] {
  const [slots, ...inputs] = formatSizing(sizing).split(' = ');
  const lines = [`${style.paint.strong(slots ?? '')} = ${inputs.join(' = ')}`];
  if (sizing.job.memoryBytes === undefined) {
    lines.push(style.paint.faint("a job's memory is not counted: give it with --memory-per-job"));
  }
  return lines;
}

function percent(value: number): string {
  return `${Math.round(value)} %`;
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

function perSecond(pages: number | undefined, windowMs: number): number | null {
  if (pages === undefined) return null;
  return windowMs > 0 ? rounded((pages * 1000) / windowMs) : 0;
}
