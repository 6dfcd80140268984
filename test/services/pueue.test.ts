import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { QrunError } from '../../src/core/errors.js';
import { isLive, type NewTask, type QueueTask } from '../../src/core/queue/queue.js';
import { Pueue } from '../../src/io/queue/pueue/client.js';
import { PUEUE } from '../../src/io/queue/pueue/kind.js';
import { queueContract } from '../queue/contract.js';
import { servicesRequired } from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

describe.skipIf(!pueueAvailable() && !servicesRequired())('pueue, on a real daemon', () => {
  queueContract('pueue', async () => {
    const daemon = await startPueueDaemon();
    return { queue: await daemon.client(), stop: () => daemon.stop() };
  }, ['addGroup', 'setSlots', 'start', 'clean']);
});

describe.skipIf(!pueueAvailable() && !servicesRequired())('Pueue, on a real daemon', () => {
  let daemon: PueueDaemon;
  let pueue: Pueue;
  beforeAll(async () => {
    daemon = await startPueueDaemon();
    pueue = await daemon.client();
  });
  afterAll(() => daemon.stop());

  async function ended(label: string): Promise<QueueTask> {
    for (;;) {
      const task = (await pueue.state()).tasks.findLast(one => one.label === label);
      if (task === undefined) throw new Error(`${label} is gone`);
      if (!isLive(task)) return task;
      await delay(50);
    }
  }

  const task = (label: string, script: string, more: Partial<NewTask> = {}): NewTask => ({
    argv: ['sh', '-c', script],
    directory: '/tmp',
    group: 'g',
    label,
    ...more,
  });

  it('gives a task exactly the allowed environment, and stores nothing else', async () => {
    await pueue.addGroup('g', 2);
    const secretive = await Pueue.open(PUEUE, {
      env: { ...daemon.env, CLICKHOUSE_PASSWORD: 'hunter2-secret' },
    });
    await secretive.add([task('qrun:s:env', 'env | sort')]);
    const { id } = await ended('qrun:s:env');
    expect(daemon.taskLog(id)).toContain('PUEUE_GROUP=g');
    expect(daemon.taskLog(id)).not.toContain('hunter2');
    expect(daemon.savedState()).not.toContain('hunter2');
  });

  it('starts a group that a person has paused', async () => {
    await pueue.addGroup('p', 1);
    await daemon.pueue('pause', '--group=p');
    await pueue.add([task('qrun:s:paused', 'exit 0', { group: 'p' })]);
    expect((await pueue.state()).groups.get('p')?.paused).toBe(true);
    await pueue.start('p');
    expect((await ended('qrun:s:paused')).end).toEqual({ kind: 'success' });
  });

  it("passes a refusal on in pueue's own words, without the place in its source", async () => {
    const refused = pueue.add([task('qrun:s:u', 'true', { group: 'no such group' })]);
    await expect(refused).rejects.toMatchObject({ code: 'QUEUE_FAILED', exitCode: 26 });
    await expect(refused).rejects.toThrow(/no such group/);
    await expect(refused).rejects.not.toThrow(/\.rs:/);
  });

  it('refuses a command line that the system cannot start', async () => {
    await expect(pueue.add([task('qrun:s:u', `echo ${'x'.repeat(131_072)}`)])).rejects.toMatchObject({
      code: 'QUEUE_FAILED',
    });
  });

  it('says that a daemon is down, was never configured, or that there is no client', async () => {
    const other = await startPueueDaemon();
    await other.kill();
    const client = await other.client();
    await expect(client.state()).rejects.toMatchObject({ code: 'QUEUE_DOWN', exitCode: 26 });
    await other.restart();
    expect((await client.state()).tasks).toEqual([]);
    await other.stop();
    const { PATH } = daemon.env;
    const nowhere = await Pueue.open(PUEUE, { env: { PATH, HOME: '/nonexistent' } });
    const refusal = await nowhere.state().catch(error => error as QrunError);
    expect(refusal).toMatchObject({ code: 'QUEUE_DOWN', exitCode: 26 });
    expect((refusal as QrunError).message).toBe(
      "no pueue daemon answers: Couldn't find a configuration file. Did you start the daemon yet?",
    );
    await expect(Pueue.open(PUEUE, { env: { PATH: '/nonexistent' } })).rejects.toMatchObject({
      code: 'QUEUE_MISSING',
    });
  });

  it('refuses another major version by its number', async () => {
    const old = join(mkdtempSync(join(tmpdir(), 'qrun-old-')), 'pueue');
    writeFileSync(old, '#!/bin/sh\necho pueue 3.4.1\n', { mode: 0o755 });
    await expect(Pueue.open(PUEUE, { env: daemon.env }, old)).rejects.toMatchObject({
      code: 'QUEUE_UNSUPPORTED',
      message: `${old} is version 3.4.1; qrun needs version 4`,
    });
  });
});
