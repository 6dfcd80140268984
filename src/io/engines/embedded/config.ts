import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedAccess, embeddedConfig } from '../../../core/engines/embedded/access.js';

// Paths of unlinked configuration files, by what they allow. Linux only: elsewhere /dev/fd/N cannot open a file again.
const nameless = new Map<string, string>();

/**
 * Calls `use` with the arguments that make libchdb obey only qrun's configuration, and returns its result.
 *
 * Without them libchdb reads `config.xml` or `clickhouse-local.{xml,yaml,yml}` from the current directory, from
 * `~/.clickhouse-local` or from `/etc/clickhouse-local`, whoever wrote it. Such a file decides where the data is, which
 * programs SQL may start, and where a log is written. qrun's file is read while `use` runs, if no other connection of
 * the process is open. It also says what SQL may reach (see {@link embeddedConfig}).
 *
 * Errors: those of the system if TMPDIR cannot be written to; what `use` throws.
 */
export function withOwnConfig<T>(access: EmbeddedAccess, use: (connectionArgs: readonly string[]) => T): T {
  const key = `${access.files} ${access.network}`;
  const known = nameless.get(key);
  if (known !== undefined) return use([`--config-file=${known}`]);
  // In a new directory, so that nobody else can put a `conf.d` beside the file.
  const directory = mkdtempSync(join(tmpdir(), 'qrun-engine-'));
  try {
    const path = join(directory, 'qrun.xml');
    const written = openSync(path, 'wx+', 0o600);
    const isNameless = platform() === 'linux';
    const self = isNameless ? `/proc/self/fd/${written}` : path;
    writeSync(written, embeddedConfig(self, access));
    if (isNameless) nameless.set(key, self);
    else closeSync(written);
    return use([`--config-file=${self}`]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
