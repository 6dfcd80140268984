import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterEach } from 'vitest';
import { Audit, type AuditFindings } from '../../../src/core/log/audit.js';
import type { GroupHead } from '../../../src/core/log/record.js';
import { type ResultBody, ResultWriter, type SpoolOptions } from '../../../src/io/engines/result-body.js';
import { FileLock, type FlockMechanism } from '../../../src/io/files/flock.js';
import { type LogDisk, type LogFile, localDisk } from '../../../src/io/log/disk.js';
import { readLog } from '../../../src/io/log/follow.js';
import { type GroupContent, type LogOptions, ResultLog } from '../../../src/io/log/result-log.js';
import { sampleHead, UNIT } from '../../unit/log/log-samples.js';
import { scratch } from '../machine/processes.js';

const opened: ResultLog[] = [];

afterEach(async () => {
  for (const log of opened.splice(0)) await log.close();
});

/** A path for a log in a fresh directory. */
export function freshLog(bytes?: Buffer | string): string {
  const path = join(scratch(), 'x.ndjson');
  if (bytes !== undefined) writeFileSync(path, bytes);
  return path;
}

/** Opens a log of the sample unit; it is closed after the test. */
export async function openLog(
  path: string,
  options: Partial<LogOptions> & { readonly mechanism?: FlockMechanism } = {},
  signal?: AbortSignal,
): Promise<ResultLog> {
  const lock = options.lock ?? (await FileLock.open(`${path}.lock`, options.mechanism));
  const log = await ResultLog.open({ path, unit: UNIT, disk: localDisk, ...options, lock }, signal);
  opened.push(log);
  return log;
}

/** The head of a group of the sample unit. */
export function head(query: string, fields: Partial<GroupHead> = {}): GroupHead {
  return sampleHead({ query, ...fields });
}

/** A result as an engine gives it, in memory or spooled, with how often it was disposed. */
export async function resultBody(
  rows: readonly string[],
  options: { readonly spool?: SpoolOptions; readonly chunkBytes?: number } = {},
): Promise<ResultBody & { disposed: number }> {
  const writer = new ResultWriter(options.spool ?? { directory: '/nonexistent', thresholdBytes: Infinity });
  const bytes = Buffer.from(rows.map(row => `${row}\n`).join(''));
  const step = options.chunkBytes ?? bytes.length;
  for (let at = 0; at < bytes.length; at += step) await writer.write(bytes.subarray(at, at + step));
  const body = await writer.finish();
  if ('reason' in body) throw new Error(body.reason);
  const counted = {
    ...body,
    disposed: 0,
    dispose: async () => {
      counted.disposed += 1;
      await body.dispose();
    },
  };
  return counted;
}

/** Rows to be recorded. */
export async function rows(...values: readonly string[]): Promise<GroupContent> {
  return { outcome: 'normal', stats: undefined, body: await resultBody(values) };
}

export const SKIPPED: GroupContent = { outcome: 'skipped', stats: undefined };
export const FAILED: GroupContent = {
  outcome: 'error',
  error: { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent', message: 'no' },
};

/** An operation on the disk: on which file (`log` or what follows its name), and which. */
export interface Operation {
  readonly file: string;
  readonly name: keyof LogFile | keyof LogDisk;
  readonly args: readonly unknown[];
}

/** Stands around the operations of a disk: what it returns or throws is the result. */
export type Around = (operation: Operation, run: () => unknown) => unknown;

/** The local disk, with a function around each operation. */
export function watchedDisk(around: Around): LogDisk {
  const watch = <T extends object>(target: T, file: string): T =>
    new Proxy(target, {
      get: (object, name) => {
        const member = Reflect.get(object, name) as unknown;
        if (typeof member !== 'function') return member;
        return (...args: unknown[]) => {
          const path =
            name === 'open' || name === 'writeNew' || name === 'isNetwork' ? String(args[0]) : undefined;
          const operation = { file: path === undefined ? file : fileOf(path), name, args } as Operation;
          const run = (): unknown => {
            const result = member.apply(object, args) as unknown;
            return name === 'open'
              ? (result as Promise<LogFile>).then(log => watch(log, operation.file))
              : result;
          };
          return around(operation, run);
        };
      },
    });
  return watch(localDisk, '');
}

// `x.ndjson` is the log, `x.ndjson.torn-...` is `torn`.
function fileOf(path: string): string {
  return /^\.(\w+)/.exec(basename(path).replace(/^x\.ndjson/, ''))?.[1] ?? 'log';
}

/** The local disk, with the names of the operations that change something, as `log append`. */
export function tracedDisk(network = false): { readonly disk: LogDisk; readonly trace: string[] } {
  const trace: string[] = [];
  const CHANGES = new Set(['append', 'truncate', 'sync', 'reopen', 'writeNew', 'open', 'rewrite']);
  const disk = watchedDisk(({ file, name }, run) => {
    if (name === 'isNetwork') return Promise.resolve(network);
    if (!CHANGES.has(name)) return run();
    const result = run();
    if (!(result instanceof Promise)) {
      trace.push(`${file} ${name}`);
      return result;
    }
    // What takes time is noted when it is done.
    return result.then(value => {
      trace.push(`${file} ${name}`);
      return value as unknown;
    });
  });
  return { disk, trace };
}

/** What an audit of the log says of these queries. */
export async function auditLog(path: string, queries: readonly string[]): Promise<AuditFindings> {
  const audit = new Audit();
  const found = audit.begin(path);
  found.end(await readLog(path, UNIT, found));
  const expected = queries.map(name => ({ name, fingerprint: '9f86d081884c7d65', rows: undefined }));
  return audit.report(UNIT, path, expected);
}

/** The files beside a log, by what follows its name. */
export function companions(path: string): Map<string, Buffer> {
  const name = basename(path);
  return new Map(
    readdirSync(dirname(path))
      .filter(file => file.startsWith(`${name}.`) && file !== `${name}.lock`)
      .map(file => [file.slice(name.length), readFileSync(join(dirname(path), file))]),
  );
}
