import { closeSync, type Dirent, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import type { EmbeddedAccess } from '../../../../core/engines/embedded/access.js';
import { FILE_FUNCTION_CLOSED, refusalOf } from '../../../../core/engines/embedded/refusal.js';
import { QrunError } from '../../../../core/errors.js';
import { CLOSED_FUNCTION, outsideInStored } from '../../../../core/sql/guard/outside.js';
import { decodeSql } from '../../../../core/sql/lexer/encoding.js';
import { literal } from '../../../../core/sql/set-statement.js';
import { openToAppend } from '../../../files/open-file.js';
import { readBytes } from '../../../files/read-file.js';
import { makeDirectories, writeWhole } from '../../../files/write-file.js';

// Directories that qrun's engine never uses. No SQL data belongs there, but their content could take effect.
const NEVER_USED = ['user_scripts', 'named_collections', 'access', 'dictionaries_lib', 'workload'];
const FUNCTIONS = 'user_defined';
// A definition (metadata/db.sql, metadata/db/table.sql, store/abc/uuid/table.sql), or a mutation of a table's rows that
// continues when the directory is opened (store/abc/uuid/mutation_3.txt). What was being dropped is loaded too
// (table.sql.tmp_drop).
const STORED = /\.sql(?:\.|$)|^mutation_\d+\.txt$/;
// store/abc/uuid and data/db/table. Anything deeper is a part of a table.
const DEPTH = 3;

/**
 * Checks the content of a data directory before the engine loads it. Also writes into it the definition that replaces
 * the engine's function file(), which no grant covers, or removes that definition if files are allowed.
 *
 * What this engine has made under the same access always passes. What was made with more access, or put there by
 * somebody else, does not pass if it would reach outside when it is loaded or used.
 *
 * Throws QrunError `CONFIG`, also if something in the directory cannot be read or written.
 */
export function prepareContent(path: string, access: EmbeddedAccess): void {
  try {
    prepare(path, access);
  } catch (cause) {
    if (cause instanceof QrunError) throw cause;
    throw new QrunError('CONFIG', `cannot use the data directory ${path}: ${(cause as Error).message}`, {
      hint: 'choose a directory that you may read and write with --data-dir',
      cause,
    });
  }
}

function prepare(path: string, access: EmbeddedAccess): void {
  for (const entry of entriesOf(path)) if (entry.isSymbolicLink()) refuseOtherLink(path, entry.name);
  for (const name of NEVER_USED) {
    if (entriesOf(join(path, name)).length > 0) throw refusal(path, name, 'no data belongs there');
  }
  for (const name of ['metadata', 'metadata_dropped', 'store', 'data', FUNCTIONS])
    look(path, name, DEPTH, access);
  closeFileFunction(path, access);
}

function look(path: string, name: string, depth: number, access: EmbeddedAccess): void {
  for (const entry of entriesOf(join(path, name))) {
    const inner = join(name, entry.name);
    if (entry.isSymbolicLink()) refuseOtherLink(path, inner);
    else if (entry.isDirectory()) {
      if (depth > 1) look(path, inner, depth - 1, access);
    } else if (STORED.test(entry.name)) lookAt(path, inner, access);
  }
}

function lookAt(path: string, name: string, access: EmbeddedAccess): void {
  let use: ReturnType<typeof outsideInStored>;
  try {
    const stored = decodeSql(readBytes(join(path, name), 'query', { follow: false }));
    if (name === join(FUNCTIONS, FUNCTION_FILE) && stored === DEFINITION) return;
    use = outsideInStored(name.endsWith('.txt') ? unescaped(stored) : stored, access);
  } catch (cause) {
    throw refusal(path, name, `it cannot be read: ${(cause as Error).message}`);
  }
  if (use !== undefined) throw refusal(path, name, refusalOf(use));
}

// The engine writes the commands of a mutation like a string literal, but without the quotes.
function unescaped(text: string): string {
  return text.replace(/\\([\s\S])/g, (_, character: string) => ESCAPES[character] ?? character);
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', 0: '\0' };

// The engine links data/db/table and metadata/db to directories in its store, and makes no other links.
const DIRECTORY_LINKS = /^(?:data\/[^/]+\/[^/]+|metadata\/[^/]+)$/;
const IN_STORE = /^store\/[^/]+\/[^/]+$/;
const slashed = (name: string): string => name.split(sep).join('/');

// The target of any other link has not been checked, and what is written would go there.
function refuseOtherLink(path: string, name: string): void {
  let target: string;
  try {
    target = realpathSync(join(path, name));
  } catch {
    // Left over from data that was moved or dropped. Nothing can be created through a dangling link to a directory.
    if (DIRECTORY_LINKS.test(slashed(name))) return;
    throw refusal(path, name, 'it is a link that leads nowhere');
  }
  const inner = slashed(relative(realpathSync(path), target));
  if (DIRECTORY_LINKS.test(slashed(name)) && IN_STORE.test(inner) && statSync(target).isDirectory()) return;
  throw refusal(path, name, `it is a link to ${target}`);
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

function refusal(path: string, name: string, why: string): QrunError {
  return new QrunError('CONFIG', `the data directory ${path} is not opened: ${name}: ${why}`, {
    hint: 'allow it if the directory is yours and you know what is in it; otherwise remove the directory or choose another one with --data-dir',
  });
}

const FUNCTION_FILE = `function_${CLOSED_FUNCTION}.sql`;
const DEFINITION = `CREATE FUNCTION ${CLOSED_FUNCTION} AS path -> CAST(throwIf(true, ${literal(FILE_FUNCTION_CLOSED)}) AS String)\n`;

function closeFileFunction(path: string, access: EmbeddedAccess): void {
  const directory = join(path, FUNCTIONS);
  const file = join(directory, FUNCTION_FILE);
  if (access.files) {
    rmSync(file, { force: true });
    return;
  }
  if (entriesOf(directory).some(({ name }) => name === FUNCTION_FILE)) {
    if (decodeSql(readBytes(file, 'query', { follow: false })) === DEFINITION) return;
    // Replaced, never overwritten: the file may be shared with other data.
    rmSync(file);
  }
  makeDirectories(directory);
  const { fd } = openToAppend(file, 'query', { follow: false, mode: 0o600 });
  try {
    // Not synced: it is checked each time the directory is opened.
    writeWhole(fd, DEFINITION);
  } finally {
    closeSync(fd);
  }
}
