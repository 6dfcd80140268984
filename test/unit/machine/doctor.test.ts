import { describe, expect, it } from 'vitest';
import { type DoctorDeps, diagnose } from '../../../src/app/machine/doctor.js';
import { renderDiagnosis } from '../../../src/cli/commands/doctor/render.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { QrunError } from '../../../src/core/errors.js';
import type { HostsCheck } from '../../../src/core/hosts/check.js';
import type { QueueState } from '../../../src/core/queue/queue.js';
import { PUEUE } from '../../../src/io/queue/pueue/kind.js';
import { queueTask } from '../queue/samples.js';

const STATE: QueueState = { tasks: [], groups: new Map(), stateBytes: 100 };

const HEALTHY: DoctorDeps = {
  nodeVersion: '20.20.2',
  configuration: () => ({ root: '/sweep', file: '/sweep/qrun.toml' }),
  queueKind: PUEUE,
  queue: async () => ({ version: '4.0.4', state: async () => STATE }),
  engine: async () => ({ says: 'ClickHouse 26.7 at http://ch:8123', limits: { max_threads: '8' } }),
  usesServer: () => true,
  chdb: async () => {},
  locks: async () => 'koffi',
  memoryCaps: async () => undefined,
  mise: async () => '2026.1.1',
  logPlace: async () => ({ path: '/sweep/results', unwritable: undefined, freeBytes: 5e10, network: false }),
};

const refused = (code: ConstructorParameters<typeof QrunError>[0]) => async () => {
  throw new QrunError(code, `no ${code}`, { hint: 'mend it' });
};

describe('diagnose', () => {
  it('finds nothing to mend where everything is there', async () => {
    const { findings, exitCode } = await diagnose(HEALTHY);
    expect(exitCode).toBe(0);
    expect(findings.map(({ state }) => state)).toEqual(findings.map(() => 'ok'));
    expect(findings.find(({ what }) => what === 'limits')?.says).toBe('max_threads=8');
  });

  it.each<[string, Partial<DoctorDeps>, number, string]>([
    ['no pueue', { queue: refused('QUEUE_MISSING') }, 26, 'pueue'],
    ['no daemon', { queue: async () => ({ version: '4.0.4', state: refused('QUEUE_DOWN') }) }, 26, 'pueued'],
    ['no engine', { engine: refused('ENGINE_UNREACHABLE') }, 24, 'engine'],
    ['no locks', { locks: async () => undefined }, 23, 'locks'],
    [
      'logs that cannot be written',
      { logPlace: async () => ({ path: '/l', unwritable: 'EROFS', freeBytes: 1e12, network: false }) },
      23,
      'logs',
    ],
    [
      'a full disk',
      { logPlace: async () => ({ path: '/l', unwritable: undefined, freeBytes: 1e6, network: false }) },
      23,
      'disk',
    ],
    [
      'bad configuration',
      {
        configuration: () => {
          throw new QrunError('CONFIG', 'bad', { details: ['key: wrong'] });
        },
        // Everything that needs it fails alike, and is not reported again.
        engine: refused('CONFIG'),
        logPlace: refused('CONFIG'),
      },
      2,
      'configuration',
    ],
  ])('%s', async (_title, deps, code, what) => {
    const { findings, exitCode } = await diagnose({ ...HEALTHY, ...deps });
    expect(exitCode).toBe(code);
    expect(findings.filter(({ state }) => state === 'problem').map(finding => finding.what)).toEqual([what]);
  });

  it('gives the code of the worst class', async () => {
    const engine = refused('ENGINE_REFUSED');
    const locks = async () => undefined;
    expect((await diagnose({ ...HEALTHY, engine, locks })).exitCode).toBe(24);
    expect((await diagnose({ ...HEALTHY, engine, queue: refused('QUEUE_DOWN') })).exitCode).toBe(26);
  });

  it('takes what is optional for a note', async () => {
    const { findings, exitCode } = await diagnose({
      ...HEALTHY,
      chdb: refused('ENGINE_MISSING'),
      locks: async () => 'child',
      memoryCaps: async () => 'there is no systemd-run',
      mise: async () => undefined,
      logPlace: async () => ({ path: '/nfs', unwritable: undefined, freeBytes: 5e8, network: true }),
    });
    expect(exitCode).toBe(0);
    expect(findings.filter(({ state }) => state === 'note').map(({ what }) => what)).toEqual([
      'memory caps',
      'chdb',
      'locks',
      'disk',
      'disk',
      'mise',
    ]);
  });

  it('tells of paused groups of ours only, and how to shrink a large state', async () => {
    const state: QueueState = {
      tasks: [
        queueTask({ group: 'nightly', label: 'qrun:a:b', phase: 'queued' }),
        queueTask({ group: 'qrun-a', label: 'qrun:a:c', phase: 'done' }),
      ],
      groups: new Map(
        ['nightly', 'qrun-a', 'other'].map(name => [name, { name, paused: true, slots: 1 }] as const),
      ),
      stateBytes: 2_500_000,
    };
    const queue = async () => ({ version: '4.0.4', state: async () => state });
    const { findings, exitCode } = await diagnose({ ...HEALTHY, queue });
    expect(exitCode).toBe(26);
    expect(findings.filter(({ what }) => what === 'group').map(({ mend }) => mend)).toEqual([
      'pueue start --group=nightly',
      'pueue start --group=qrun-a',
    ]);
    expect(findings.find(({ what }) => what === 'pueue state')).toMatchObject({
      state: 'note',
      mend: 'pueue clean --group=qrun-a',
    });
  });

  it('tells of each of several servers which is away, which lacks tables, and whose replicas lag', async () => {
    const servers = [
      { target: 'http://a:8123', version: '26.7' },
      { target: 'http://b:8123', version: '26.7', lagS: 40 },
      { target: 'http://c:8123', version: undefined, away: 'connection refused' },
    ];
    const uneven = Array.from({ length: 7 }, (_, n) => ({
      database: 'd',
      name: `t${n}`,
      lacking: 'http://a:8123',
    }));
    const engine = async () => ({ says: 'ClickHouse 26.7 at all', limits: {}, servers, uneven });
    const { findings, exitCode } = await diagnose({ ...HEALTHY, engine });
    expect(exitCode).toBe(0);
    expect(findings.filter(({ class: kind, what }) => kind === 'engine' && what !== 'chdb')).toEqual([
      expect.objectContaining({ what: 'engine', state: 'ok' }),
      { what: 'server', state: 'ok', says: 'http://a:8123: ClickHouse 26.7', class: 'engine' },
      expect.objectContaining({
        state: 'note',
        says: expect.stringContaining('lag by 40 s'),
        mend: expect.stringContaining('--max-replica-delay 5s'),
      }),
      expect.objectContaining({
        state: 'note',
        says: 'http://c:8123 would get no queries: connection refused',
        mend: expect.stringContaining('curl -sS http://c:8123/ping'),
      }),
      expect.objectContaining({
        what: 'tables',
        state: 'note',
        says: expect.stringMatching(/^http:\/\/a:8123 lacks d\.t0, .*d\.t4 and 2 more: /),
      }),
    ]);
  });

  describe('with hosts', () => {
    const host = {
      ...{ name: 'alpha', ssh: 'alpha', root: '/s', slots: 1, reached: true, elapsed_ms: 9 },
      ...{ node: '20.20.2', qrun: '1.2.3', queue: '4.0.4', free_bytes: 5e10, clock_ahead_s: 0 },
      locks: 'koffi' as const,
      sweeps: [],
      findings: [],
    };
    const found = (what: string, state: 'note' | 'problem', code: number) => ({
      ...{ what, state, says: 'bad', mend: 'mend it' },
      exit_code: code,
    });
    const programs = { ssh: 'OpenSSH_9.2', rsync: 'rsync 3.2.7' };
    const onHosts =
      (hosts: readonly HostsCheck['hosts'][number][]): NonNullable<DoctorDeps['hosts']> =>
      async () => ({ programs, check: async () => ({ version: '1.2.3', hosts, exit_code: 0 }) });

    it('says of each what hosts check says, and needs no queue here', async () => {
      const deps = { ...HEALTHY, queue: refused('QUEUE_MISSING') };
      const slow = { ...host, findings: [found('locks', 'note', 0)] };
      const { findings, exitCode } = await diagnose({ ...deps, hosts: onHosts([slow]) });
      expect(exitCode).toBe(0);
      expect(findings.find(({ what }) => what === 'pueue')).toMatchObject({
        state: 'note',
        says: expect.stringContaining('needed here only with --here'),
      });
      expect(findings.slice(-2)).toEqual([
        {
          what: 'host alpha',
          state: 'ok',
          says: 'Node 20.20.2, qrun 1.2.3, queue 4.0.4, 46.6G free',
          class: 'host',
        },
        { what: 'host alpha', state: 'note', says: 'locks: bad', mend: 'mend it', class: 'host' },
      ]);
    });

    it.each<[string, HostsCheck['hosts'][number]['findings'], number]>([
      ['a host', [found('ssh', 'problem', 26)], 26],
      ['its root', [found('root', 'problem', 23)], 23],
      ['both', [found('root', 'problem', 23), found('qrun', 'problem', 26)], 26],
    ])('ends with the code of %s', async (_title, wrong, code) => {
      const { findings, exitCode } = await diagnose({
        ...HEALTHY,
        hosts: onHosts([{ ...host, free_bytes: null, findings: wrong }]),
      });
      expect(exitCode).toBe(code);
      expect(findings.filter(({ what }) => what === 'host alpha')).toHaveLength(wrong.length);
    });

    it('connects to nothing without the programs, or without trust', async () => {
      let asked = 0;
      const check = async () => {
        asked += 1;
        return { version: '', hosts: [], exit_code: 0 };
      };
      const bare = await diagnose({
        ...HEALTHY,
        hosts: async () => ({ programs: { ssh: undefined, rsync: undefined }, check }),
      });
      expect([bare.exitCode, asked]).toEqual([26, 0]);
      expect(bare.findings.slice(-2).map(({ mend }) => mend)).toEqual([
        'apt-get install openssh-client',
        'apt-get install rsync',
      ]);
      const untrusted = await diagnose({ ...HEALTHY, hosts: refused('CONFIG') });
      expect(untrusted.exitCode).toBe(2);
      expect(untrusted.findings.at(-1)).toMatchObject({ what: 'hosts', state: 'problem', mend: 'mend it' });
    });
  });

  it('lets a bug be seen', async () => {
    const engine = async () => {
      throw new TypeError('bug');
    };
    await expect(diagnose({ ...HEALTHY, engine })).rejects.toThrow(TypeError);
  });
});

describe('renderDiagnosis', () => {
  it('aligns state, subject and text, with what mends it beneath', async () => {
    const diagnosis = await diagnose({ ...HEALTHY, queue: refused('QUEUE_DOWN') });
    const lines = renderDiagnosis(diagnosis, createStyle({ color: false, unicode: false })).split('\n');
    expect(lines[0]).toBe('ok       node           20.20.2');
    expect(lines[2]).toBe('problem  pueue          no QUEUE_DOWN');
    expect(lines[3]).toBe('                        mend: mend it');
    expect(lines.at(-2)).toBe('one problem prevents a sweep (26)');
  });
});
