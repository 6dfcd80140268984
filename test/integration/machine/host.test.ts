import { availableParallelism, totalmem } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { killedAtLimit, memoryLimit } from '../../../src/io/machine/cgroup.js';
import { HostMeter } from '../../../src/io/machine/host.js';
import { put, removeTree, tree } from '../qrun.js';

const G = 1024 ** 3;
const M = 1024 ** 2;

const PROC = {
  'proc/meminfo': `MemTotal:       ${(64 * G) / 1024} kB
MemFree:        ${(1 * G) / 1024} kB
MemAvailable:   ${(48 * G) / 1024} kB
SwapTotal:      ${(4 * G) / 1024} kB
SwapFree:       ${(3 * G) / 1024} kB
`,
  'proc/loadavg': '3.25 2.00 1.00 2/345 6789\n',
  'proc/stat': 'cpu  1000 0 500 8000 500 0 0 0 0 0\ncpu0 1000 0 500 8000 500 0 0 0 0 0\n',
  'proc/vmstat': 'nr_free_pages 1\npswpin 100\npswpout 200\n',
  'proc/self/limits':
    'Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 524288               files     \n',
} as const;
const V2 = {
  'proc/self/cgroup': '0::/jobs/one\n',
  'proc/self/mountinfo': '30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n',
};
const V1 = {
  'proc/self/cgroup': '4:memory:/jobs/one\n3:cpuacct:/jobs/one\n2:cpu:/jobs/one\n0::/\n',
  'proc/self/mountinfo': `32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`,
};
const NO_LIMIT_V1 = '9223372036854771712\n';

/** A meter of a made-up machine of 8 cores; half a second passes in its wait, in which `change` happens. */
function meter(files: Readonly<Record<string, string>>, change: Readonly<Record<string, string>> = {}) {
  const root = tree(files);
  onTestFinished(() => removeTree(root));
  let nowMs = 0;
  const found = new HostMeter({
    root,
    coresOnline: 8,
    monotonicMs: () => nowMs,
    delay: async ms => {
      nowMs += ms;
      for (const [name, text] of Object.entries(change)) put(root, name, text);
    },
  });
  return { meter: found, root, pass: (ms: number) => (nowMs += ms) };
}

const LATER = {
  // 100 ticks, 25 of them busy.
  'proc/stat': 'cpu  1020 0 505 8070 505 0 0 0 0 0\n',
  'proc/vmstat': 'pswpin 103\npswpout 207\n',
};

describe('HostMeter, on a machine without control groups', () => {
  it('reads memory, load, CPU, swap and limits', async () => {
    expect(await meter(PROC, LATER).meter.read()).toEqual({
      cores: 8,
      coresOnline: 8,
      coresQuota: undefined,
      memoryBytes: 64 * G,
      machineMemoryBytes: 64 * G,
      memoryLimitBytes: undefined,
      memoryAvailableBytes: 48 * G,
      memoryPercent: 25,
      swapBytes: 4 * G,
      swapUsedBytes: 1 * G,
      load1: 3.25,
      cpuPercent: 25,
      swapPages: { in: 3, out: 7 },
      windowMs: 500,
      openFiles: 1024,
      unknown: [],
    });
  });

  it('measures from one reading to the next', async () => {
    const { meter: found, root, pass } = meter(PROC, LATER);
    await found.read();
    pass(60_000);
    put(root, 'proc/stat', 'cpu  1110 0 505 8080 505 0 0 0 0 0\n');
    put(root, 'proc/vmstat', 'pswpin 103\npswpout 208\n');
    expect(await found.read()).toMatchObject({
      cpuPercent: 90,
      swapPages: { in: 0, out: 1 },
      windowMs: 60_000,
    });
  });

  it('says what the system does not tell, and takes the rest from Node', async () => {
    const facts = await meter({}).meter.read();
    expect(facts.unknown).toEqual([
      'swap activity',
      'the limit of open files',
      'memory that caches would give up (counted as used)',
      'swap',
    ]);
    expect(facts).toMatchObject({
      memoryBytes: totalmem(),
      swapBytes: undefined,
      swapPages: undefined,
      openFiles: undefined,
      cores: 8,
    });
    expect(facts.memoryAvailableBytes).toBeGreaterThan(0);
  });

  it('ends its first wait with the signal', async () => {
    const reading = new HostMeter().read(AbortSignal.abort(new Error('stopped')));
    await expect(reading).rejects.toThrow();
  });
});

describe('HostMeter, in a control group of version 2', () => {
  const group = (files: Readonly<Record<string, string>>) => ({
    ...PROC,
    ...V2,
    ...Object.fromEntries(Object.entries(files).map(([name, text]) => [`sys/fs/cgroup/${name}`, text])),
  });

  it('takes its limits, and counts caches that would be given up as free', async () => {
    const files = group({
      'jobs/one/memory.max': `${8 * G}\n`,
      'jobs/one/memory.current': `${6 * G}\n`,
      'jobs/one/memory.stat': `anon 1\nfile ${3 * G}\ninactive_file ${2 * G}\nactive_file ${G}\n`,
      'jobs/one/cpu.max': '150000 100000\n',
      'jobs/one/cpu.stat': 'usage_usec 1000000\nuser_usec 1\n',
    });
    const later = { ...LATER, 'sys/fs/cgroup/jobs/one/cpu.stat': 'usage_usec 1600000\n' };
    const { meter: found } = meter(files, later);
    expect(found.capacity()).toEqual({ cores: 1.5, memoryBytes: 8 * G });
    expect(await found.read()).toMatchObject({
      cores: 1.5,
      coresQuota: 1.5,
      memoryBytes: 8 * G,
      memoryLimitBytes: 8 * G,
      machineMemoryBytes: 64 * G,
      memoryAvailableBytes: 4 * G,
      memoryPercent: 50,
      // 0.6 s of the 0.75 s that it might use, on a machine that is busy to a quarter.
      cpuPercent: 80,
    });
  });

  it('takes the lowest limit of the groups above, and the least that is free in any', async () => {
    const files = group({
      'jobs/one/memory.max': `${8 * G}\n`,
      'jobs/one/memory.current': `${1 * G}\n`,
      'jobs/memory.max': `${16 * G}\n`,
      'jobs/memory.current': `${15 * G}\n`,
      'jobs/one/cpu.max': 'max 100000\n',
      'jobs/cpu.max': '400000 100000\n',
    });
    expect(await meter(files).meter.read()).toMatchObject({
      cores: 4,
      memoryBytes: 8 * G,
      memoryAvailableBytes: 1 * G,
      memoryPercent: (100 * 15) / 16,
    });
  });

  it.each([
    ['without limits', { 'jobs/one/memory.max': 'max\n', 'jobs/one/cpu.max': 'max 100000\n' }],
    [
      'with limits above the machine',
      { 'jobs/one/memory.max': `${128 * G}\n`, 'jobs/one/cpu.max': '1600000 100000' },
    ],
    ['without the files, as the root group', {}],
  ])('is the machine %s', async (_title, files) => {
    expect(await meter(group(files)).meter.read()).toMatchObject({
      cores: 8,
      memoryBytes: 64 * G,
      memoryLimitBytes: undefined,
      memoryAvailableBytes: 48 * G,
    });
  });
});

describe('HostMeter, in a control group of version 1', () => {
  const MEMORY = 'sys/fs/cgroup/memory';
  const CPU = 'sys/fs/cgroup/cpu';
  const ACCT = 'sys/fs/cgroup/cpuacct';

  it('takes its limits', async () => {
    const files = {
      ...PROC,
      ...V1,
      [`${MEMORY}/memory.limit_in_bytes`]: NO_LIMIT_V1,
      [`${MEMORY}/memory.usage_in_bytes`]: `${40 * G}\n`,
      [`${MEMORY}/jobs/one/memory.limit_in_bytes`]: `${512 * M}\n`,
      [`${MEMORY}/jobs/one/memory.usage_in_bytes`]: `${384 * M}\n`,
      [`${MEMORY}/jobs/one/memory.stat`]: `inactive_file 5\ntotal_inactive_file ${128 * M}\n`,
      [`${CPU}/jobs/one/cpu.cfs_quota_us`]: '50000\n',
      [`${CPU}/jobs/one/cpu.cfs_period_us`]: '100000\n',
      [`${ACCT}/jobs/one/cpuacct.usage`]: '0\n',
    };
    const { meter: found } = meter(files, { [`${ACCT}/jobs/one/cpuacct.usage`]: '100000000\n' });
    expect(await found.read()).toMatchObject({
      cores: 0.5,
      memoryBytes: 512 * M,
      memoryAvailableBytes: 256 * M,
      memoryPercent: 50,
      // 0.1 s of 0.25 s.
      cpuPercent: 40,
    });
  });

  it('is the machine without limits', async () => {
    const files = {
      ...PROC,
      ...V1,
      [`${MEMORY}/jobs/one/memory.limit_in_bytes`]: NO_LIMIT_V1,
      [`${CPU}/jobs/one/cpu.cfs_quota_us`]: '-1\n',
      [`${CPU}/jobs/one/cpu.cfs_period_us`]: '100000\n',
    };
    expect(await meter(files).meter.read()).toMatchObject({ cores: 8, memoryBytes: 64 * G });
  });
});

describe('HostMeter, on this machine', () => {
  it('gives numbers that can be', async () => {
    const facts = await new HostMeter().read();
    expect(facts.cores).toBeGreaterThan(0);
    expect(facts.cores).toBeLessThanOrEqual(availableParallelism());
    expect(facts.memoryBytes).toBeLessThanOrEqual(totalmem());
    expect(facts.memoryAvailableBytes).toBeGreaterThan(0);
    expect(facts.memoryAvailableBytes).toBeLessThanOrEqual(facts.memoryBytes);
    expect(facts.windowMs).toBeGreaterThan(400);
    for (const percent of [facts.cpuPercent, facts.memoryPercent]) {
      expect(percent).toBeGreaterThanOrEqual(0);
      expect(percent).toBeLessThanOrEqual(100);
    }
  });
});

describe('memoryLimit', () => {
  it.each<[string, 1 | 2, Record<string, string>, number | undefined]>([
    ['version 2', 2, { 'memory.max': '104857600\n' }, 100 * M],
    ['version 2, none', 2, { 'memory.max': 'max\n' }, undefined],
    ['version 1', 1, { 'memory.limit_in_bytes': '104857600\n' }, 100 * M],
    ['version 1, none', 1, { 'memory.limit_in_bytes': NO_LIMIT_V1 }, undefined],
    ['no such file', 2, {}, undefined],
    ['an empty file', 1, { 'memory.limit_in_bytes': '' }, undefined],
  ])('%s', (_title, version, files, limit) => {
    const directory = tree(files);
    onTestFinished(() => removeTree(directory));
    expect(memoryLimit({ version, mount: directory, directory })).toBe(limit);
  });
});

describe('killedAtLimit', () => {
  const events = (oom: number, kills: number) =>
    `low 0\nhigh 0\nmax 12\noom ${oom}\noom_kill ${kills}\noom_group_kill 9\n`;
  const control = (kills: number) => `oom_kill_disable 0\nunder_oom 0\noom_kill ${kills}\n`;
  it.each<[string, 1 | 2, Record<string, string>, boolean | undefined]>([
    ['version 2: killed at its limit', 2, { 'memory.events': events(1, 1) }, true],
    ['version 2: nothing was killed', 2, { 'memory.events': events(3, 0) }, false],
    ['version 2: killed for want of memory elsewhere', 2, { 'memory.events': events(0, 1) }, false],
    [
      'version 1: killed at its limit',
      1,
      { 'memory.oom_control': control(2), 'memory.failcnt': '130\n' },
      true,
    ],
    [
      'version 1: nothing was killed',
      1,
      { 'memory.oom_control': control(0), 'memory.failcnt': '130\n' },
      false,
    ],
    [
      'version 1: killed for want of memory elsewhere',
      1,
      { 'memory.oom_control': control(1), 'memory.failcnt': '0\n' },
      false,
    ],
    ['the group is gone', 2, {}, undefined],
  ])('%s', (_title, version, files, killed) => {
    const directory = tree(files);
    onTestFinished(() => removeTree(directory));
    expect(killedAtLimit({ version, mount: directory, directory })).toBe(killed);
  });
});
