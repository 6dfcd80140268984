import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { SlotsReport } from '../../src/core/hosts/slots/report.js';
import { openSweep } from '../../src/index.js';
import { builtQrun } from '../built.js';
import { type Ended, endAll, endOf, put, qrun, type Started, startQrun, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';
import { until } from './sweep-harness.js';

vi.setConfig({ testTimeout: 120_000 });

const GROUP = 'qrun-watched';
// The hosts share the load of this machine, which other tests make too.
const ANY_LOAD = ['--max-load', '9999'];
const QUERIES = 40;

const runnable =
  (sshHostsAvailable() && pueueAvailable() && clickHouseServerAvailable()) || servicesRequired();

describe.skipIf(!runnable)('qrun hosts slots, on two real hosts', () => {
  let all: SshHosts;
  let server: ClickHouseServer;
  let here: PueueDaemon;
  let root = '';
  const rootOf = (host: SshHost): string => join(host.directory, 'sweep');
  const hostNamed = (name: string): SshHost => all.hosts.find(host => host.name === name) as SshHost;

  beforeAll(async () => {
    all = await startSshHosts('alpha', 'beta');
    server = await startClickHouseServer({ alsoAt: hostNamed('alpha').gateway });
    here = await startPueueDaemon();
    root = tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': `[sweep]\nname = "watched"\n${all.toml(rootOf)}` });
    for (const host of all.hosts) fill(host);
  });
  afterEach(() => endAll());
  afterAll(async () => {
    await all?.stop();
    await server?.stop();
    await here?.stop();
  });

  // On alpha each query takes longer than it may; elsewhere the same queries are quick enough.
  function fill(host: SshHost): void {
    const at = rootOf(host);
    const url = `http://${hostNamed('alpha').gateway}:${server.port}`;
    put(at, 'qrun.toml', `url = "${url}"\nuser = "${server.second.user}"\n[sweep]\nname = "watched"\n`);
    put(at, '.env', `CLICKHOUSE_PASSWORD=\`${server.second.password}\`\n`);
    for (const [unit, limit] of [
      ['before', '20s'],
      ['then', host.name === 'alpha' ? '150ms' : '20s'],
    ] as const) {
      for (let n = 0; n < QUERIES; n += 1) {
        put(at, `${unit}/${n}.sql`, `-- qrun: timeout=${limit}\nSELECT sleep(0.3), ${n} AS n`);
      }
    }
  }

  const start = (args: readonly string[], env = all.env): Started =>
    startQrun(['hosts', 'slots', '.', '--trust', ...args], { cwd: root, env: { ...env } });

  async function changed(args: readonly string[], env = all.env): Promise<SlotsReport & { ended: Ended }> {
    return reported(endOf(await start([...args, '--json'], env)));
  }

  function reported(ended: Ended): SlotsReport & { ended: Ended } {
    const [line = ''] = ended.stdout.split('\n');
    expect(line, ended.stderr).not.toBe('');
    const report = JSON.parse(line) as SlotsReport;
    expect(faultsOf('hosts-slots', report)).toBe('');
    return { ...report, ended };
  }

  /** Resolves when a process has said something on stderr. */
  async function says(started: Started, what: RegExp): Promise<void> {
    let text = '';
    started.stderr?.on('data', piece => {
      text += piece;
    });
    await until(`${what}`, () => {
      if (started.exitCode !== null) throw new Error(`it has ended: ${text}`);
      return what.test(text) || undefined;
    });
  }

  async function slotsOn(name: string): Promise<number | undefined> {
    const groups = JSON.parse(await hostNamed(name).here('pueue', 'group', '--json'));
    return groups[GROUP]?.parallel_tasks;
  }

  const submit = async (name: string, unit: string): Promise<string> => {
    const words = ['submit-all', rootOf(hostNamed(name)), '--include', unit, '--json'];
    return await hostNamed(name).here(process.execPath, builtQrun(), ...words);
  };

  const complete = (name: string, unit: string): Promise<true> =>
    until(`${unit} on ${name}`, async () => {
      const words = ['status', rootOf(hostNamed(name)), '--include', unit, '--json'];
      const status = JSON.parse(await hostNamed(name).here(process.execPath, builtQrun(), ...words));
      return status.units[0].settled + status.units[0].errors === QUERIES || undefined;
    });

  it('shows the slots of each host, also where nothing was submitted, and changes nothing', async () => {
    const { hosts, exit_code: code, asked, watch_ms: watchMs } = await changed([]);
    expect([code, asked, watchMs]).toEqual([0, null, null]);
    expect(hosts).toMatchObject([
      { host: 'alpha', outcome: 'shown', slots: null, baseline: { running: 0, cores: expect.any(Number) } },
      { host: 'beta', outcome: 'shown', slots: null },
    ]);
    const { stdout } = endOf(await start(['--host', 'beta']));
    expect(stdout).toMatch(/group qrun-watched of the sweep watched\n\n {2}host +slots +running/);
    expect(stdout).toMatch(/\n {2}beta {2}has no group qrun-watched: nothing was submitted there\n/);
    expect(await slotsOn('beta')).toBeUndefined();
  });

  it('steps back on the host whose queries fail after it, and on no other', async () => {
    await Promise.all(all.hosts.map(({ name }) => submit(name, 'before')));
    await Promise.all(all.hosts.map(({ name }) => complete(name, 'before')));
    const logins = all.hosts.map(host => host.logins());
    const change = start(['--to', '2', '--watch', '25s', '--json', ...ANY_LOAD]);
    await says(change, /alpha {2}1 -> 2; watching[\s\S]*beta|beta {2}1 -> 2; watching[\s\S]*alpha/);
    expect(await slotsOn('alpha')).toBe(2);
    await Promise.all(all.hosts.map(({ name }) => submit(name, 'then')));
    const { hosts, exit_code: code, ended } = reported(endOf(await change));
    expect([code, ended.code]).toEqual([25, 25]);
    const [alpha, beta] = hosts;
    expect(alpha).toMatchObject({
      outcome: 'stepped_back',
      before: 1,
      slots: 1,
      baseline: { attempts: QUERIES, failed: 0 },
      harms: [
        {
          what: 'failures',
          says: expect.stringMatching(/^\d+ of \d+ attempts failed \(\d+ TIMEOUT\); 0 of 40 before$/),
        },
      ],
    });
    expect(beta).toMatchObject({ outcome: 'kept', before: 1, slots: 2, harms: [] });
    // Ten on a quiet machine.
    expect(beta?.samples).toBeGreaterThan(1);
    expect(beta?.last).toMatchObject({ failed: 0 });
    expect(beta?.last?.attempts).toBeGreaterThan(0);
    expect([await slotsOn('alpha'), await slotsOn('beta')]).toEqual([1, 2]);
    expect(ended.stderr).toMatch(/alpha {2}\d+ of \d+ attempts failed/);
    expect(ended.stderr).not.toMatch(/beta {2}\d+ of/);
    // One login each, however many looks.
    expect(all.hosts.map((host, index) => host.logins() - (logins[index] ?? 0))).toEqual([1, 1]);
  });

  it('leaves the slots to somebody who changes them meanwhile', async () => {
    const change = start(['--to', '5', '--watch', '20s', '--host', 'beta', ...ANY_LOAD]);
    await says(change, /beta {2}\d -> 5; watching/);
    await hostNamed('beta').here('pueue', 'parallel', '--group', GROUP, '3');
    const { code, stdout } = endOf(await change);
    expect([code, await slotsOn('beta')]).toEqual([0, 3]);
    expect(stdout).toMatch(/! beta {2}has 3 now, which was not set here/);
  });

  it('leaves the slots as they are after Ctrl-C, and says so', async () => {
    const change = start(['--to', '6', '--host', 'beta', ...ANY_LOAD]);
    await says(change, /beta {2}\d -> 6; watching/);
    change.kill('SIGINT');
    const { code, stdout } = endOf(await change);
    expect([code, await slotsOn('beta')]).toEqual([130, 6]);
    expect(stdout).toMatch(/! beta {2}keeps 6, and is not watched any more/);
  });

  it('does not watch fewer slots, and asks nothing twice', async () => {
    const { hosts } = await changed(['--to', '2', '--host', 'beta']);
    expect(hosts).toMatchObject([{ outcome: 'set', before: 6, slots: 2, samples: 0 }]);
    expect(await slotsOn('beta')).toBe(2);
  });

  it('goes on with a host that was away for a moment', async () => {
    const change = start(['--to', '3', '--watch', '32s', '--host', 'beta', '--json', ...ANY_LOAD]);
    await says(change, /beta {2}2 -> 3; watching/);
    hostNamed('beta').link('down');
    await says(change, /beta {2}does not answer: /).finally(() => hostNamed('beta').link('up'));
    await says(change, /beta {2}answers again/);
    const { hosts, exit_code: code } = reported(endOf(await change));
    expect([code, hosts[0]?.outcome, await slotsOn('beta')]).toEqual([0, 'kept', 3]);
  });

  it('says which host does not answer at the end, and that its slots stay', async () => {
    const change = start(['--to', '4', '--watch', '12s', '--json', ...ANY_LOAD]);
    await says(change, /beta {2}3 -> 4; watching/);
    hostNamed('beta').link('down');
    const ended = await change.finally(() => hostNamed('beta').link('up'));
    const { hosts, exit_code: code } = reported(endOf(ended));
    expect(code).toBe(26);
    expect(hosts).toMatchObject([
      { host: 'alpha', outcome: 'kept' },
      {
        host: 'beta',
        outcome: 'silent',
        slots: 4,
        says: expect.any(String),
        mend: expect.stringMatching(/ssh beta/),
      },
    ]);
    expect(await slotsOn('beta')).toBe(4);
  });

  it('names a host without a queue, and changes the others', async () => {
    await hostNamed('alpha').killQueue();
    const { hosts, exit_code: code } = await changed(['--to', '2', '--no-watch']);
    await hostNamed('alpha').startQueue();
    expect(code).toBe(26);
    expect(hosts).toMatchObject([
      { outcome: 'failed', says: expect.stringMatching(/pueue/), mend: expect.any(String) },
      { outcome: 'set', before: 4, slots: 2 },
    ]);
  });

  it('acts on this machine alone with --here', async () => {
    const before = all.hosts.map(host => host.logins());
    const { hosts } = await changed(['--here', '--to', '3', '--no-watch'], { ...here.env });
    expect(hosts).toMatchObject([{ host: 'here', outcome: 'set', before: null, slots: 3 }]);
    expect((await (await here.client()).state()).groups.get(GROUP)?.slots).toBe(3);
    const watched = await changed(['--here', '--to', '4', '--watch', '5s', ...ANY_LOAD], { ...here.env });
    expect(watched.hosts).toMatchObject([{ outcome: 'kept', before: 3, slots: 4 }]);
    expect(all.hosts.map(host => host.logins())).toEqual(before);
  });

  it('steps back when the load of the machine rises', async () => {
    const queue = await here.client();
    await queue.addGroup(GROUP, 2);
    await queue.setSlots(GROUP, 2);
    // They take only what nobody else wants, and count all the same.
    const busy = Array.from({ length: 6 * availableParallelism() }, () =>
      spawn('chrt', ['-i', '0', 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }),
    );
    try {
      const args = ['--here', '--to', '3', '--watch', '60s', '--max-load', '0.01'];
      const { hosts, exit_code: code } = await changed(args, { ...here.env });
      expect(code).toBe(25);
      expect(hosts).toMatchObject([
        {
          ...{ outcome: 'stepped_back', before: 2, slots: 2, configured: null },
          harms: [
            { what: 'load', says: expect.stringMatching(/^load [\d.]+ for each core, 3 times in a row/) },
          ],
        },
      ]);
    } finally {
      for (const child of busy) child.kill('SIGKILL');
    }
    expect((await queue.state()).groups.get(GROUP)?.slots).toBe(2);
  });

  it.each([
    [['--to', '0'], /--to 0: must be a whole number from 1/],
    [['--to', 'many'], /--to many: must be a whole number/],
    [['--to', '2', '--watch', '1s'], /--watch 1s: must be a duration of at least 5s/],
    [['--to', '2', '--watch', 'long'], /--watch long: must be a duration/],
    [['--watch', '5m'], /nothing to watch without --to N/],
    [['--no-watch'], /nothing to watch without --to N/],
    [['--to', '2', '--max-load', '0'], /--max-load 0: must be a number above 0/],
    [['--from', '2'], /from 2 to nothing: what is watched is a change to more/],
    [['--from', '2', '--to', '2'], /from 2 to 2: what is watched is a change to more/],
    [['--host', 'gamma'], /there is no host gamma/],
    [['--here', '--host', 'alpha'], /cannot be used with option/],
  ] as const)('refuses %j before it connects', async (args, message) => {
    const before = all.hosts.map(host => host.logins());
    const { code, stderr } = endOf(await start(args));
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(all.hosts.map(host => host.logins())).toEqual(before);
  });

  it('does the same for a program', async () => {
    const sweep = openSweep(root, { trust: true, env: all.env });
    const { hosts } = await sweep.slots({ to: 3, hosts: ['beta'], watchMs: 0 });
    expect(hosts).toMatchObject([{ host: 'beta', outcome: 'set', slots: 3, configured: 1 }]);
    expect(await slotsOn('beta')).toBe(3);
    const stop = new AbortController();
    const watched = sweep.slots({ to: 4, hosts: ['beta'], signal: stop.signal });
    await until('four slots', async () => (await slotsOn('beta')) === 4 || undefined);
    stop.abort();
    expect((await watched).hosts).toMatchObject([{ outcome: 'interrupted' }]);
    await expect(sweep.slots({ watchMs: -1 })).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(sweep.slots({ to: 0 })).rejects.toMatchObject({ code: 'CONFIG' });
    await expect(sweep.slots({ to: 2, hosts: ['gamma'] })).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('connects to nothing that an untrusted tree names', async () => {
    const { code, stderr } = await qrun(['hosts', 'slots', '.', '--to', '9'], {
      cwd: root,
      env: { ...all.env },
    });
    expect([code, stderr]).toEqual([2, expect.stringMatching(/no host is connected to/)]);
  });
});
