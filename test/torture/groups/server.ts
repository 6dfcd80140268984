import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseServer } from '../../services/clickhouse-server.js';
import { startAnswers } from '../answers.js';
import { kindOf } from '../expected.js';
import { describe } from '../log-trial.js';
import { startProxy } from '../proxy.js';
import { ask, PAD, slowQueries, slowQuery, unitOf, withServer } from '../server-unit.js';
import type { Context, Group, Row } from '../tally.js';
import { answeredQueries, UnitTrial } from '../unit-trial.js';

/** The server dies in the middle of a run, and comes back. */
export const restart: Group = {
  name: 'restart',
  async run(context) {
    await withServer(
      context,
      'server killed with 16 queries in flight, restarted',
      {},
      async (row, server) => {
        for (let n = 0; n < context.count(1, 6); n += 1) await killedServer(context, row, server, n);
      },
    );
    await withServer(context, 'poison query kills the server each time', {}, async (row, server) => {
      for (let n = 0; n < context.count(1, 3); n += 1) await poison(context, row, server);
    });
  },
};

async function killedServer(context: Context, row: Row, server: ClickHouseServer, n: number): Promise<void> {
  await row.trial(async trial => {
    const queries = slowQueries(120, 3, 0.2);
    const unit = new UnitTrial({
      ...{ home: context.home, place: context.places.disk('restart'), url: server.url },
      ...unitOf(queries),
    });
    const run = unit.run({ concurrency: 16 });
    for (let kills = n % 3 === 2 ? 2 : 1; kills > 0; kills -= 1) {
      if (await untilRunning(server, 16, run.done)) trial.injected();
      await server.kill();
      await sleep(context.random(`restart-${n}`).int(200, 2500));
      await server.restart();
    }
    const ended = await run.ended;
    trial.expect(ended.code === 0, `exit code 0 was due: ${describe(ended)}`);
    const events = unit.readEvents();
    const errors = events.filter(event => event.type === 'query_recorded' && event.outcome === 'error');
    trial.expect(errors.length === 0, `${errors.length} queries stand as error`);
    trial.expect(
      events.some(event => event.type === 'engine_lost') &&
        events.some(event => event.type === 'engine_back'),
      'the loss and the return of the server are not reported',
    );
    await unit.verdict(trial, { settled: [...queries.keys()], audit: 'complete' });
  });
}

// Gives whether so many queries were seen at once before the run ended.
async function untilRunning(server: ClickHouseServer, count: number, done: () => boolean): Promise<boolean> {
  const sql = `SELECT count() FROM system.processes WHERE query LIKE '%sleep(%'`;
  while (!done()) {
    // The question itself is one of them.
    if (Number(await ask(server, sql)) > count) return true;
  }
  return false;
}

async function poison(context: Context, row: Row, server: ClickHouseServer): Promise<void> {
  await row.trial(async trial => {
    const proxy = await startProxy(server.port);
    const queries = slowQueries(60, 3, 0.05);
    queries.set('s0003', { ...slowQuery('s0003', 3, 2), rows: [] });
    const unit = new UnitTrial({
      ...{ home: context.home, place: context.places.disk('poison'), url: proxy.url },
      ...unitOf(queries),
    });
    let working = Promise.resolve();
    proxy.onRequest = text => {
      if (!text.includes(`'s0003'`)) return;
      trial.injected();
      working = working.then(async () => {
        await sleep(50);
        await server.kill();
        await sleep(300);
        await server.restart();
      });
    };
    const ended = await unit.run({ concurrency: 16, args: ['--retries', '2'] }).ended;
    await working;
    trial.expect(ended.code === 20, `exit code 20 was due: ${describe(ended)}`);
    const recorded = unit.readEvents().filter(event => event.type === 'query_recorded');
    const errors = recorded.filter(event => event.outcome === 'error').map(event => event.query);
    trial.expect(String(errors) === 's0003', `these stand as error: ${errors}`);
    const settled = [...queries.keys()].filter(name => name !== 's0003');
    await unit.verdict(trial, { settled, audit: 'errors' });
    await proxy.stop();
  });
}

/** A server at its limits: memory, number of queries, an error after 100 MB of rows. */
export const serverLimits: Group = {
  name: 'server-limits',
  async run(context) {
    await withServer(context, 'server refuses: too many queries', { maxQueries: 4 }, async (row, server) => {
      await tooManyQueries(context, row, server);
    });
    await withServer(context, 'server out of memory', {}, async (row, server) => {
      await outOfMemory(context, row, server);
    });
    await withServer(context, 'error after 100 MB of a result', {}, async (row, server) => {
      await lateError(context, row, server);
    });
    const row = context.row('error text after 100 MB of rows in an answer with status 200');
    for (let n = 0; n < context.count(1, 3); n += 1) await errorInBody(context, row, n);
    row.end();
  },
};

// As servers send it that do not wait for the end of the query, or that a proxy keeps from it.
async function errorInBody(context: Context, row: Row, n: number): Promise<void> {
  await row.trial(async trial => {
    const answers = await startAnswers();
    const text =
      'Code: 241. DB::Exception: Memory limit (for query) exceeded: would use 9.31 GiB. (MEMORY_LIMIT_EXCEEDED)';
    answers.stream = async (sql, response) => {
      if (!sql.includes('late')) return false;
      const lines = `${JSON.stringify({ i: 1, pad: PAD })}\n`.repeat(1000);
      for (let bytes = 0; bytes < 100_000_000; bytes += lines.length) {
        if (!response.write(lines)) await once(response, 'drain');
      }
      response.end([`${text}\n`, `__exception__\r\n${text}\n`, `{"i":1,"pad":"cut${text}\n`][n % 3]);
      return true;
    };
    const { sql, rows } = answeredQueries(10, { rows: 3, rowBytes: 100 });
    const unit = new UnitTrial({
      ...{ home: context.home, place: context.places.disk('error-in-body'), url: answers.url, rows },
      sql: { ...sql, q00001: 'SELECT late' },
    });
    const ended = await unit.run({ args: ['--retries', '0'] }).ended;
    trial.injected();
    trial.expect(ended.code === 20, `exit code 20 was due: ${describe(ended)}`);
    trial.expect(/MEMORY_LIMIT_EXCEEDED|RESULT_/.test(ended.stderr), `not named: ${describe(ended)}`);
    trial.expect(unit.content().length < 100_000, `the log holds ${unit.content().length} bytes`);
    const settled = Object.keys(sql).filter(name => kindOf(name) !== 'error' && name !== 'q00001');
    await unit.verdict(trial, { settled, audit: 'errors' });
    await answers.stop();
  });
}

async function tooManyQueries(context: Context, row: Row, server: ClickHouseServer): Promise<void> {
  // Without waiting inside the server, so that it refuses at once.
  for (const wait of ['0', '100'].slice(0, context.count(1, 2))) {
    await row.trial(async trial => {
      const set = ['--set', `queue_max_wait_ms=${wait}`];
      const queries = slowQueries(60, 3, 0.05);
      const unit = new UnitTrial({
        ...{ home: context.home, place: context.places.disk('too-many'), url: server.url },
        ...unitOf(queries),
      });
      // Refusals are no attempts: whoever gets no place asks again.
      const ended = await unit.run({ concurrency: 16, args: [...set, '--retries', '0'] }).ended;
      const retries = unit.readEvents().filter(event => event.type === 'query_retry');
      trial.injected(retries.length);
      trial.expect(ended.code === 0, `exit code 0 was due: ${describe(ended)}`);
      await unit.finish(trial, 0, { concurrency: 2, args: set });
      await unit.verdict(trial, { settled: [...queries.keys()] });
    });
  }
}

async function outOfMemory(context: Context, row: Row, server: ClickHouseServer): Promise<void> {
  await row.trial(async trial => {
    const names = Array.from({ length: 24 }, (_, n) => `s${String(n).padStart(4, '0')}`);
    const queries = new Map(
      names.map(name => [
        name,
        {
          // About 70 MB of hash table.
          sql: `SELECT '${name}' AS q, count() AS n FROM (SELECT number FROM (SELECT number FROM system.numbers LIMIT 1000000) GROUP BY number)`,
          rows: [JSON.stringify({ q: name, n: 1_000_000 })],
        },
      ]),
    );
    const unit = new UnitTrial({
      ...{ home: context.home, place: context.places.disk('memory-limit'), url: server.url },
      ...unitOf(queries),
    });
    const limit = ['--set', 'max_memory_usage_for_all_queries=200000000'];
    const ended = await unit.run({ concurrency: 8, args: [...limit, '--retries', '2'] }).ended;
    const events = unit.readEvents();
    const met = events.filter(event => (event.error as { code?: number } | undefined)?.code === 241);
    trial.injected(met.length);
    const stands = events.some(event => event.type === 'query_recorded' && event.outcome === 'error');
    trial.expect(
      ended.code === (stands ? 20 : 0),
      `exit code ${stands ? 20 : 0} was due: ${describe(ended)}`,
    );
    trial.expect(/241|MEMORY_LIMIT_EXCEEDED/.test(ended.stderr), `not named: ${describe(ended)}`);
    await unit.finish(trial, 0, { concurrency: 1, args: limit });
    await unit.verdict(trial, { settled: names });
  });
}

async function lateError(context: Context, row: Row, server: ClickHouseServer): Promise<void> {
  for (let n = 0; n < context.count(1, 3); n += 1) {
    await row.trial(async trial => {
      const at = 800_000;
      const queries = slowQueries(10, 3, 0.05);
      // 136 bytes a row; the division by zero comes after more than 100 MB.
      const sql = `SELECT number AS i, '${PAD}' AS pad, intDiv(1, number - ${at}) AS d FROM system.numbers LIMIT ${at + 10}`;
      queries.set('s0001', { sql, rows: [] });
      const unit = new UnitTrial({
        ...{ home: context.home, place: context.places.disk('late-error'), url: server.url },
        ...unitOf(queries),
      });
      const ended = await unit.run({ concurrency: 4 }).ended;
      trial.injected();
      trial.expect(ended.code === 20, `exit code 20 was due: ${describe(ended)}`);
      trial.expect(/ILLEGAL_DIVISION \(153\)|\b153\b/.test(ended.stderr), `not named: ${describe(ended)}`);
      trial.expect(unit.content().length < 100_000, `the log holds ${unit.content().length} bytes`);
      const settled = [...queries.keys()].filter(name => name !== 's0001');
      await unit.verdict(trial, { settled, audit: 'errors' });
    });
  }
}
