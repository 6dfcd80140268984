import { describe, expect, it } from 'vitest';
import { cgroupPlace } from '../../../src/io/machine/cgroup.js';

const V1_MOUNTS = `25 30 0:22 / /proc rw - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`;
const V2_MOUNTS = `30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate`;
const IN_CONTAINER = `735 730 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw`;

describe('cgroupPlace', () => {
  it.each<[string, string, string, object | undefined]>([
    [
      'version 2',
      '0::/user.slice/user-1000.slice/qrun.scope\n',
      V2_MOUNTS,
      {
        version: 2,
        mount: '/sys/fs/cgroup',
        directory: '/sys/fs/cgroup/user.slice/user-1000.slice/qrun.scope',
      },
    ],
    ['version 2, the root group', '0::/\n', V2_MOUNTS, { version: 2, directory: '/sys/fs/cgroup/' }],
    [
      'version 1',
      '4:memory:/jobs/1\n1:cpu,cpuacct:/\n0::/x\n',
      V1_MOUNTS,
      { version: 1, mount: '/sys/fs/cgroup/memory', directory: '/sys/fs/cgroup/memory/jobs/1' },
    ],
    [
      'a controller that version 1 does not have',
      '1:cpu,cpuacct:/\n0::/x\n',
      V1_MOUNTS,
      { version: 2, mount: '/sys/fs/cgroup/unified', directory: '/sys/fs/cgroup/unified/x' },
    ],
    [
      'a container that sees its group as the root of the mount',
      '0::/docker/abc/inner\n',
      IN_CONTAINER,
      { version: 2, mount: '/sys/fs/cgroup', directory: '/sys/fs/cgroup/inner' },
    ],
    [
      'a mount point with a space',
      '0::/a\n',
      V2_MOUNTS.replace('/sys/fs/cgroup', '/mnt/c\\040g'),
      { version: 2, directory: '/mnt/c g/a' },
    ],
    ['no control groups', '', '', undefined],
    ['no mount of them', '0::/a\n', '25 30 0:22 / /proc rw - proc proc rw', undefined],
    ['nonsense', 'a\n:::\n', 'b - c\n\n', undefined],
  ])('%s', (_title, membership, mounts, place) => {
    const found = cgroupPlace('memory', membership, mounts);
    if (place === undefined) expect(found).toBeUndefined();
    else expect(found).toMatchObject(place);
  });
});
