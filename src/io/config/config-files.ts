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
 * The content of a `qrun.toml`, or of another file in TOML; `useOf` as in {@link readTomlNumbers}.
 *
 * Errors: QrunError `CONFIG` with line and column when it is not TOML; when it cannot be read, or is no regular file
 * of at most 1 MiB in UTF-8, or `checks` refuse it.
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

// `007` and `1.` are no numbers of TOML, and the words of other formats no values. What may be a secret is not repeated.
function quotingHint(line: string): { hint?: string } {
  const key = /^\s*([\w.-]+)\s*=\s*[^\s"'[{#]/.exec(line)?.[1];
  return key === undefined
    ? {}
    : { hint: `a value that is no number, true, false or date of TOML is written in quotes: ${key} = "..."` };
}

// The variables that are looked at; the file may be made for other programs as well.
const OURS = /^(?:CLICKHOUSE|QRUN)_/;

/**
 * The variables of a `.env` file, or none when there is no such file. Nothing is put into the environment.
 *
 * Errors: QrunError `CONFIG` when it cannot be read, is no regular file of at most 1 MiB, or UTF-16; when a value of
 * ours is not UTF-8; when `checks` refuse it.
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
 * A secret that a file holds, without the line end; of a pipe too, as `<(command)` in a shell makes it. The file was
 * named by whoever starts qrun.
 *
 * Errors: QrunError `CONFIG` when it cannot be read, is no text in UTF-8 of one line, longer than 4 KiB, or one that
 * everybody may write to.
 */
export function readSecretFile(path: string): string {
  return readSecret(path, {
    pipe: true,
    // A pipe has nobody but those who hold it, and who made the file is the business of the one who names it.
    refuse: stat => (stat.isFile() && (stat.mode & 0o002) !== 0 ? OPEN_TO_ALL : undefined),
  });
}

/**
 * A secret that a file holds which a tree has named, without the line end. `path` is the real one: links at its end are
 * not followed.
 *
 * Errors: QrunError `CONFIG` when it cannot be read, is no regular file or of another user, no text in UTF-8 of one
 * line, or longer than 4 KiB.
 */
export function readSecretOfTree(path: string): string {
  return readSecret(path, { follow: false, refuse: distrust });
}

const OPEN_TO_ALL =
  'every user of this machine may write to it, and so decide what is sent as the password: chmod o-w, or keep it on a disk that has modes';

// A key, an environment or a configuration has several lines; a password that qrun can send has one.
function readSecret(path: string, checks: FileChecks): string {
  return reading(path, () => {
    const secret = textOfSecret(path, checks).replace(/\r?\n$/, '');
    if (!/[\r\n]/.test(secret)) return secret;
    throw new FileRefused('it has more than one line, and a password file holds the password alone');
  });
}

function textOfSecret(path: string, checks: FileChecks): string {
  try {
    return readText(path, 'password', checks);
  } catch (error) {
    if (!NO_SUCH_NAME.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    // Whoever gives the password itself in place of its file does not want to read it in a log.
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
