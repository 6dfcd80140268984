import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isLive } from '../../src/core/queue/queue.js';
import { qrun, records } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type SlurmCluster, slurmAvailable, startSlurmCluster } from './slurm-cluster.js';
import { quick, slow, TestSweep, until } from './sweep-harness.js';

const AVAILABLE = slurmAvailable() && clickHouseServerAvailable() && process.env.QRUN_TEST_URL === undefined;
const LIMIT_MS = 90_000;

// Arrays are small, so that a sweep of twenty units is three of them.
const ARRAY_SIZE = 8;

describe.skipIf(!AVAILABLE && !servicesRequired())('a sweep, on a real Slurm cluster of two nodes', () => {
  let server: ClickHouseServer;
  let cluster: SlurmCluster;
  beforeAll(async () => {
    [server, cluster] = await Promise.all([
      startClickHouseServer(),
      startSlurmCluster({ maxArraySize: ARRAY_SIZE }),
    ]);
  });
  afterAll(async () => {
    await cluster.stop();
    await server.stop();
  });

  const sweep = (name: string, files: Record<string, string>, toml = '', settings = '') =>
    new TestSweep(name, cluster, server, files, { toml: `on = "slurm"\n${toml}`, settings });

  /** The records of a unit: in the main log, or in that of a node. */
  const recordsOf = (all: TestSweep, unit: string, node?: string) => {
    const path = join(all.root, 'results', ...(node === undefined ? [] : ['.from', node]), `${unit}.ndjson`);
    return existsSync(path) ? records(readFileSync(path, 'utf8')) : [];
  };
  const reportOf = (all: TestSweep) =>
    JSON.parse(readFileSync(join(all.root, 'results', `${all.name}.audit.json`), 'utf8'));

  it('runs twenty units in arrays, imports what the nodes recorded, audits it, and then runs --then', {
    timeout: LIMIT_MS,
  }, async () => {
    const units = Array.from({ length: 20 }, (_, n) => `u${String(n).padStart(2, '0')}`);
    // More at once than a node has processors, so that both have some.
    const all = sweep('whole', Object.assign({}, ...units.map(unit => quick(unit, 5))), 'parallel = 12\n');
    const then = ['--then', 'pwd > done.txt'];
    const first = await all.submitted(...then);
    expect(first).toMatchObject({ submitted: units, audit: 'submitted' });
    const again = await all.submitted(...then);
    expect(again).toMatchObject({ submitted: [], audit: 'waiting' });
    // The first ones may have ended by now.
    expect([...again.queued, ...again.running, ...again.complete].sort()).toEqual(units);
    const arrays = (await cluster.run('squeue', '-h', '-t', 'all', '-n', 'qrun:whole', '-o', '%F')).split(
      '\n',
    );
    expect(new Set(arrays).size).toBe(4);
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    expect(readFileSync(join(all.root, 'done.txt'), 'utf8')).toBe(`${all.root}\n`);
    expect(reportOf(all)).toMatchObject({ verdict: 'complete' });
    expect(units.map(unit => recordsOf(all, unit).length)).toEqual(units.map(() => 5));
    expect(readdirSync(join(all.root, 'results', '.from'))).toEqual(['nodeA', 'nodeB']);
    const status = await all.status();
    expect(new Set(status.units.map(({ state }) => state))).toEqual(new Set(['complete']));
    expect(status.audit).toMatchObject({ state: 'done', verdict: 'complete' });
    expect(await all.submitted()).toMatchObject({ submitted: [], complete: units, audit: 'not due' });
    // Where Slurm keeps what it was given.
    const secret = server.second.password.slice(0, 6);
    const kept = await cluster
      .run('grep', '-rlF', '--', secret, join(cluster.directory, 'state'))
      .catch(() => '');
    expect(kept).toBe('');
  });

  it('goes on with the units of a dead node on another one, with what they had recorded', {
    timeout: LIMIT_MS,
  }, async () => {
    const units = ['a', 'b', 'c', 'd'];
    const all = sweep(
      'dead',
      Object.assign({}, ...units.map(unit => slow(unit, 8, 1))),
      'parallel = 4\n',
      'concurrency = 1\n',
    );
    await all.submitted();
    const onA = await until('two units that have recorded on nodeA', () => {
      const found = units.filter(unit => recordsOf(all, unit, 'nodeA').length >= 2);
      return found.length >= 2 ? found : undefined;
    });
    const seen = await all.status();
    expect(seen.units.reduce((sum, { settled }) => sum + settled, 0)).toBeGreaterThanOrEqual(4);
    await cluster.kill('nodeA');
    const before = Object.fromEntries(onA.map(unit => [unit, recordsOf(all, unit, 'nodeA').length]));
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    await cluster.restart('nodeA');
    expect(reportOf(all)).toMatchObject({ verdict: 'complete' });
    for (const unit of units) expect(recordsOf(all, unit)).toHaveLength(8);
    for (const unit of onA) {
      const [first] = recordsOf(all, unit, 'nodeA');
      const there = recordsOf(all, unit, 'nodeB').filter(({ run }) => run === first?.run);
      expect(there.length, 'what nodeA had recorded was not run again').toBe(before[unit]);
    }
  });

  it('goes on while the controller is dead, and audits when it is back', { timeout: LIMIT_MS }, async () => {
    const all = sweep(
      'headless',
      { ...slow('a', 12, 1), ...slow('b', 12, 1) },
      'parallel = 2\n',
      'concurrency = 1\n',
    );
    await all.submitted();
    await Promise.all([all.running('a'), all.running('b')]);
    await cluster.saved();
    await cluster.kill('slurmctld');
    const down = await all.qrun('status', '.', '--json');
    expect(down.code).toBe(0);
    expect(JSON.parse(down.stdout).queue_problem).toContain('no Slurm controller answers');
    expect(JSON.parse(down.stdout).units[0].settled).toBeGreaterThan(0);
    await cluster.restart('slurmctld');
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    expect(reportOf(all)).toMatchObject({ verdict: 'complete' });
  });

  it('drains what is cancelled, audits it, and goes on there when it is submitted again', {
    timeout: LIMIT_MS,
  }, async () => {
    const all = sweep('cancelled', slow('a', 12, 1), '', 'concurrency = 2\n');
    await all.submitted();
    await until('a record', () =>
      ['nodeA', 'nodeB'].some(node => recordsOf(all, 'a', node).length > 0) ? true : undefined,
    );
    await all.running('a');
    const cancelled = await all.qrun('cancel', '.', '--include', 'a', '--wait', '--json');
    expect(JSON.parse(cancelled.stdout)).toMatchObject({
      tasks: [{ name: 'a', fate: 'asked' }],
      audits: [{ fate: 'stays' }],
      ended: true,
    });
    expect((await all.ended()).end).toEqual({ kind: 'failed', exitCode: 21 });
    const { units } = await all.status();
    expect(units[0]).toMatchObject({ unit: 'a', state: 'failed', note: 'cancelled' });
    const kept = recordsOf(all, 'a').length;
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(12);
    expect(await all.submitted()).toMatchObject({ submitted: ['a'] });
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    expect(recordsOf(all, 'a')).toHaveLength(12);
  });

  it('starts a unit again later whose server is away, and calls errors of queries no failure', {
    timeout: LIMIT_MS,
  }, async () => {
    const files = { ...quick('a', 2), 'b/bad.sql': 'SELECT no_such_column' };
    const all = sweep('away', files, 'parallel = 2\n', 'max_outage = "1s"\n');
    await all.submitted('--delay', '2');
    await server.kill();
    await until('a to wait for another start', async () =>
      (await all.task('a')).phase === 'delayed' && existsSync(join(all.root, 'results', '.from'))
        ? true
        : undefined,
    );
    await server.restart();
    const audit = await all.ended();
    expect(audit.end).toEqual({ kind: 'success' });
    expect((await all.task('b')).end).toEqual({ kind: 'success' });
    expect(reportOf(all)).toMatchObject({ verdict: 'errors' });
    const { units } = await all.status();
    expect(units.map(({ state }) => state)).toEqual(['complete', 'errors']);
  });

  describe('says what is wrong', () => {
    it('without a client, an answer or a partition, and with limits that no node has', async () => {
      const all = sweep('refused', quick('a', 1));
      const nothing = mkdtempSync(join(tmpdir(), 'qrun-empty-'));
      const missing = await qrun(['submit-all', '.'], {
        cwd: all.root,
        env: { ...cluster.env, PATH: nothing },
      });
      expect(missing).toMatchObject({ code: 26 });
      expect(missing.stderr).toContain('there is no program sbatch in PATH');
      expect(missing.stderr).toContain('module load slurm');
      const lost = await qrun(['submit-all', '.'], {
        cwd: all.root,
        env: { ...cluster.env, SLURM_CONF: join(nothing, 'none.conf') },
      });
      expect(lost).toMatchObject({ code: 26 });
      expect(lost.stderr).toContain('Slurm is not configured here');
      const odd = sweep('odd', quick('a', 1), '[sweep.slurm]\npartition = "nowhere"\n');
      const partition = await odd.submit();
      expect(partition).toMatchObject({ code: 26 });
      expect(partition.stderr).toMatch(/invalid partition.*nowhere/);
      expect(partition.stderr).toContain('sinfo');
      const huge = sweep('huge', quick('a', 1), '', 'memory_max = "900G"\n');
      expect((await huge.submit()).stderr).toContain('look at memory_max');
      const auto = await sweep('auto', quick('a', 1), 'parallel = "auto"\n').submit();
      expect(auto).toMatchObject({ code: 2 });
      for (const one of [all, odd, huge]) expect((await one.tasks()).filter(isLive)).toEqual([]);
    });

    it('in qrun doctor', async () => {
      const all = sweep('doctor', quick('a', 1));
      const good = await all.qrun('doctor', '.', '--json');
      expect(good.code).toBe(0);
      expect(JSON.parse(good.stdout).findings).toContainEqual(
        expect.objectContaining({ what: 'slurmctld', state: 'ok' }),
      );
    });
  });
});
