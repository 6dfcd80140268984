import { describe, expect, test } from 'vitest';
import { bytesOf, type ContractClient, ENDLESS, failureOf } from './contract-client.js';

/** The part of the contract about deadlines, aborts and waiting for a permit. */
export function cancellingTests(client: ContractClient): void {
  const { run, rows, failure, running, onEach } = client;

  describe('cancelling', () => {
    test('the deadline ends a query, here and in the engine', async () => {
      const startMs = performance.now();
      const failed = await failure(`${ENDLESS} where 'mark_deadline' != ''`, { timeoutMs: 300 });
      const elapsedMs = performance.now() - startMs;
      expect(failed).toMatchObject({ name: 'TIMEOUT', kind: 'permanent', code: 0, neverStarted: false });
      expect(failed.message).toContain('300 ms');
      expect(elapsedMs).toBeGreaterThan(290);
      expect(elapsedMs).toBeLessThan(1300);
      expect(await running('mark_deadline')).toBe(0);
    });

    test('an abort ends queries, here and in the engine', async () => {
      const controller = new AbortController();
      const { signal } = controller;
      const queries = [
        `${ENDLESS} where 'mark_abort' != ''`,
        "select number, 'mark_abort' as m from system.numbers",
        `create temporary table t (a UInt64); insert into t select a from (${ENDLESS.replace('as s', 'as a')} where 'mark_abort' != '')`,
      ];
      // One permit stays free to look at the others from.
      const count = Math.min(queries.length, client.engine.info.permits - 1);
      const results = queries.slice(0, count).map(sql => run(sql, { signal, timeoutMs: 0 }));
      while ((await running('mark_abort')) < count);
      const startMs = performance.now();
      controller.abort();
      for (const result of await Promise.all(results)) {
        expect(await failureOf(result)).toMatchObject({ name: 'ABORTED', code: 0 });
      }
      expect(performance.now() - startMs).toBeLessThan(1000);
      expect(await running('mark_abort')).toBe(0);
    });

    test('what was aborted before is not sent', async () => {
      const sql = 'create table qrun_contract_aborted (a Int8) engine = Memory';
      const failed = await failure(sql, { signal: AbortSignal.abort() });
      expect(failed).toMatchObject({ name: 'ABORTED', neverStarted: true });
      for (const found of await onEach('exists table qrun_contract_aborted')) {
        expect(found).toBe('{"result":0}\n');
      }
    });

    test('a drain ends a file before its next statement; one that runs goes on', async () => {
      const drain = new AbortController();
      const sql = `create table qrun_contract_drained (a UInt64) engine = Memory;
        insert into qrun_contract_drained select sleep(0.5) where 'mark_drain' != '';
        insert into qrun_contract_drained select 2; select 1`;
      await onEach('drop table if exists qrun_contract_drained');
      const result = run(sql, { drain: drain.signal });
      while ((await running('mark_drain')) === 0);
      drain.abort();
      expect(await failureOf(await result)).toMatchObject({ name: 'ABORTED' });
      // On one of several servers.
      await onEach('create table if not exists qrun_contract_drained (a UInt64) engine = Memory');
      expect((await onEach('select a from qrun_contract_drained')).join('')).toBe('{"a":0}\n');
      await onEach('drop table qrun_contract_drained');
    });

    test('a drain that comes with the last statement changes nothing', async () => {
      const drain = AbortSignal.abort();
      expect(await bytesOf(await run('select 1 as a', { drain }))).toBe('{"a":1}\n');
    });

    test('queries that wait for a permit can be aborted, and the others run on', async () => {
      const controller = new AbortController();
      const count = client.engine.info.permits + 8;
      const blocking = Array.from({ length: count }, () => run(ENDLESS, { signal: controller.signal }));
      const waiting = rows('select 1 as a');
      controller.abort();
      for (const result of await Promise.all(blocking))
        expect((await failureOf(result)).name).toBe('ABORTED');
      expect(await waiting).toBe('{"a":1}\n');
    });

    test('the deadline counts from the start of the query, not of the wait', async () => {
      const sql = 'select sleep(0.4) as a';
      const all = Array.from({ length: client.engine.info.permits * 3 }, () => run(sql, { timeoutMs: 1100 }));
      for (const result of await Promise.all(all)) expect(await bytesOf(result)).toBe('{"a":0}\n');
    });
  });
}
