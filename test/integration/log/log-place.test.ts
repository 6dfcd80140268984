import { mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { lookAtLogPlace, realLogPath } from '../../../src/io/log/place.js';
import { CAN_MOUNT, scratch, withReadOnly, withSmallDisk } from '../machine/processes.js';

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

describe('realLogPath', () => {
  function place(): string {
    const at = realpathSync(scratch());
    mkdirSync(join(at, 'disk'));
    for (const file of ['disk/there.ndjson', 'file']) writeFileSync(join(at, file), '');
    symlinkSync('disk', join(at, 'linked'));
    symlinkSync('linked/there.ndjson', join(at, 'one.ndjson'));
    symlinkSync('one.ndjson', join(at, 'two.ndjson'));
    symlinkSync('linked/new.ndjson', join(at, 'dangling.ndjson'));
    symlinkSync('self.ndjson', join(at, 'self.ndjson'));
    return at;
  }

  it.each([
    ['disk/there.ndjson', 'disk/there.ndjson'],
    ['one.ndjson', 'disk/there.ndjson'],
    ['two.ndjson', 'disk/there.ndjson'],
    ['linked/there.ndjson', 'disk/there.ndjson'],
    ['linked/../disk/there.ndjson', 'disk/there.ndjson'],
    // As it will be called once it is there.
    ['linked/new.ndjson', 'disk/new.ndjson'],
    ['dangling.ndjson', 'disk/new.ndjson'],
    ['linked/not/yet/new.ndjson', 'disk/not/yet/new.ndjson'],
    // Not to be followed: whoever opens it says why.
    ['self.ndjson', 'self.ndjson'],
    ['file/below.ndjson', 'file/below.ndjson'],
  ])('%s is %s', (path, real) => {
    const at = place();
    expect(realLogPath(join(at, path))).toBe(join(at, real));
  });
});
