import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { placeUnits } from '../../src/core/hosts/placement.js';
import type { CancelReport } from '../../src/core/sweep/cancel.js';
import type { HostStatus, SweepStatus, UnitStatus } from '../../src/core/sweep/status.js';
import { openSweep } from '../../src/index.js';
import { builtQrun } from '../built.js';
import { type Ended, put, qrun, records, slowness, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { pueueAvailable } from './pueue-daemon.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';
import { quick, slow, until } from './sweep-harness.js';

const AVAILABLE =
  sshHostsAvailable() &&
  pueueAvailable() &&
  clickHouseServerAvailable() &&
  process.env.QRUN_TEST_URL === undefined;

describe.skipIf(!AVAILABLE && !servicesRequired())(
  'qrun status and qrun cancel, over two real hosts',
  { timeout: 120_000 },
  () => {
    let hosts: SshHosts;
    let server: ClickHouseServer;
    let alpha: SshHost;
    let beta: SshHost;
    let made = 0;

    beforeAll(async () => {
      hosts = await startSshHosts('alpha', 'beta');
      [alpha, beta] = hosts.hosts as [SshHost, SshHost];
      server = await startClickHouseServer({ alsoAt: alpha.gateway });
    });
    afterAll(async () => {
      await server?.stop();
      await hosts?.stop();
    });

    /** A sweep here and on both hosts, each with a directory of its own. */
    function sweep(files: Readonly<Record<string, string>>) {
      made += 1;
      const name = `st${process.pid}n${made}`;
      const root = realpathSync(tree(files));
      const rootOn = (host: SshHost): string => join(host.directory, name);
      const url = `http://${alpha.gateway}:${server.port}`;
      put(root, 'qrun.toml', `url = "${url}"\n[sweep]\nname = "${name}"\n${hosts.toml(rootOn)}`);
      for (const host of hosts.hosts) cpSync(root, rootOn(host), { recursive: true });
      const env = { ...hosts.env, QRUN_TRUST: root };
      const run = (...args: string[]): Promise<Ended> => qrun(args, { cwd: root, env });
      const on = (host: SshHost, ...args: string[]): Promise<string> =>
        host.here(
          'sh',
          '-c',
          'cd "$1" && shift && exec "$@"',
          'sh',
          rootOn(host),
          process.execPath,
          builtQrun(),
          ...args,
        );
      const status = async (...args: string[]): Promise<SweepStatus> => {
        const { code, stdout, stderr } = await run('status', '.', '--json', ...args);
        expect([code, stderr]).toEqual([0, '']);
        const report = JSON.parse(stdout) as SweepStatus;
        expect(faultsOf('status', report)).toBe('');
        return report;
      };
      return {
        name,
        root,
        env,
        run,
        status,
        rootOn,
        on,
        /** Submits units on a host, as `submit-all` here does it there. */
        submit: (host: SshHost, ...args: string[]) =>
          on(host, 'submit-all', '.', '--here', '--trust', ...args),
        placed: (unit: string) =>
          placeUnits(
            [unit],
            hosts.hosts.map(({ name }) => ({ name, slots: 1 })),
          ).get(unit)?.name,
      };
    }

    const unitIn = (status: SweepStatus, unit: string): UnitStatus =>
      status.units.find(one => one.unit === unit) as UnitStatus;
    const hostIn = (status: SweepStatus, name: string): HostStatus =>
      status.hosts.find(one => one.name === name) as HostStatus;

    async function cancelled(
      all: ReturnType<typeof sweep>,
      code: number,
      ...args: string[]
    ): Promise<CancelReport> {
      const ended = await all.run('cancel', '.', '--json', ...args);
      expect(ended.code, ended.stderr).toBe(code);
      const report = JSON.parse(ended.stdout) as CancelReport;
      expect(faultsOf('cancel', report)).toBe('');
      return report;
    }

    it('shows where each unit waits or runs, with the best counts, from one login each; cancel ends it everywhere', async () => {
      const all = sweep({ ...slow('a', 20), ...quick('b', 3), ...quick('c', 2), ...quick('d', 1) });
      await all.submit(beta, '--include', 'b', '-P', '1');
      await until('b to be complete', async () =>
        unitIn(await all.status(), 'b').state === 'complete' ? true : undefined,
      );
      await all.submit(alpha, '--include', 'a', '--include', 'c', '-P', '1');
      await all.submit(beta, '--include', 'a', '--delay', '1h');
      const before = hosts.hosts.map(host => host.logins());
      const status = await until('a to have a result', async () => {
        const one = await all.status();
        return unitIn(one, 'a').settled > 0 ? one : undefined;
      });
      const looks = hosts.hosts.map((host, n) => host.logins() - (before[n] ?? 0));
      expect(new Set(looks).size).toBe(1);
      expect(unitIn(status, 'a')).toMatchObject({
        state: 'running',
        host: 'alpha',
        note: 'also delayed on beta',
        queries: 20,
        settled_here: 0,
      });
      expect(unitIn(status, 'b')).toMatchObject({
        state: 'complete',
        host: 'beta',
        settled: 3,
        settled_here: 0,
      });
      expect(unitIn(status, 'c')).toMatchObject({ state: 'queued', host: 'alpha', settled: 0 });
      expect(unitIn(status, 'd')).toMatchObject({ state: 'not submitted', host: null });
      expect(hostIn(status, 'alpha')).toMatchObject({
        ...{ slots: 1, running: 1, waiting: 1, problem: null, silent_since: null, queue_problem: null },
      });
      expect(status.queries_per_second).toBeGreaterThan(0);
      expect(status.eta_ms).toBeGreaterThan(0);
      expect(status.slots).toBe(2);

      const { stdout } = await all.run('status', '.');
      expect(stdout).toMatch(/^ {2}host +slots +running +waiting( +q\/s)?$/m);
      expect(stdout).toMatch(/^ {2}a +running +alpha .*also delayed on beta$/m);
      expect(stdout).toMatch(/results are on the hosts alone: qrun collect brings them here/);
      for (const line of stdout.split('\n').slice(4)) expect(line.length).toBeLessThanOrEqual(80);
      expect(await openSweep(all.root, { env: all.env }).status()).toMatchObject({ hosts: [{}, {}] });
      expect((await all.status('--here')).hosts).toEqual([]);

      const dry = await cancelled(all, 0, '--dry-run');
      expect(dry.tasks.map(({ name, host, fate }) => `${name} ${host} ${fate}`).sort()).toEqual([
        'a alpha asked',
        'a beta removed',
        'c alpha removed',
      ]);
      const some = await cancelled(all, 0, '--host', 'beta');
      expect(some.tasks).toEqual([{ name: 'a', host: 'beta', fate: 'removed', note: '' }]);
      const rest = await cancelled(all, 0, '--wait');
      expect(rest).toMatchObject({ ended: true, hosts: [{ problem: null }, { problem: null }] });
      expect(rest.tasks.map(({ name, fate }) => `${name} ${fate}`)).toEqual(['a asked', 'c removed']);
      const after = await all.status();
      expect(unitIn(after, 'a')).toMatchObject({ state: 'failed', host: 'alpha', note: 'drained (143)' });
      expect(unitIn(after, 'a').settled).toBeGreaterThan(0);
      expect((await cancelled(all, 0)).tasks).toEqual([]);
    });

    it('takes little more than a login and two starts of qrun, for 20 units on each host', async () => {
      const units = Array.from({ length: 40 }, (_, n) => quick(`u${n}`, 20));
      const all = sweep(Object.assign({}, ...units));
      for (const [half, host] of hosts.hosts.entries()) {
        const its = Array.from({ length: 20 }, (_, n) => ['--include', `u${2 * n + half}`]);
        await all.submit(host, '--delay', '1h', ...its.flat());
      }
      const times: number[] = [];
      for (let n = 0; n < 3; n += 1) times.push((await all.run('status', '.')).durationMs);
      // Half a second and a bit on an idle machine with two cores, of which a login to this machine itself is 220 ms.
      expect(Math.min(...times)).toBeLessThan(800 * (await slowness()));
      await cancelled(all, 0);
    });

    it('says since when a host does not answer, and what of it is known here; cancel says it too', async () => {
      const units = Array.from({ length: 12 }, (_, n) => `u${n}`);
      const all = sweep(Object.assign({}, ...units.map(unit => quick(unit, 1))));
      const its = (host: SshHost): string[] => units.filter(unit => all.placed(unit) === host.name);
      for (const host of hosts.hosts) {
        await all.submit(host, '--delay', '1h', ...its(host).flatMap(unit => ['--include', unit]));
      }
      beta.link('down');
      try {
        const status = await all.status();
        expect(hostIn(status, 'beta')).toMatchObject({
          ...{ answered_at: null, silent_since: expect.any(String), running: null, slots: null },
          problem: { code: 'HOST_UNREACHABLE', hint: expect.stringContaining('ssh beta') },
        });
        for (const unit of units) {
          const isOnBeta = all.placed(unit) === 'beta';
          expect(unitIn(status, unit), unit).toMatchObject(
            isOnBeta ? { state: 'unknown', host: 'beta' } : { state: 'delayed', host: 'alpha' },
          );
        }
        const { stdout } = await all.run('status', '.');
        expect(stdout).toMatch(/✗ beta: no answer since \d\d:\d\d:\d\d UTC \(.+\)\n {4}mend: .*ssh beta/);
        const report = await cancelled(all, 26);
        expect(report.hosts).toMatchObject([{ problem: null }, { name: 'beta', problem: { exit_code: 26 } }]);
        expect(report.tasks.every(({ host }) => host === 'alpha')).toBe(true);
        expect((await all.run('cancel', '.')).stdout).toMatch(
          /✗ beta: .*; what waits or runs there may go on/,
        );
      } finally {
        beta.link('up');
      }
      expect((await cancelled(all, 0)).tasks.map(({ name }) => name).sort()).toEqual(its(beta).sort());
    });

    it('says of a host what is wrong with its queue, or that it has nothing of the sweep', async () => {
      const all = sweep({ ...quick('a', 1), ...quick('b', 1) });
      await all.submit(alpha, '--include', 'a', '--delay', '1h');
      await alpha.here('pueue', 'pause', '--group', `qrun-${all.name}`);
      await alpha.here('rm', '-rf', all.rootOn(beta));
      const paused = await all.status();
      expect(hostIn(paused, 'alpha').paused_groups).toEqual([`qrun-${all.name}`]);
      expect(hostIn(paused, 'beta').problem).not.toBeNull();
      expect(unitIn(paused, 'b').state).toBe('not submitted');
      const { stdout } = await all.run('status', '.');
      expect(stdout).toMatch(/! alpha: the group qrun-\S+ is paused, nothing starts there: pueue start/);
      await alpha.killQueue();
      try {
        const status = await all.status();
        expect(hostIn(status, 'alpha')).toMatchObject({
          queue_problem: expect.stringContaining('no pueue daemon'),
        });
        expect((await all.run('status', '.')).stdout).toMatch(
          /! alpha: without pueue: no pueue daemon answers/,
        );
        const report = await cancelled(all, 26);
        expect(report.hosts[0]?.problem).toMatchObject({ code: 'QUEUE_DOWN' });
      } finally {
        await alpha.startQueue();
      }
    });

    it('watches over one login each; a host that is cut off delays nobody, comes back, and Ctrl-C ends at once', async () => {
      const all = sweep({ ...quick('a', 1), ...quick('b', 1) });
      await all.submit(alpha, '--include', 'a', '--delay', '1h');
      await all.submit(beta, '--include', 'b', '--delay', '1h');
      const before = hosts.hosts.map(host => host.logins());
      const watch = spawn(
        process.execPath,
        [builtQrun(), 'status', '.', '--watch', '--json', '--interval', '300ms'],
        { cwd: all.root, env: { ...all.env }, stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const lines = jsonLines(watch);
      const ended = new Promise<number | null>(resolve => watch.once('exit', resolve));
      const next = async (what: string, is: (status: SweepStatus) => boolean): Promise<SweepStatus> =>
        await until(what, () => lines.splice(0).find(is));
      await next('both', ({ units }) => units.every(({ state }) => state === 'delayed'));
      await until('more looks', () => (lines.length > 5 ? true : undefined));
      expect(hosts.hosts.map((host, n) => host.logins() - (before[n] ?? 0))).toEqual([1, 1]);
      beta.link('down');
      try {
        // Looks go on while the question to the other one is open.
        const silent = await next('its silence', status => hostIn(status, 'beta').silent_since !== null);
        expect(unitIn(silent, 'b')).toMatchObject({ state: 'unknown', host: 'beta', note: 'was delayed' });
        expect(hostIn(silent, 'beta').silent_since).toBe(hostIn(silent, 'beta').answered_at);
        expect(hostIn(silent, 'alpha').silent_since).toBeNull();
        const at = Date.parse(hostIn(silent, 'alpha').answered_at ?? '');
        await next('news of the other', status => Date.parse(hostIn(status, 'alpha').answered_at ?? '') > at);
        beta.link('up');
        await next('it to be back', ({ units }) => units.every(({ state }) => state === 'delayed'));
        beta.link('down');
        const sinceMs = performance.now();
        watch.kill('SIGINT');
        expect(await ended).toBe(0);
        expect(performance.now() - sinceMs).toBeLessThan(5_000);
      } finally {
        beta.link('up');
      }
      await cancelled(all, 0);
    });

    it('ends the watch when nothing waits or runs any more', async () => {
      const all = sweep({ ...quick('a', 2), ...quick('b', 1) });
      await all.submit(alpha, '--include', 'a');
      await all.submit(beta, '--include', 'b');
      const { code, stdout } = await all.run('status', '.', '--watch', '--json', '--interval', '300ms');
      expect(code).toBe(0);
      const last = records(stdout).at(-1) as unknown as SweepStatus;
      expect(last.units.map(({ state }) => state)).toEqual(['complete', 'complete']);
    });
  },
);

function jsonLines(child: ChildProcess): SweepStatus[] {
  const found: SweepStatus[] = [];
  let rest = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) found.push(JSON.parse(part) as SweepStatus);
  });
  return found;
}
