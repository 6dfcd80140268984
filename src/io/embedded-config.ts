import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';

// There is no program in a file: SQL can start none, whatever lies in the data directory.
const CONFIG = '<clickhouse><user_scripts_path>/dev/null/</user_scripts_path></clickhouse>\n';

// Of a file that has no name any more; elsewhere /dev/fd/N is no path to open once more.
let nameless: string | undefined;

/**
 * Calls `use` with the arguments under which libchdb obeys qrun's configuration alone, and returns what it returns.
 *
 * Without them it takes `config.xml` or `clickhouse-local.{xml,yaml,yml}` of the current directory, of
 * `~/.clickhouse-local` or of `/etc/clickhouse-local`, whoever wrote it: that decides where the data lies, which
 * programs SQL may start, and where a log is written. The file is read while `use` runs, when no other connection of
 * the process is open.
 *
 * Errors: those of the system where TMPDIR cannot be written to; what `use` throws.
 */
export function withOwnConfig<T>(use: (connectionArgs: readonly string[]) => T): T {
  if (nameless !== undefined) return use([`--config-file=${nameless}`]);
  // In a directory that nobody else can put a `conf.d` into.
  const directory = mkdtempSync(join(tmpdir(), 'qrun-engine-'));
  try {
    const path = join(directory, 'qrun.xml');
    const written = openSync(path, 'wx+', 0o600);
    writeSync(written, CONFIG);
    if (platform() === 'linux') {
      nameless = `/proc/self/fd/${written}`;
      return use([`--config-file=${nameless}`]);
    }
    closeSync(written);
    return use([`--config-file=${path}`]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
