import { dirname } from 'node:path';
import { parseEnv } from 'node:util';
import { parse, TomlError } from 'smol-toml';
import { type NumberUse, readTomlNumbers, type TomlContent } from '../../core/config/toml-numbers.js';
import { QrunError } from '../../core/errors.js';
import { isMissing } from '../files/failures.js';
import { type FileChecks, FileRefused } from '../files/open-file.js';
import { distrust } from '../files/owner.js';
import { readText } from '../files/read-file.js';

/**
 * Returns the content of a `qrun.toml`, or of another TOML file; `useOf` as in {@link readTomlNumbers}.
 *
 * Errors: QrunError `CONFIG`, with line and column when it is not TOML; also when it cannot be read, is not a regular
 * file of at most 1 MiB in UTF-8, or is refused by `checks`.
 */
export function readToml(
  path: string,
  useOf: (path: readonly string[]) => NumberUse = () => 'number',
  checks: FileChecks = {},
): TomlContent {
  const text = reading(path, () => readText(path, 'configuration', checks));
  try {
    return readTomlNumbers(text, source => parse(source, { integersAsBigInt: true }), useOf);
  } catch (cause) {
    if (cause instanceof QrunError)
      throw new QrunError('CONFIG', `cannot read ${path}: ${cause.message}`, { cause });
    const at = cause instanceof TomlError ? `:${cause.line}:${cause.column}` : '';
    const reason = (cause as Error).message.split('\n')[0];
    throw new QrunError('CONFIG', `${path}${at} is not TOML: ${reason}`, {
      ...(cause instanceof TomlError ? quotingHint(text.split('\n')[cause.line - 1] ?? '') : {}),
      cause,
    });
  }
}

// `007` and `1.` are not TOML numbers, and the words of other formats are not values. The value is not repeated in the
// hint, because it may be a secret.
function quotingHint(line: string): { hint?: string } {
  const key = /^\s*([\w.-]+)\s*=\s*[^\s"'[{#]/.exec(line)?.[1];
  return key === undefined
    ? {}
    : { hint: `a value that is not a TOML number, true, false or date is written in quotes: ${key} = "..."` };
}

// The variables that qrun looks at; the file may be meant for other programs as well.
const OURS = /^(?:CLICKHOUSE|QRUN)_/;

/**
 * Returns the variables of a `.env` file; none if the file does not exist. The environment is not changed.
 *
 * Errors: QrunError `CONFIG` when it cannot be read, is not a regular file of at most 1 MiB, or is UTF-16; when the
 * value of a variable of qrun's is not UTF-8; when `checks` refuse it.
 */
export function readDotEnv(path: string, checks: FileChecks = {}): Record<string, string | undefined> {
  return reading(path, () => {
    let text: string;
    try {
      text = readText(path, 'configuration', { ...checks, lenient: true });
    } catch (error) {
      if (isMissing(error)) return {};
      throw error;
    }
    const variables = parseEnv(text) as Record<string, string | undefined>;
    const damaged = Object.keys(variables).find(
      name => OURS.test(name) && variables[name]?.includes('\ufffd') === true,
    );
    if (damaged === undefined) return variables;
    throw new Error(`the value of ${damaged} is not UTF-8: save it as UTF-8`);
  });
}

/**
 * Returns the secret in a file, without the line end. The file may be a pipe, as `<(command)` in a shell makes one. It
 * must have been named by whoever starts qrun.
 *
 * Errors: QrunError `CONFIG` when it cannot be read, is not one line of UTF-8 text, is longer than 4 KiB, or may be
 * written by everybody.
 */
export function readSecretFile(path: string): string {
  return readSecret(path, {
    pipe: true,
    // A pipe is open only to those who hold it. Who made the file does not matter: the user named it.
    refuse: stat => (stat.isFile() && (stat.mode & 0o002) !== 0 ? OPEN_TO_ALL : undefined),
  });
}

/**
 * Returns the secret in a file that a tree has named, without the line end. `path` must be the real path: a link at its
 * end is not followed.
 *
 * Errors: QrunError `CONFIG` when it cannot be read, is not a regular file, belongs to another user, may be written by
 * everybody, is not one line of UTF-8 text, or is longer than 4 KiB.
 */
export function readSecretOfTree(path: string): string {
  return readSecret(path, { follow: false, refuse: distrust });
}

const OPEN_TO_ALL =
  'every user of this machine may write to it, and so decide what is sent as the password: chmod o-w, or keep it on a disk that has modes';

// A private key, a .env file or a configuration has several lines; a password that qrun can send has one.
function readSecret(path: string, checks: FileChecks): string {
  return reading(path, () => {
    const secret = textOfSecret(path, checks).replace(/\r?\n$/, '');
    if (!/[\r\n]/.test(secret)) return secret;
    throw new FileRefused('it has more than one line; a password file holds only the password');
  });
}

function textOfSecret(path: string, checks: FileChecks): string {
  try {
    return readText(path, 'password', checks);
  } catch (error) {
    if (!NO_SUCH_NAME.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    // A user who gives the password itself instead of its file does not want it in a log.
    throw new QrunError('CONFIG', `there is no such password file in ${dirname(path)}`, {
      hint: 'its name is not repeated here, because it may be the password itself; password_file takes the name of a file',
    });
  }
}

const NO_SUCH_NAME: ReadonlySet<string> = new Set(['ENOENT', 'ENAMETOOLONG', 'ENOTDIR']);

function reading<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof QrunError) throw cause;
    throw new QrunError('CONFIG', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
