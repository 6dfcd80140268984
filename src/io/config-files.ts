import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';
import { parse, TomlError } from 'smol-toml';
import { QrunError } from '../core/errors.js';
import { type NumberUse, readTomlNumbers, type TomlContent } from '../core/toml-numbers.js';

/**
 * The content of a `qrun.toml`; `useOf` as in {@link readTomlNumbers}.
 *
 * Errors: QrunError `CONFIG` with line and column when it is not TOML or cannot be read.
 */
export function readToml(
  path: string,
  useOf: (path: readonly string[]) => NumberUse = () => 'number',
): TomlContent {
  const text = readText(path);
  try {
    return readTomlNumbers(text, source => parse(source, { integersAsBigInt: true }), useOf);
  } catch (cause) {
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

/** The variables of a `.env` file, or none when there is no such file. Nothing is put into the environment. */
export function readDotEnv(path: string): Record<string, string | undefined> {
  try {
    return parseEnv(readFileSync(path, 'utf8')) as Record<string, string | undefined>;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new QrunError('CONFIG', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** A secret that a file holds, without the line end. */
export function readSecretFile(path: string): string {
  return readText(path).replace(/\r?\n$/, '');
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new QrunError('CONFIG', `cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}
