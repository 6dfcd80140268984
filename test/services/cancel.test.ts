import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CancelReport } from '../../src/core/sweep/cancel.js';
import { openSweep } from '../../src/index.js';
import { FileLock } from '../../src/io/files/flock.js';
import { builtQrun } from '../built.js';
import { qrun, records, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { quick, slow, TestSweep, until } from './sweep-harness.js';

const AVAILABLE = pueueAvailable() && clickHouseServerAvailable() && process.env.QRUN_TEST_URL === undefined;

describe.skipIf(!AVAILABLE && !servicesRequired())(
  'qrun cancel, on a real pueue and a real server',
  { timeout: 120_000 },
  () => {
    let server: ClickHouseServer;
    let daemon: PueueDaemon;
    beforeAll(async () => {
      [server, daemon] = await Promise.all([startClickHouseServer(), startPueueDaemon()]);
    });
    afterAll(async () => {
      await daemon?.stop();
      await server?.stop();
    });

    const sweep = (name: string, files: Record<string, string>, toml = '') =>
      new TestSweep(name, daemon, server, files, { toml });

    async function cancelled(all: TestSweep, ...args: string[]): Promise<CancelReport> {
      const { code, stdout, stderr } = await all.qrun('cancel', '.', '--json', ...args);
      expect([code, stderr]).toEqual([0, '']);
      const report = JSON.parse(stdout) as CancelReport;
      expect(faultsOf('cancel', report)).toBe('');
      return report;
    }

    const logOf = (all: TestSweep, unit: string): Record<string, unknown>[] =>
      records(readFileSync(join(all.root, 'results', `${unit}.ndjson`)));

    const fates = ({ tasks }: CancelReport): string[] => tasks.map(({ name, fate }) => `${name} ${fate}`);

    it('drains what runs, removes what waits and the audit, leaves other sweeps alone, and submit continues', async () => {
      // Long enough for the cancellation to meet it, and short enough to be finished within its grace.
      const all = sweep('drain', { ...quick('a', 3), ...slow('a', 20), ...quick('b', 1), ...quick('c', 1) });
      const other = sweep('drain-other', quick('x', 1), `group = "${all.group}"`);
      await all.submitted('-P', '1');
      await other.submitted();
      await all.running('a');
      await until('its first records', () => (logOfOrNone(all, 'a').length > 0 ? true : undefined));
      const before = await all.task('a');

      const dry = await all.qrun('cancel', '.', '--dry-run');
      expect([dry.code, dry.stderr]).toEqual([0, '']);
      expect(dry.stdout).toMatch(/1 unit would be asked to end.*\n +a\n/);
      expect(dry.stdout).toMatch(/2 units would never start:\n +b\n +c\n/);
      expect((await all.tasks()).map(({ phase }) => phase).sort()).toEqual([
        'queued',
        'queued',
        'queued',
        'running',
      ]);

      const report = await cancelled(all, '--wait');
      expect(fates(report)).toEqual(['a asked', 'b removed', 'c removed']);
      expect(report).toMatchObject({ audits: [{ host: null, fate: 'removed' }], ended: true, hosts: [] });
      const left = await all.tasks();
      expect(left.map(({ label }) => label)).toEqual(['qrun:drain:a']);
      expect(left[0]?.end).toEqual({ kind: 'failed', exitCode: 143 });
      expect(left[0]?.id).toBe(before.id);
      // Nothing that was begun is lost, and nothing is torn.
      const kept = logOf(all, 'a').length;
      expect(kept).toBeGreaterThan(0);
      expect((await all.status()).units).toMatchObject([
        { unit: 'a', state: 'failed', note: 'drained (143)', settled: kept },
        { unit: 'b', state: 'not submitted' },
        { unit: 'c', state: 'not submitted' },
      ]);
      // The group was not paused, and the other sweep had its turn.
      expect(await other.ended()).toMatchObject({ end: { kind: 'success' } });
      expect(await cancelled(all)).toMatchObject({ tasks: [], audits: [] });
      expect((await all.qrun('cancel', '.')).stdout).toContain('nothing to cancel: no unit waits or runs');

      expect(await all.submitted('-P', '16')).toMatchObject({ submitted: ['a', 'b', 'c'] });
      expect((await all.ended()).end).toEqual({ kind: 'success' });
      expect(logOf(all, 'a')).toHaveLength(23);
    });

    it('cancels only the units that are chosen; the audit stays for the others, and runs', async () => {
      const all = sweep('some', { ...slow('a/x', 20), ...quick('a/y', 1), ...quick('b', 1) });
      await all.submitted('-P', '1');
      await all.running('a/x');
      await until('its first record', () => (logOfOrNone(all, 'a__x').length > 0 ? true : undefined));
      const some = await cancelled(all, '--include', 'a/*');
      expect(fates(some)).toEqual(['a/x asked', 'a/y removed']);
      expect(some.audits).toEqual([{ host: null, fate: 'stays' }]);
      expect((await all.qrun('cancel', '.', '--include', 'zz*')).code).toBe(2);
      expect((await all.ended()).end).toEqual({ kind: 'failed', exitCode: 21 });
      expect((await all.status()).units.map(({ unit, state }) => [unit, state])).toEqual([
        ['a/x', 'failed'],
        ['a/y', 'not submitted'],
        ['b', 'complete'],
      ]);
      // All that is below a directory: nothing else waits, so the audit goes too.
      await all.submitted('--delay', '1h');
      const below = await all.qrun('cancel', 'a', '--json');
      const report = JSON.parse(below.stdout) as CancelReport;
      expect(fates(report)).toEqual(['a/x removed', 'a/y removed']);
      expect(report.audits).toEqual([{ host: null, fate: 'removed' }]);
    });

    it('cancels units whose files are gone since, and those of a paused group, which stays paused', async () => {
      const all = sweep('gone', { ...slow('a', 20), ...quick('b', 1), ...quick('c', 1) });
      await all.submitted('-P', '1');
      await all.running('a');
      await until('its first record', () => (logOfOrNone(all, 'a').length > 0 ? true : undefined));
      await daemon.pueue('pause', '--group', all.group);
      rmSync(join(all.root, 'b'), { recursive: true });
      const report = await cancelled(all, '--wait');
      expect(fates(report)).toEqual(['a asked', 'b removed', 'c removed']);
      expect((await all.task('a')).end).toEqual({ kind: 'failed', exitCode: 143 });
      expect((await (await daemon.client()).state()).groups.get(all.group)?.paused).toBe(true);
    });

    it('leaves a unit alone that runs without the queue, and says who runs it', async () => {
      const all = sweep('hand', { ...slow('a', 4), ...quick('b', 1) });
      const own = spawn(process.execPath, [builtQrun(), 'unit', 'a', '-P1'], {
        cwd: all.root,
        env: { ...daemon.env },
        stdio: 'ignore',
      });
      const ended = new Promise<number | null>(resolve => own.once('exit', resolve));
      await until('it to run', async () =>
        (await all.status()).units.some(({ unit, state }) => unit === 'a' && state === 'running')
          ? true
          : undefined,
      );
      const report = await cancelled(all);
      expect(report).toMatchObject({ tasks: [{ name: 'a', fate: 'outside' }], audits: [] });
      expect(report.tasks[0]?.note).toContain(`pid ${own.pid} on `);
      expect((await all.qrun('cancel', '.')).stdout).toMatch(
        /1 unit not in the queue, left alone:\n +a: pid/,
      );
      expect(await ended).toBe(0);
    });

    it('waits for a submission that adds its tasks, and cancels those too', async () => {
      const all = sweep(
        'both',
        Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`u${n}/q.sql`, 'SELECT 1'])),
      );
      mkdirSync(join(all.root, '.qrun'));
      const lock = await FileLock.open(join(all.root, '.qrun', 'submit.lock'));
      await lock.acquire({ limitMs: 1_000 });
      // As a submission does it: the tasks come one after the other while it holds the lock.
      const client = await daemon.client();
      await client.addGroup(all.group, 1);
      const task = (unit: string) => ({
        label: `qrun:both:${unit}`,
        argv: ['/bin/sh', '-c', `echo ${unit} >> ran`],
        directory: all.root,
        group: all.group,
        delay: '3600',
      });
      const cancelling = cancelled(all);
      for (let n = 0; n < 12; n += 1) await client.add([task(`u${n}`)]);
      await client.add([task('#audit')]);
      lock.close();
      expect((await cancelling).tasks).toHaveLength(12);
      expect(await all.tasks()).toEqual([]);
      // The other way round: whoever comes later finds all or nothing.
      const [submitted, report] = await Promise.all([all.submitted('--delay', '1h'), cancelled(all)]);
      expect(submitted.submitted).toHaveLength(12);
      expect([0, 12]).toContain(report.tasks.length);
      expect((await all.tasks()).length).toBe(report.tasks.length === 12 ? 0 : 13);
    });

    it('refuses a sweep of the same name elsewhere, and ends with 26 without a queue', async () => {
      const one = sweep('twins', quick('u', 1));
      const other = sweep('twins', quick('u', 1));
      await one.submitted('--delay', '1h');
      const refused = await other.qrun('cancel', '.');
      expect([refused.code, refused.stdout]).toEqual([2, '']);
      expect(refused.stderr).toContain(`another sweep is also called twins: ${one.root}`);
      expect(await one.tasks()).toHaveLength(2);
      const away = await qrun(['cancel', '.'], { cwd: one.root, env: { PATH: '/nonexistent' } });
      expect(away.code).toBe(26);
      const down = await qrun(['cancel', '.'], {
        cwd: one.root,
        env: { ...daemon.env, PUEUE_CONFIG_PATH: join(one.root, 'none.yml') },
      });
      expect(down.code).toBe(26);
      expect((await cancelled(one)).tasks).toHaveLength(1);
    });

    it('cancels process jobs and their check, and runs them again with the next submission', async () => {
      const root = tree({
        'jobs.toml': `name = "jobs-cancel"\ncommand = ["sh", "-c", "trap 'exit 0' TERM; echo {n} >> ran; while [ {n} = 1 ] && [ ! -e go ]; do sleep 0.05; done"]\n[matrix]\nn = [1, 2, 3]\n`,
      });
      const at = { cwd: root, env: { ...daemon.env } };
      // A sweep of units with the same name is another one.
      const units = sweep('jobs-cancel', quick('u', 1));
      await units.submitted('--delay', '1h');
      expect((await qrun(['process-all'], at)).code).toBe(0);
      await until('a job to run', () => {
        try {
          return readFileSync(join(root, 'ran'), 'utf8');
        } catch {
          return undefined;
        }
      });
      const ended = await qrun(['cancel', 'jobs.toml', '--wait', '--json'], at);
      const report = JSON.parse(ended.stdout) as CancelReport;
      expect(faultsOf('cancel', report)).toBe('');
      expect(fates(report).sort()).toEqual([
        'jobs-cancel@n=1 asked',
        'jobs-cancel@n=2 removed',
        'jobs-cancel@n=3 removed',
      ]);
      expect(report).toMatchObject({ kind: 'job', audits: [{ fate: 'removed' }], ended: true });
      expect(await units.tasks()).toHaveLength(2);
      await cancelled(units);
      writeFileSync(join(root, 'go'), '');
      const again = await qrun(['process-all', '--json'], at);
      expect((JSON.parse(again.stdout) as { submitted: string[] }).submitted).toHaveLength(3);
      expect((await qrun(['cancel', 'jobs.toml'], at)).code).toBe(0);
    });

    it('does the same for a program, which can stop waiting', async () => {
      const all = sweep('program', { ...slow('a', 20), ...quick('b', 1) });
      await all.submitted('-P', '1');
      await all.running('a');
      const opened = openSweep(all.root, { env: { ...daemon.env } });
      expect(await opened.cancel({ dryRun: true })).toMatchObject({ dry_run: true, ended: null });
      const done = await opened.cancel();
      expect(fates(done)).toEqual(['a asked', 'b removed']);
      expect(await opened.cancel({ wait: true })).toMatchObject({ ended: true });
      const stopped = AbortSignal.abort(new Error('enough'));
      await expect(opened.cancel({ signal: stopped })).rejects.toThrow('enough');
      await expect(opened.cancel({ wiat: true } as object)).rejects.toMatchObject({ code: 'CONFIG' });
    });

    function logOfOrNone(all: TestSweep, unit: string): Record<string, unknown>[] {
      try {
        return logOf(all, unit);
      } catch {
        return [];
      }
    }
  },
);
