import { type EmbeddedAccess, NO_ACCESS } from '../../../core/engines/embedded/access.js';
import { QrunError } from '../../../core/errors.js';
import { withOwnConfig } from './config.js';

/** What one call of chDB returns: the bytes of the result, and what the engine counted. */
export interface ChdbResult {
  bytes(): Uint8Array;
  /** Rows of the result. */
  readonly rowsRead: number;
  /** Seconds. */
  readonly elapsed: number;
}

/**
 * A connection of chDB: a session of its own (settings, USE, temporary tables) on the data that all connections
 * of the process share. Calls on one connection run one after the other, each in a libuv thread.
 */
export interface ChdbConnection {
  queryAsync(sql: string, options: { readonly format: string }): Promise<ChdbResult>;
  /** Returns at once; the connection is closed when its running calls have ended. */
  close(): void;
}

// The part of the package that qrun uses.
interface Chdb {
  readonly Session: new (path: string, options: { readonly connectionArgs: string[] }) => ChdbConnection;
}

/** Opens a connection to a data directory, under {@link withOwnConfig}; throws if the directory cannot be opened. */
export type Connect = (path: string) => ChdbConnection;

/**
 * Loads chDB (about 50 ms and 250 MB, once per process) and returns a function that opens connections.
 *
 * Uses chDB's sessions, not its `chdb/connection`. That is the same behind the interface of @clickhouse/client, but
 * loads that package's common part, which takes 24 ms more.
 *
 * `access`: what SQL may reach. Rejects with QrunError `ENGINE_MISSING` if the optional package is not installed or has
 * no build for this platform.
 */
export async function loadChdb(
  access: EmbeddedAccess = NO_ACCESS,
  load: () => Promise<Chdb> = () => import('chdb'),
): Promise<Connect> {
  try {
    const { Session } = await load();
    return path =>
      withOwnConfig(access, connectionArgs => new Session(path, { connectionArgs: [...connectionArgs] }));
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const isMissing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    throw isMissing
      ? new QrunError(
          'ENGINE_MISSING',
          'the embedded engine needs the package chdb, which is not installed',
          {
            hint: 'npm install chdb, or name a ClickHouse server with --url',
            cause,
          },
        )
      : new QrunError('ENGINE_MISSING', `the embedded engine cannot be loaded: ${message}`, {
          hint: 'name a ClickHouse server with --url; chdb has builds for Linux (glibc) and macOS, x64 and arm64',
          cause,
        });
  }
}
