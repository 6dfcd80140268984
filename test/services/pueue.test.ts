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

  const drains = (label: string): NewTask =>
    task(label, 'trap "exit 143" TERM; while :; do sleep 0.05; done', { group: 'c' });

  async function inPhase(label: string, phase: QueueTask['phase']): Promise<QueueTask> {
    for (;;) {
      const found = (await pueue.state()).tasks.find(one => one.label === label);
      if (found?.phase === phase) return found;
      await delay(20);
    }
  }

  it('asks a paused task to end, which then sees the signal, and leaves the group paused with all others', async () => {
    await pueue.addGroup('c', 2);
    await pueue.add(['qrun:s:p', 'qrun:s:q', 'qrun:s:w'].map(drains));
    await inPhase('qrun:s:q', 'running');
    await daemon.pueue('pause', '--group', 'c');
    await inPhase('qrun:s:p', 'paused');
    expect(await pueue.cancel(['qrun:s:p'])).toEqual({ removed: [], asked: ['qrun:s:p'] });
    expect((await ended('qrun:s:p')).end).toEqual({ kind: 'failed', exitCode: 143 });
    const { tasks, groups } = await pueue.state();
    expect(groups.get('c')?.paused).toBe(true);
    expect(tasks.filter(({ group }) => group === 'c').map(({ phase }) => phase)).toEqual([
      'done',
      'paused',
      'queued',
    ]);
    expect(await pueue.cancel(['qrun:s:q', 'qrun:s:w'])).toEqual({
      removed: ['qrun:s:w'],
      asked: ['qrun:s:q'],
    });
    await ended('qrun:s:q');
    await daemon.pueue('start', '--group', 'c');
  });

  it('asks what runs to end also if what waits cannot be removed, and says why', async () => {
    await pueue.addGroup('c', 2);
    await pueue.addGroup('g', 2);
    const slowly = task('qrun:s:d1', 'trap "sleep 2; exit 143" TERM; while :; do sleep 0.05; done', {
      group: 'c',
    });
    await pueue.add([slowly, drains('qrun:s:d2')]);
    await pueue.add([task('qrun:s:needed', 'true', { group: 'c' })]);
    await inPhase('qrun:s:d2', 'running');
    const { id } = await inPhase('qrun:s:needed', 'queued');
    // Of the user's own, in another group: removing would release it.
    const dependent = await daemon.pueue('add', '-p', '-s', '-g', 'g', '--after', id, '--', 'true');
    const refused = pueue.cancel(['qrun:s:d1', 'qrun:s:needed']);
    await expect(refused).rejects.toMatchObject({
      code: 'QUEUE_FAILED',
      message: expect.stringMatching(/^qrun:s:needed cannot be cancelled: pueue remove failed/),
      hint: expect.stringContaining('another task may depend on it'),
    });
    expect((await ended('qrun:s:d1')).end).toEqual({ kind: 'failed', exitCode: 143 });
    await daemon.pueue('remove', dependent.trim());
    await pueue.cancel(['qrun:s:d2', 'qrun:s:needed']);
    await ended('qrun:s:d2');
  });

  it('says so if the id of a task that has just ended was given to another one in that very moment', async () => {
    await pueue.addGroup('r', 1);
    await pueue.add([{ ...drains('qrun:s:first'), group: 'r' }]);
    const { id } = await inPhase('qrun:s:first', 'running');
    // Between the look and the order: the task ends, is cleaned, and its id goes to a task of somebody else.
    const program = join(mkdtempSync(join(tmpdir(), 'qrun-pueue-')), 'pueue');
    writeFileSync(
      program,
      `#!/bin/sh
if [ "$1" = kill ]; then
  pueue kill --signal=sigterm ${id}
  until pueue clean -g r && new=$(pueue add -p -g r -l theirs -- 'trap "" TERM; sleep 60') && [ "$new" = ${id} ]; do
    pueue remove "$new"; pueue kill "$new"; sleep 0.05
  done
  until pueue status --json | grep -q '"label":"theirs","status":{"Running"'; do sleep 0.05; done
fi
exec pueue "$@"
`,
      { mode: 0o755 },
    );
    const other = await Pueue.open(PUEUE, { env: daemon.env }, program);
    await expect(other.cancel(['qrun:s:first'])).rejects.toMatchObject({
      code: 'QUEUE_FAILED',
      message: expect.stringContaining(`task ${id} was qrun:s:first and is now theirs`),
    });
    await daemon.pueue('kill', id);
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
