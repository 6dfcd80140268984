import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { appendLine, writeFileAtomic } from '../../src/io/durable-file.js';
import { CAN_MOUNT, scratch, withSmallDisk } from './processes.js';

describe('writeFileAtomic', () => {
  it('replaces a file whole, and leaves nothing beside it', async () => {
    const directory = scratch();
    const path = join(directory, 'file');
    writeFileSync(path, 'a long old content');
    await writeFileAtomic(path, 'new');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it('lets many write at once: each write succeeds, and one of the contents stands whole', async () => {
    const directory = scratch();
    const path = join(directory, 'file');
    // Different lengths, so that a mixture of two would show.
    const contents = Array.from({ length: 20 }, (_, n) => String(n % 10).repeat(1000 * (n + 1)));
    await Promise.all(contents.map(content => writeFileAtomic(path, content)));
    expect(contents).toContain(readFileSync(path, 'utf8'));
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it.runIf(CAN_MOUNT)('leaves the old content and no other file when the disk is full', async () => {
    await withSmallDisk(async directory => {
      const path = join(directory, 'file');
      writeFileSync(path, 'old');
      await expect(writeFileAtomic(path, 'x'.repeat(2e6))).rejects.toThrow(/ENOSPC/);
      expect(readFileSync(path, 'utf8')).toBe('old');
      expect(readdirSync(directory)).toEqual(['file']);
    });
  });
});

describe('appendLine', () => {
  it('closes the torn end of a killed writer first', async () => {
    const path = join(scratch(), 'lines');
    await appendLine(path, 'one');
    writeFileSync(path, 'tor', { flag: 'a' });
    await appendLine(path, 'two');
    expect(readFileSync(path, 'utf8')).toBe('one\ntor\ntwo\n');
  });
});
