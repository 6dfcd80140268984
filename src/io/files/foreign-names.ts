import { isUtf8 } from 'node:buffer';
import { type Dirent, readdirSync } from 'node:fs';
import { sep } from 'node:path';

// Linux accepts any bytes as a name. Node decodes them as UTF-8, with this character for what is not UTF-8. The decoded
// name then leads to nothing. (The character may also be part of a valid name, which leads to its file.)
const REPLACEMENT = '\ufffd';
const SLASH = Buffer.from(sep);

/** Whether a decoded name or path may come from bytes that are not UTF-8; it then leads to nothing. */
export function mayBeForeign(name: string): boolean {
  return name.includes(REPLACEMENT);
}

/**
 * Returns the bytes of a path beneath a directory in readable form, with `\xe9` for a byte that is not UTF-8. Returns
 * all names, with commas between them, if several look alike, and `undefined` if the bytes are UTF-8 or nothing there
 * has that name. `path` is the path as it was decoded.
 */
export function foreignName(directory: string, path: string): string | undefined {
  let at: Buffer = Buffer.from(directory);
  let before = '';
  let last: readonly Buffer[] = [];
  for (const part of path.split(sep)) {
    if (last[0] !== undefined) before += `${escaped(last[0])}${sep}`;
    last = mayBeForeign(part) ? alike(at, part) : [Buffer.from(part)];
    if (last[0] === undefined) return undefined;
    at = Buffer.concat([at, SLASH, last[0]]);
  }
  return isUtf8(at) ? undefined : last.map(bytes => `${before}${escaped(bytes)}`).join(', ');
}

/** Returns the decoded paths of the `*.sql` files beneath a directory with such a name. Links are not followed. */
export function sqlFilesIn(directory: string, name: string): string[] {
  const found: string[] = [];
  for (const bytes of alike(Buffer.from(directory), name)) {
    collect(Buffer.concat([Buffer.from(directory), SLASH, bytes]), '', found);
  }
  return found;
}

function collect(directory: Buffer, prefix: string, found: string[]): void {
  for (const entry of entriesOf(directory)) {
    const name = entry.name.toString('utf8');
    if (name.startsWith('_') || name.startsWith('.')) continue;
    if (entry.isDirectory()) {
      collect(Buffer.concat([directory, SLASH, entry.name]), `${prefix}${name}/`, found);
    } else if (name.endsWith('.sql')) found.push(`${prefix}${name}`);
  }
}

// All names that look like this one; if any of them are not UTF-8, only those.
function alike(directory: Buffer, name: string): readonly Buffer[] {
  const found = entriesOf(directory)
    .map(entry => entry.name)
    .filter(bytes => bytes.toString('utf8') === name);
  const foreign = found.filter(bytes => !isUtf8(bytes));
  return foreign.length > 0 ? foreign : found;
}

function entriesOf(directory: Buffer): Dirent<Buffer>[] {
  try {
    return readdirSync(directory, { withFileTypes: true, encoding: 'buffer' });
  } catch {
    return [];
  }
}

// Escapes every byte that does not begin a valid UTF-8 sequence.
function escaped(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  let text = '';
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find(n => at + n <= bytes.length && isUtf8(bytes.subarray(at, at + n)));
    text +=
      length === undefined
        ? `\\x${(bytes[at] as number).toString(16).padStart(2, '0')}`
        : bytes.toString('utf8', at, at + length);
    at += length ?? 1;
  }
  return text;
}
