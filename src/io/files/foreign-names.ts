import { isUtf8 } from 'node:buffer';
import { type Dirent, readdirSync } from 'node:fs';
import { sep } from 'node:path';

// Linux takes any bytes as a name. Node decodes them as UTF-8, with this instead of what is not UTF-8: such a name leads to
// nothing. (It may also stand in a name by itself, which then leads to its file.)
const REPLACEMENT = '\ufffd';
const SLASH = Buffer.from(sep);

/** Whether a decoded name or path may be one that is not UTF-8, and leads to nothing then. */
export function mayBeForeign(name: string): boolean {
  return name.includes(REPLACEMENT);
}

/**
 * What the bytes of a path look like beneath a directory, with `\xe9` for each that is not UTF-8; `undefined` when they
 * are all UTF-8, or nothing there has that name. `path`: as it was decoded; where several names look like it, all of
 * them.
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

/** What lies in a directory with such a name: `*.sql` files, as their decoded paths beneath it. Links are not followed. */
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

// All whose names look like this one; those that are not UTF-8, where there are any.
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

// A byte is not UTF-8 by itself where decoding leaves a replacement that is not there in the bytes.
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
