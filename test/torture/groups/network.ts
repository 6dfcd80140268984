import type { ClickHouseServer } from '../../services/clickhouse-server.js';
import { describe } from '../log-trial.js';
import { type Cut, startProxy } from '../proxy.js';
import { ask, slowQueries, unitOf, withServer } from '../server-unit.js';
import type { Context, Group, Row, Trial } from '../tally.js';
import { UnitTrial } from '../unit-trial.js';

/** Answers that are cut by a proxy after N bytes. */
export const proxyCuts: Group = {
  name: 'proxy',
  async run(context) {
    for (const how of ['reset', 'fin', 'hang'] as const) {
      await withServer(
        context,
        `connection: ${how} after N bytes, 20 values of N`,
        {},
        async (row, server) => {
          for (let n = 0; n < context.count(1, 5); n += 1) await cutAnswers(context, row, server, how, n);
        },
      );
    }
    await withServer(context, 'INSERT whose answer is lost: carried out at most once', {}, (row, server) =>
      lostInserts(context, row, server),
    );
  },
};

// Twenty queries in one run; the answer of each is cut at another place. Every query is a trial.
async function cutAnswers(
  context: Context,
  row: Row,
  server: ClickHouseServer,
  how: Cut,
  round: number,
): Promise<void> {
  const proxy = await startProxy(server.port);
  const random = context.random(`proxy-${how}-${round}`);
  const queries = slowQueries(20, random.pick([3, 300, 3000]), 0);
  const unit = new UnitTrial({
    ...{ home: context.home, place: context.places.disk('proxy'), url: proxy.url },
    ...unitOf(queries),
  });
  // What a whole answer takes on the wire.
  await fetch(`${proxy.url}/?default_format=JSONEachRow&wait_end_of_query=1`, {
    method: 'POST',
    body: queries.get('s0000')?.sql ?? '',
  }).then(reply => reply.arrayBuffer());
  const answer = proxy.answerTo('s0000');
  const whole = answer.length;
  const rowEnds: number[] = [];
  for (let at = answer.indexOf('}\n'); at !== -1; at = answer.indexOf('}\n', at + 1)) rowEnds.push(at + 2);
  // Without a row, behind a row (where what came looks whole), just before the end, and anywhere.
  const places = [0, 1, 12, 100, 200, answer.indexOf('\r\n\r\n') + 4, whole - 1, whole - 2, whole - 5];
  for (const share of [0, 0.1, 0.3, 0.6, 1]) {
    places.push(rowEnds[Math.floor(share * (rowEnds.length - 1))] ?? 0);
  }
  while (places.length < queries.size) places.push(random.int(300, whole - 1));
  for (const [n, text] of [...queries.keys()].entries()) {
    proxy.rules.push({ text: `'${text}'`, how, afterBytes: Math.max(0, places[n] ?? 0), times: 1 });
  }
  let first = true;
  for (const { text, afterBytes } of [...proxy.rules]) {
    await row.trial(async trial => {
      if (first) await cutRun(trial, unit, how);
      first = false;
      const rule = proxy.rules.find(entry => entry.text === text);
      if (rule?.times === 0) trial.injected();
      else trial.violation(`the answer of ${text} was not cut at ${afterBytes}`);
    });
  }
  await row.trial(async trial => {
    trial.injected();
    await unit.finish(trial, 0);
    await unit.verdict(trial, { settled: [...queries.keys()], audit: 'complete' });
  });
  await proxy.stop();
}

async function cutRun(trial: Trial, unit: UnitTrial, how: Cut): Promise<void> {
  const ended = await unit.run({ concurrency: 20, args: ['--timeout', how === 'hang' ? '3s' : '60s'] }).ended;
  // A lost answer to a SELECT is asked for again; a query that hangs runs into its deadline.
  const due = how === 'hang' ? 20 : 0;
  trial.expect(ended.code === due, `${how}: exit code ${due} was due: ${describe(ended)}`);
  const named = how === 'hang' ? /TIMEOUT/.test(ended.stderr) : /retry|CONNECTION_LOST/i.test(ended.stderr);
  trial.expect(named, `${how} is not named: ${describe(ended)}`);
}

async function lostInserts(context: Context, row: Row, server: ClickHouseServer): Promise<void> {
  await ask(server, 'CREATE TABLE effects (q String) ENGINE = Log');
  const proxy = await startProxy(server.port);
  const count = context.count(6, 30);
  const names = Array.from({ length: count }, (_, n) => `s${String(n).padStart(4, '0')}`);
  const queries = new Map(
    names.map(name => [name, { sql: `INSERT INTO effects SELECT '${name}'`, rows: [] }]),
  );
  const unit = new UnitTrial({
    ...{ home: context.home, place: context.places.disk('inserts'), url: proxy.url },
    ...unitOf(queries),
  });
  const random = context.random('inserts');
  for (const name of names) {
    const how = random.pick<Cut>(['reset', 'fin']);
    proxy.rules.push({ text: `'${name}'`, how, afterBytes: random.pick([0, 0, 50]), times: 1 });
  }
  const ended = await unit.run({ args: ['--retries', '5'] }).ended;
  // From the log, which keeps the rows of each in one part, the server's own count.
  const effects = new Map<string, number>();
  for (const line of (await ask(server, 'SELECT q, count() FROM effects GROUP BY q FORMAT TSV')).split(
    '\n',
  )) {
    const [name = '', times = ''] = line.split('\t');
    effects.set(name, Number(times));
  }
  for (const name of names) {
    await row.trial(trial => {
      trial.injected();
      const times = effects.get(name) ?? 0;
      trial.expect(times <= 1, `the INSERT of ${name} was carried out ${times} times`);
    });
  }
  await row.trial(async trial => {
    trial.injected(proxy.cuts);
    trial.expect(ended.code === 20, `exit code 20 was due: ${describe(ended)}`);
    trial.expect(/CONNECTION_LOST/.test(ended.stderr), `the lost answers are not named: ${describe(ended)}`);
    await unit.verdict(trial, { settled: [], audit: 'errors' });
  });
  await proxy.stop();
}
