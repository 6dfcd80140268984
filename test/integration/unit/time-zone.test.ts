import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isTimeZone, localTimeZone } from '../../../src/io/engines/time-zone.js';
import { scratch } from '../machine/processes.js';

describe('the time zone of a process', () => {
  it.each<[string, string]>([
    ['Asia/Tokyo', 'Asia/Tokyo'],
    [':Asia/Tokyo', 'Asia/Tokyo'],
    [' Asia/Tokyo ', 'Asia/Tokyo'],
    ['posix/Asia/Tokyo', 'Asia/Tokyo'],
    ['/usr/share/zoneinfo/Asia/Tokyo', 'Asia/Tokyo'],
    [':/usr/share/zoneinfo/Asia/Tokyo', 'Asia/Tokyo'],
    ['EST5EDT', 'EST5EDT'],
    ['JST-9', 'JST-9'],
    ['Nowhere/Land', 'Nowhere/Land'],
    // All that is UTC is one.
    ['', 'UTC'],
    ['UTC', 'UTC'],
    [':UTC', 'UTC'],
    ['Etc/UTC', 'UTC'],
    ['GMT', 'UTC'],
    ['Etc/GMT+0', 'UTC'],
    ['Zulu', 'UTC'],
    ['/usr/share/zoneinfo/Etc/UTC', 'UTC'],
    // 15 hours from it.
    ['Etc/GMT+12', 'Etc/GMT+12'],
  ])('TZ=%j is %s', (TZ, zone) => {
    expect(localTimeZone({ TZ })).toBe(zone);
  });

  it('is that of the machine without TZ, through links to links', () => {
    const directory = scratch();
    mkdirSync(join(directory, 'zoneinfo', 'Asia'), { recursive: true });
    writeFileSync(join(directory, 'zoneinfo', 'Asia', 'Tokyo'), 'TZif');
    symlinkSync('zoneinfo/Asia/Tokyo', join(directory, 'one'));
    symlinkSync('one', join(directory, 'two'));
    expect(localTimeZone({}, join(directory, 'two'))).toBe('Asia/Tokyo');
    expect(localTimeZone({ TZ: 'localtime' }, join(directory, 'two'))).toBe('Asia/Tokyo');
  });

  it('a path that is no zone stays what it is, and links in a circle end', () => {
    const directory = scratch();
    symlinkSync('b', join(directory, 'a'));
    symlinkSync('a', join(directory, 'b'));
    expect(localTimeZone({ TZ: join(directory, 'a') })).toBe(join(directory, 'a'));
    expect(typeof localTimeZone({}, join(directory, 'a'))).toBe('string');
  });
});

describe('a time zone that the engine knows', () => {
  it.each(['UTC', 'Asia/Tokyo', 'America/Argentina/Buenos_Aires', 'Etc/GMT+12', 'EST5EDT'])('%s', name => {
    expect(isTimeZone(name)).toBe(true);
  });

  it.each(['', 'Nowhere/Land', 'JST-9', '<+03>-3', 'asia/tokyo', '/tmp/x', '../../etc/passwd', 'Asia'])(
    'not %j',
    name => {
      expect(isTimeZone(name)).toBe(false);
    },
  );
});
