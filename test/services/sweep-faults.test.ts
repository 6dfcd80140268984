import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { put, records } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { quick, slow, TestSweep, until } from './sweep-harness.js';

const AVAILABLE = pueueAvailable() && clickHouseServerAvailable() && process.env.QRUN_TEST_URL === undefined;
const ROOT_USER = process.getuid?.() === 0;
const SUBMITTERS_TRIALS = 20;

describe.skipIf(!AVAILABLE && !servicesRequired())('a sweep that goes wrong', () => {
  let server: ClickHouseServer;
  let daemon: PueueDaemon;
  beforeAll(async () => {
    [server, daemon] = await Promise.all([startClickHouseServer(), startPueueDaemon()]);
  });
  afterAll(async () => {
    await daemon.stop();
    await server.stop();
  });

  const sweep = (name: string, files: Record<string, string>, toml = ''): TestSweep =>
    new TestSweep(name, daemon, server, files, { toml });

  // The group leader is qrun itself: the shell has been replaced by it.
  async function pidOf(all: TestSweep, unit: string): Promise<number> {
    return await until(`the lease of ${unit}`, () => {
      const path = join(all.root, 'results', `${unit}.ndjson.lease`);
      const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
      return text.endsWith('\n') ? (JSON.parse(text) as { pid: number }).pid : undefined;
    });
  }

  it('is audited all the same when units fail, are killed by pueue, and crash; the next submission does the rest', async () => {
    const all = sweep('broken', {
      ...quick('good', 2),
      ...quick('wrong', 1),
      'wrong/x.sql': 'SELECT no_such_column',
      ...slow('killed', 3),
      ...slow('crashed', 3),
    });
    const done = join(all.root, 'then-ran');
    await all.submitted('--parallel', '4', '-P', '1', '--then', `touch ${done}`);
    const killed = await all.running('killed');
    const crashed = await pidOf(all, 'crashed');
    await pidOf(all, 'killed');
    await daemon.pueue('kill', String(killed.id));
    process.kill(crashed, 'SIGKILL');
    const audit = await all.ended();
    expect(audit.end).toEqual({ kind: 'failed', exitCode: 21 });
    expect(existsSync(done)).toBe(false);
    const tasks = new Map(
      (await all.tasks()).map(task => [task.label.slice('qrun:broken:'.length), task.end]),
    );
    expect(tasks.get('good')).toEqual({ kind: 'success' });
    expect(tasks.get('wrong')).toEqual({ kind: 'failed', exitCode: 20 });
    expect(tasks.get('killed')).toMatchObject({ kind: 'killed' });
    expect(tasks.get('crashed')).toMatchObject({ kind: 'killed' });
    const status = await all.status();
    const states = new Map(status.units.map(unit => [unit.unit, [unit.state, unit.note]]));
    expect(states.get('good')).toEqual(['complete', '']);
    expect(states.get('wrong')).toEqual(['errors', 'some queries ended as errors (20)']);
    expect(states.get('killed')).toEqual(['failed', 'killed, or pueued was restarted']);
    expect(status.audit).toMatchObject({ state: 'done', verdict: 'incomplete' });
    expect(daemon.taskLog(audit.id)).toMatch(
      /incomplete: 1 of 4 units complete, 2 incomplete, 1 with errors/,
    );
    put(all.root, 'wrong/x.sql', 'SELECT 1');
    // Finished ones are cleaned away first, so that their labels stand for the new tasks alone.
    expect((await all.submitted('--then', `touch ${done}`)).submitted.sort()).toEqual([
      'crashed',
      'killed',
      'wrong',
    ]);
    expect((await all.ended()).end).toEqual({ kind: 'success' });
    expect(existsSync(done)).toBe(true);
  });

  it('names the command of --then that failed, after an audit that is complete', async () => {
    const all = sweep('then', quick('u', 1));
    await all.submitted('--then', 'exit 3', '--then', 'touch never');
    const audit = await all.ended();
    expect(audit.end).toEqual({ kind: 'failed', exitCode: 26 });
    expect(daemon.taskLog(audit.id)).toContain('--then exit 3: exit 3');
    expect(existsSync(join(all.root, 'never'))).toBe(false);
    expect((await all.status()).audit).toMatchObject({ state: 'failed', verdict: 'complete' });
  });

  it('makes room for units that wait behind the audit, which then follows them', async () => {
    const all = sweep('room', { ...slow('a', 4), ...quick('b', 1) });
    await all.submitted('--parallel', '3', '-P', '1');
    const first = await all.running('#audit');
    await until('b to be done', async () => ((await all.task('b')).phase === 'done' ? true : undefined));
    // a and the audit run, and from now on nothing else may.
    await daemon.pueue('parallel', '1', '--group', all.group);
    put(all.root, 'b/q0.sql', 'SELECT 7 AS n');
    expect(await all.submitted('-P', '1')).toMatchObject({ submitted: ['b'], audit: 'submitted' });
    const last = await all.ended();
    expect(Number(last.id)).toBeGreaterThan(Number(first.id));
    expect(last.end).toEqual({ kind: 'success' });
    expect((await all.tasks()).find(({ id }) => id === first.id)?.end).toEqual({ kind: 'success' });
    expect(daemon.taskLog(first.id)).toContain('a later audit follows them');
    const { verdict, units } = JSON.parse(readFileSync(join(all.root, 'results', 'room.audit.json'), 'utf8'));
    expect([verdict, units.length]).toEqual(['complete', 2]);
  });

  it('survives the death of the daemon: orphans go on, nothing runs twice, paused groups are named', async () => {
    const own = await startPueueDaemon();
    try {
      const all = new TestSweep('orphans', own, server, {
        ...slow('a', 4, 1),
        ...slow('b', 4, 1),
        ...quick('c', 2),
      });
      await all.submitted('--parallel', '2', '-P', '1');
      const orphans = [await pidOf(all, 'a'), await pidOf(all, 'b')];
      await own.kill();
      // Stopped, so that they are there for as long as they are looked at; only now, because a process that stands
      // when its group is orphaned gets SIGHUP and SIGCONT from the kernel, and qrun ends at a SIGHUP.
      for (const pid of orphans) process.kill(pid, 'SIGSTOP');
      const away = await all.submit();
      expect(away.code).toBe(26);
      expect(away.stderr).toContain('no pueue daemon answers');
      expect(away.stderr).toContain('start it: pueued -d');
      const logsAlone = await all.status();
      expect(logsAlone.queue_problem).toContain('no pueue daemon answers');
      expect(logsAlone.units.map(({ state }) => state).slice(0, 2)).toEqual(['running', 'running']);
      await own.restart();
      const after = await all.status();
      expect(after.paused_groups).toEqual([all.group]);
      expect(after.units.slice(0, 2).map(({ state, note }) => [state, note.slice(0, 17)])).toEqual([
        ['running', 'outside the queue'],
        ['running', 'outside the queue'],
      ]);
      // c and the audit are queued still; the orphans are not submitted a second time.
      expect(await all.submitted('--resume-group', '--parallel', '2', '-P', '1')).toMatchObject({
        submitted: [],
        queued: ['c'],
        elsewhere: ['a', 'b'],
        audit: 'waiting',
      });
      for (const pid of orphans) process.kill(pid, 'SIGCONT');
      const audit = await all.ended();
      expect(audit.end).toEqual({ kind: 'success' });
      for (const unit of ['a', 'b']) {
        const lines = records(readFileSync(join(all.root, 'results', `${unit}.ndjson`)));
        expect(lines.map(({ query }) => query)).toEqual(['s0', 's1', 's2', 's3']);
      }
    } finally {
      await own.stop();
    }
  });

  it(`never has a label twice, however many submit at once (${SUBMITTERS_TRIALS} trials)`, async () => {
    const units = { ...quick('a', 1), ...quick('b', 1), ...quick('c', 1) };
    const all = sweep('crowd', units);
    await daemon.pueue('group', 'add', all.group);
    for (let trial = 0; trial < SUBMITTERS_TRIALS; trial += 1) {
      await daemon.pueue('pause', '--group', all.group);
      const both = await Promise.all([all.submitted(), all.submitted()]);
      expect(both.flatMap(({ submitted }) => submitted).sort()).toEqual(['a', 'b', 'c']);
      const labels = (await all.tasks()).map(({ label }) => label);
      expect(labels.toSorted()).toEqual(['#audit', 'a', 'b', 'c'].map(name => `qrun:crowd:${name}`));
      await daemon.pueue('remove', ...(await all.tasks()).map(({ id }) => String(id)));
    }
  }, 240_000);

  it.runIf(ROOT_USER)(
    'adds nothing it does not know of when the disk of pueue is full, and goes on afterwards',
    async () => {
      const mount = mkdtempSync(join(tmpdir(), 'qf-'));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', mount]);
      let own: PueueDaemon | undefined;
      try {
        own = await startPueueDaemon(mount);
        const files = Object.assign({}, ...Array.from({ length: 12 }, (_, n) => quick(`u${n}`, 1)));
        const all = new TestSweep('full', own, server, files);
        await own.pueue('group', 'add', all.group);
        await own.pueue('pause', '--group', all.group);
        const filler = join(mount, 'filler');
        execFileSync('sh', ['-c', `cat /dev/zero >${filler} 2>/dev/null || true`]);
        const refused = await all.submit();
        expect(refused.code).toBe(26);
        expect(refused.stderr).toMatch(/pueue (add|clean|group) failed|no pueue daemon answers/);
        rmSync(filler);
        // The task that could not be saved may be in the daemon's memory all the same: labels decide.
        const { submitted, queued } = await all.submitted('--resume-group');
        expect([...submitted, ...queued].sort()).toEqual(
          Object.keys(files)
            .map(path => path.split('/')[0])
            .sort(),
        );
        const labels = (await all.tasks()).map(({ label }) => label);
        expect(new Set(labels).size).toBe(labels.length);
        expect((await all.ended()).end).toEqual({ kind: 'success' });
      } finally {
        await own?.stop();
        execFileSync('umount', ['-l', mount]);
        rmSync(mount, { recursive: true, force: true });
      }
    },
  );

  it('refuses pueue 3 by its version, before it reads a query', async () => {
    const all = sweep('old', { 'u/x.sql': "SELECT 'open" });
    const directory = mkdtempSync(join(tmpdir(), 'qrun-pueue3-'));
    writeFileSync(join(directory, 'pueue'), '#!/bin/sh\necho pueue 3.4.1\n', { mode: 0o755 });
    const env = { ...daemon.env, PATH: `${directory}:${daemon.env.PATH}` };
    const old = new TestSweep('old', { ...daemon, env } as PueueDaemon, server, {
      'u/x.sql': "SELECT 'open",
    });
    const { code, stderr } = await old.submit();
    expect(code).toBe(26);
    expect(stderr).toContain('pueue is version 3.4.1; qrun needs version 4');
    expect(await all.tasks()).toEqual([]);
  });
});
