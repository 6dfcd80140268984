import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeFileAtomic } from '../../../src/io/files/write-file.js';
import { CAN_MOUNT, scratch, withSmallDisk } from '../machine/processes.js';

describe('writeFileAtomic', () => {
  it('replaces a file whole and leaves nothing else', async () => {
    const directory = scratch();
    const path = join(directory, 'file');
    writeFileSync(path, 'a long old content');
    await writeFileAtomic(path, 'new');
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(directory)).toEqual(['file']);
  });

  it('lets writers at once not disturb each other', async () => {
    const path = join(scratch(), 'file');
    const contents = Array.from({ length: 20 }, (_, n) => `${n}`.repeat(50_000));
    await Promise.all(contents.map(content => writeFileAtomic(path, content)));
    expect(contents).toContain(readFileSync(path, 'utf8'));
  });

  it.runIf(CAN_MOUNT)('leaves the old content, and nothing else, when the disk is full', async () => {
    await withSmallDisk(async directory => {
      const path = join(directory, 'file');
      writeFileSync(path, 'old');
      const before = readdirSync(directory);
      await expect(writeFileAtomic(path, 'x'.repeat(2e6))).rejects.toThrow(/ENOSPC/);
      expect(readFileSync(path, 'utf8')).toBe('old');
      expect(readdirSync(directory)).toEqual(before);
    });
  });
});
