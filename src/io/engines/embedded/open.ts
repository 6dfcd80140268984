import { constants as fileConstants } from 'node:fs';
import { access as mayUse, readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { EmbeddedAccess } from '../../../core/engines/embedded/access.js';
import { fixedSetting, suggest } from '../../../core/engines/engine-settings.js';
import { rowsOf } from '../../../core/engines/rows.js';
import { QrunError } from '../../../core/errors.js';
import type { Settings } from '../../../core/model.js';
import { setStatement } from '../../../core/sql/set-statement.js';
import { lockHolder, whileLocked } from '../../files/flock.js';
import { makeDirectories } from '../../files/write-file.js';
import { loadLibc } from '../../machine/libc.js';
import type { Connect } from './chdb.js';
import { type CallAnswer, Connections, NO_OUTPUT } from './connections.js';
import { prepareContent } from './data/content.js';
import { type DataHolder, isAlive, lockDataDirectory } from './data/lock.js';

/**
 * Opens connections to a data directory, which is created if it does not exist.
 *
 * Rejects with QrunError `CONFIG` if the directory cannot be created, read and written, is not a data directory, or
 * holds what `access` does not allow. Rejects with `DATA_LOCKED`, without waiting, if another process has it open: one
 * process at a time can.
 */
export async function openConnections(
  connect: Connect,
  path: string,
  access: EmbeddedAccess,
): Promise<Connections> {
  try {
    makeDirectories(path);
    await mayUse(path, fileConstants.R_OK | fileConstants.W_OK | fileConstants.X_OK);
  } catch (cause) {
    throw new QrunError('CONFIG', `cannot use the data directory ${path}: ${(cause as Error).message}`, {
      hint: 'choose a directory that you may write to with --data-dir',
      cause,
    });
  }
  const lock = await lockDataDirectory(path);
  if (!('release' in lock)) throw locked(path, lock);
  try {
    // A directory that another program has open could change during the check; it is refused below.
    if ((await statusHolder(path)) === undefined) prepareContent(path, access);
    return await connectTo(connect, path, () => lock.release());
  } catch (error) {
    lock.release();
    throw error;
  }
}

// A program with chDB that does not know qrun's lock may open and close the directory in the meantime.
const CONNECT_TRIES = 3;

async function connectTo(connect: Connect, path: string, onClosed: () => void): Promise<Connections> {
  for (let tries = 1; ; tries += 1) {
    // Checked first, because chDB reports why it could not open a directory only on standard error.
    const holder = await statusHolder(path);
    if (holder !== undefined) throw locked(path, holder);
    const before = await statusFile(path);
    try {
      return new Connections(() => connect(path), onClosed);
    } catch (cause) {
      const message = (cause as Error).message;
      if (/one active data directory|still releasing/i.test(message)) {
        throw new QrunError('CONFIG', `this process has a data directory other than ${path} open`, {
          hint: 'close the engine of the other directory first: chDB opens one directory in a process',
          cause,
        });
      }
      const writer = await statusFile(path);
      if (writer !== undefined && writer.pid !== process.pid && isAlive(writer.pid)) {
        throw locked(path, writer);
      }
      if (await isLocked(join(path, 'status'))) {
        throw locked(path, (await statusHolder(path)) ?? { pid: undefined, since: undefined });
      }
      const isOther = writer?.pid !== before?.pid && writer?.pid !== process.pid;
      if (isOther && tries < CONNECT_TRIES) continue;
      throw new QrunError('CONFIG', `chDB cannot open the data directory ${path}: ${message}`, {
        hint: 'chDB has written the reason to standard error; a directory of another version may be the cause',
        cause,
      });
    }
  }
}

function locked(path: string, { pid, since }: DataHolder): QrunError {
  const who = pid === undefined ? 'another process' : `process ${pid}`;
  const when = since === undefined ? '' : `, since ${since}`;
  return new QrunError('DATA_LOCKED', `the data directory ${path} is in use by ${who}${when}`, {
    hint: 'wait until it has ended, or use another directory with --data-dir: one process at a time can have it open',
  });
}

// The engine writes `PID: 123`, `Started at: ...` into the file `status` after taking a lock on it.
async function statusFile(path: string): Promise<{ pid: number; since: string | undefined } | undefined> {
  const text = await readFile(join(path, 'status'), 'utf8').catch(() => '');
  const pid = Number(/^PID: (\d+)/m.exec(text)?.[1]);
  const since = /^Started at: (.+)/m.exec(text)?.[1];
  return Number.isInteger(pid) ? { pid, since } : undefined;
}

// Who holds the lock, if Linux tells. The file outlives a process that was killed; the lock does not.
async function statusHolder(path: string): Promise<DataHolder | undefined> {
  const pid = Number(/^pid (\d+)/.exec(lockHolder(join(path, 'status')) ?? '')?.[1]);
  if (!Number.isInteger(pid) || pid === process.pid) return undefined;
  const writer = await statusFile(path);
  return { pid, since: writer?.pid === pid ? writer.since : undefined };
}

// Finds out by trying to take the lock. Call it only when the engine has just failed to get it.
async function isLocked(path: string): Promise<boolean> {
  try {
    return (await whileLocked([path])) !== undefined;
  } catch {
    return false;
  }
}

const CRASHES = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP', 'SIGSYS'] as const;

/**
 * Makes a crash of the engine end the process at once, with a core dump if the system writes one. The engine's own
 * handlers wait five minutes in the crashed thread for a thread that prints a report, but chDB does not start that
 * thread: a crash would look like a hang.
 */
export async function dieOfCrashes(): Promise<void> {
  const libc = await loadLibc();
  for (const name of CRASHES) {
    const signal = constants.signals[name];
    if (signal !== undefined) libc?.defaultSignal(signal);
  }
}

/**
 * Rejects with QrunError `ENGINE_REFUSED` if SQL could reach more than `access` allows. An engine that reads qrun's
 * configuration differently, or not at all, would silently open with everything allowed.
 */
export async function refuseMoreAccess(connections: Connections, access: EmbeddedAccess): Promise<void> {
  const answer = await connections.control('SHOW GRANTS');
  const granted = answer.ok ? Buffer.from(answer.result.bytes()).toString('utf8') : '';
  if (granted !== '' && !(access.files ? ALWAYS_MORE : MORE_THAN_DATA).test(granted)) {
    if (access.network || !NETWORK.test(granted)) return;
  }
  throw new QrunError('ENGINE_REFUSED', 'the embedded engine does not keep to what qrun lets SQL do', {
    hint: 'qrun does not know this version of chdb: use the one in its package.json, or a server with --url',
  });
}

const ALWAYS_MORE =
  /GRANT OPTION|\b(?:ALL|SOURCES|USER|ROLE|BACKUP|NAMED COLLECTION|TABLE ENGINE ON \*)(?![\w])/;
const MORE_THAN_DATA = new RegExp(`${ALWAYS_MORE.source}|\\b(?:FILE|SQLITE)\\b`);
const NETWORK = /\b(?:URL|REMOTE|S3|HDFS|AZURE|MYSQL|POSTGRES|MONGO|REDIS|KAFKA|CLUSTER)\b/;

/** Returns the version of the engine, such as `26.7.2.1`, and the time zone of dates that name none. */
export async function engineFacts(connections: Connections) {
  const facts = 'SELECT arrayJoin([version(), serverTimezone()]) AS v';
  const [version = 'unknown', timeZone = 'unknown'] = await column(connections, facts);
  return { version, timeZone };
}

/**
 * Resolves if the engine accepts all of the user's settings. Otherwise rejects with QrunError `CONFIG`, which lists
 * everything that is wrong with them.
 */
export async function checkSettings(connections: Connections, settings: Settings): Promise<void> {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(settings)) {
    const why = fixedSetting(name);
    if (why !== undefined) {
      problems.push(`the setting "${name}" cannot be set: ${why}`);
      continue;
    }
    const answer = await tryOut(connections, { [name]: value });
    if (!answer.ok) problems.push(await problemOf(connections, name, value, answer));
  }
  if (problems.length === 0) {
    const all = await tryOut(connections, settings);
    if (!all.ok) problems.push(`the settings do not go together: ${all.failure.message}`);
  }
  const [first, ...details] = problems;
  if (first === undefined) return;
  throw new QrunError('CONFIG', first, {
    hint: 'SELECT name, description FROM system.settings lists what the engine knows',
    details,
  });
}

async function tryOut(connections: Connections, settings: Settings): Promise<CallAnswer | { ok: true }> {
  const entries = Object.entries(settings);
  if (entries.length === 0) return { ok: true };
  // On a separate connection, because settings stay on their connection.
  const connection = connections.open();
  try {
    return await connections.run(connection, setStatement(new Map(entries)), NO_OUTPUT);
  } finally {
    connections.discard(connection);
  }
}

const UNKNOWN_SETTING = 115;

async function problemOf(
  connections: Connections,
  name: string,
  value: string,
  { failure }: Extract<CallAnswer, { ok: false }>,
): Promise<string> {
  if (failure.code !== UNKNOWN_SETTING) {
    return `the engine does not accept ${name}=${value}: ${failure.message}`;
  }
  const close = suggest(name, await column(connections, 'SELECT name AS v FROM system.settings'));
  return `the engine knows no setting "${name}"${close === undefined ? '' : `; did you mean "${close}"?`}`;
}

async function column(connections: Connections, sql: string): Promise<string[]> {
  const answer = await connections.control(sql);
  if (!answer.ok) {
    throw new QrunError('ENGINE_REFUSED', `chDB does not run a simple query: ${answer.failure.message}`);
  }
  return rowsOf(answer.result.bytes()).map(({ v }) => String(v));
}
