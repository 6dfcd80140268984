import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { QrunError } from '../../src/core/errors.js';
import type { PueueTask } from '../../src/core/queue/pueue-state.js';
import { Pueue } from '../../src/io/queue/pueue.js';
import { servicesRequired } from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

describe.skipIf(!pueueAvailable() && !servicesRequired())('Pueue, on a real daemon', () => {
  let daemon: PueueDaemon;
  let pueue: Pueue;
  beforeAll(async () => {
    daemon = await startPueueDaemon();
    pueue = await daemon.client();
  });
  afterAll(() => daemon.stop());

  async function ended(id: number): Promise<PueueTask> {
    for (;;) {
      const task = (await pueue.status()).tasks.find(one => one.id === id);
      if (task === undefined) throw new Error(`task ${id} is gone`);
      if (task.phase === 'done') return task;
      await delay(50);
    }
  }

  const task = (command: string, more: object = {}) => ({
    command,
    directory: '/tmp',
    group: 'g',
    label: 'qrun:s:u',
    ...more,
  });

  it('makes a group once and keeps its slots when it exists', async () => {
    await pueue.addGroup('g', 3);
    await pueue.addGroup('g', 7);
    expect((await pueue.groups()).get('g')).toEqual({ name: 'g', paused: false, slots: 3 });
    await pueue.setSlots('g', 2);
    expect((await pueue.status()).groups.get('g')?.slots).toBe(2);
  });

  it('never sets 0 slots, which would mean no limit', async () => {
    await expect(pueue.setSlots('g', 0)).rejects.toThrow('0 is no number of slots');
  });

  it('adds tasks with label, directory and exactly the allowed environment, and tells how they ended', async () => {
    const secretive = await Pueue.open({ env: { ...daemon.env, CLICKHOUSE_PASSWORD: 'hunter2-secret' } });
    const directory = mkdtempSync(join(tmpdir(), 'qrun -w '));
    const id = await secretive.add(
      task(`exec sh -c 'env | sort; pwd; exit 7'`, { directory, label: '-odd: label', priority: -5 }),
    );
    const end = await ended(id);
    expect(end).toMatchObject({
      label: '-odd: label',
      group: 'g',
      directory,
      result: { kind: 'failed', exitCode: 7 },
    });
    expect(end.endMs).toBeGreaterThanOrEqual(end.startMs as number);
    expect(daemon.taskLog(id)).toContain(directory);
    expect(daemon.taskLog(id)).not.toContain('hunter2');
    expect(daemon.savedState()).not.toContain('hunter2');
  });

  it('tells success, kills, delays and what could not start apart', async () => {
    const good = await pueue.add(task('exec true'));
    expect((await ended(good)).result).toEqual({ kind: 'success' });
    const killed = await pueue.add(task('kill -9 $$'));
    expect((await ended(killed)).result).toEqual({ kind: 'killed' });
    const delayed = await pueue.add(task('exec true', { delay: '3600' }));
    expect((await pueue.status()).tasks.find(one => one.id === delayed)?.phase).toBe('stashed');
  });

  it('cleans the finished tasks of one group only', async () => {
    const other = Number(await daemon.pueue('add', '--print-task-id', '--', 'true'));
    await ended(other);
    await pueue.clean('g');
    const { tasks } = await pueue.status();
    expect(tasks.filter(one => one.group === 'g').every(one => one.phase !== 'done')).toBe(true);
    expect(tasks.some(one => one.id === other)).toBe(true);
  });

  it("passes a refusal on in pueue's own words, without the place in its source", async () => {
    const refused = pueue.add(task('true', { group: 'no such group' }));
    await expect(refused).rejects.toMatchObject({ code: 'PUEUE_FAILED', exitCode: 26 });
    await expect(refused).rejects.toThrow(/no such group/);
    await expect(refused).rejects.not.toThrow(/\.rs:/);
  });

  it('refuses a command line that the system cannot start', async () => {
    await expect(pueue.add(task(`echo ${'x'.repeat(131_072)}`))).rejects.toMatchObject({
      code: 'PUEUE_FAILED',
    });
  });

  it('says that a daemon is down, was never configured, or that there is no client', async () => {
    const other = await startPueueDaemon();
    await other.kill();
    const client = await other.client();
    await expect(client.status()).rejects.toMatchObject({ code: 'PUEUE_DOWN', exitCode: 26 });
    await other.restart();
    expect((await client.status()).tasks).toEqual([]);
    await other.stop();
    const { PATH } = daemon.env;
    const nowhere = await Pueue.open({ env: { PATH, HOME: '/nonexistent' } });
    const refusal = await nowhere.status().catch(error => error as QrunError);
    expect(refusal).toMatchObject({ code: 'PUEUE_DOWN', exitCode: 26 });
    expect((refusal as QrunError).message).toBe(
      "no pueue daemon answers: Couldn't find a configuration file. Did you start the daemon yet?",
    );
    await expect(Pueue.open({ env: { PATH: '/nonexistent' } })).rejects.toMatchObject({
      code: 'PUEUE_MISSING',
    });
  });

  it('refuses another major version by its number', async () => {
    const old = join(mkdtempSync(join(tmpdir(), 'qrun-old-')), 'pueue');
    writeFileSync(old, '#!/bin/sh\necho pueue 3.4.1\n', { mode: 0o755 });
    await expect(Pueue.open({ env: daemon.env, program: old })).rejects.toMatchObject({
      code: 'PUEUE_UNSUPPORTED',
      message: `${old} is version 3.4.1; qrun needs version 4`,
    });
  });
});
