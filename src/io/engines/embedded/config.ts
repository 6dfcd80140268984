import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EmbeddedAccess, embeddedConfig } from '../../../core/engines/embedded/access.js';

// Of files that have no name any more, by what they allow; elsewhere /dev/fd/N is no path to open once more.
const nameless = new Map<string, string>();

/**
 * Calls `use` with the arguments under which libchdb obeys qrun's configuration alone, and returns what it returns.
 *
 * Without them it takes `config.xml` or `clickhouse-local.{xml,yaml,yml}` of the current directory, of
 * `~/.clickhouse-local` or of `/etc/clickhouse-local`, whoever wrote it: that decides where the data lies, which
 * programs SQL may start, and where a log is written. The file is read while `use` runs, when no other connection of
 * the process is open; it also says what SQL may reach (see {@link embeddedConfig}).
 *
 * Errors: those of the system where TMPDIR cannot be written to; what `use` throws.
 */
export function withOwnConfig<T>(access: EmbeddedAccess, use: (connectionArgs: readonly string[]) => T): T {
  const key = `${access.files} ${access.network}`;
  const known = nameless.get(key);
  if (known !== undefined) return use([`--config-file=${known}`]);
  // In a directory that nobody else can put a `conf.d` into.
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
