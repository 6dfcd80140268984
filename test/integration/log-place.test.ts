import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lookAtLogPlace } from '../../src/io/log-place.js';
import { CAN_MOUNT, scratch, withReadOnly, withSmallDisk } from './processes.js';

describe('lookAtLogPlace', () => {
  it('judges a directory that is not there by the one above it, and makes nothing', async () => {
    const directory = scratch();
    const path = join(directory, 'a', 'b');
    const place = await lookAtLogPlace(path);
    expect(place).toMatchObject({ path, unwritable: undefined, network: false });
    expect(place.freeBytes).toBeGreaterThan(0);
    expect(readdirSync(directory)).toEqual([]);
  });

  it('sees a file in the way', async () => {
    const file = join(scratch(), 'file');
    writeFileSync(file, '');
    expect((await lookAtLogPlace(file)).unwritable).toBe(`${file} is not a directory`);
    expect((await lookAtLogPlace(join(file, 'below'))).unwritable).toMatch(/not a directory/);
  });

  it.runIf(CAN_MOUNT)('sees a disk that is read-only, and how much is free on a small one', async () => {
    await withReadOnly(scratch(), async directory => {
      expect((await lookAtLogPlace(join(directory, 'results'))).unwritable).toContain('EROFS');
    });
    await withSmallDisk(async directory => {
      expect((await lookAtLogPlace(directory)).freeBytes).toBe(1024 * 1024);
    });
  });
});
