import { appendFileSync, copyFileSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { openTerminal } from '../../src/cli/terminal/streams.js';
import { runEvent } from '../../src/core/unit/events.schema.js';
import { scratch } from '../integration/machine/processes.js';
import { qrun, records, removeTree, tree, watchQrun } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

const runnable = (pueueAvailable() && clickHouseServerAvailable()) || servicesRequired();

describe.skipIf(!runnable)(
  'what qrun writes for programs is as its schema says',
  { timeout: 120_000 },
  () => {
    let daemon: PueueDaemon;
    let server: ClickHouseServer;
    let root = '';
    /** The commands whose --json was looked at. */
    const covered = new Set<string>();
    /** The types of the events that were looked at. */
    const events = new Set<unknown>();

    beforeAll(async () => {
      daemon = await startPueueDaemon();
      server = await startClickHouseServer();
      root = realpathSync(
        tree({
          'qrun.toml': `halt = "errors=5%"\nmemory_max = "1G"\n[sweep]\nname = "json"\n[sweep.matrix]\nBigName = [1]\n`,
          'u/_setup.sql': 'CREATE TABLE IF NOT EXISTS made (n UInt8) ENGINE = MergeTree ORDER BY n',
          'u/a.sql': 'SELECT {BigName:UInt8} AS CamelRow',
          'u/b.sql': 'SELECT no_such_column',
          'u/empty.sql': '-- later',
          'bad/a.sql': 'SELECT 1',
          'bad/b.sql': 'SELECT (',
          'bad/c.sql': 'SELECT {BigName:UInt8}',
          'jobs.toml': 'name = "made"\ncommand = ["true"]\n[matrix]\nBigName = [1, 2]\n',
          'failing.toml': 'name = "failing"\ncommand = ["false"]\n',
        }),
      );
    });
    afterAll(async () => {
      await daemon?.stop();
      await server?.stop();
      removeTree(root);
    });

    /** Runs a command with --json and looks at each line that it writes. */
    async function json(
      words: readonly string[],
      { env = daemon.env, cwd = root }: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
    ): Promise<Record<string, unknown>[]> {
      const [command = ''] = words;
      const ended = await qrun([...words, '--json'], { cwd, env });
      covered.add(command);
      const outputs = records(ended.stdout);
      expect(outputs.length, `qrun ${words.join(' ')}: ${ended.stderr}`).toBeGreaterThan(0);
      for (const output of outputs) expect(faultsOf(command, output), `qrun ${words.join(' ')}`).toBe('');
      return outputs;
    }

    function lookAt(schema: string, file: string): Record<string, unknown>[] {
      const lines = records(readFileSync(join(root, file)));
      expect(lines.length, file).toBeGreaterThan(0);
      for (const line of lines) {
        expect(faultsOf(schema, line), file).toBe('');
        if (schema === 'events') events.add(line.type);
      }
      return lines;
    }

    const away = { env: { PATH: '/nonexistent' } };
    const nowhere = ['--url', 'http://127.0.0.1:1'];
    const param = ['u', '--param', 'BigName=1'];

    it('config', async () => {
      await json(['config', ...param]);
      await json(['config', 'u', '--shard', '1/2', '--umask', '0077', '--allow-placeholders', ...nowhere]);
      await json(['config', 'u'], { cwd: tree({ 'u/a.sql': 'SELECT 1' }) });
    });

    it('probe and doctor', async () => {
      const [own] = await json(['probe', 'u']);
      const [unknown] = await json(['probe', 'u', ...nowhere, '--memory-per-job', '1G']);
      const [known] = await json(['probe', 'u', '--url', server.url]);
      expect(known).toMatchObject({ engine: { error: null, target: expect.any(String) } });
      expect(unknown).toMatchObject({ engine: { error: expect.any(String), target: null } });
      expect(own).toMatchObject({ engine: { error: null, target: null } });
      const [several] = await json(['probe', 'u', '--url', server.url, ...nowhere]);
      expect(several?.engines).toHaveLength(2);
      await json(['doctor', '.']);
      await json(['doctor', '.', ...nowhere], away);
    });

    it('trust', async () => {
      const state = { env: { ...daemon.env, XDG_STATE_HOME: scratch() } };
      await json(['trust', '.'], state);
      await json(['trust', '--list'], state);
      await json(['trust', '--remove', '.'], state);
      await json(['trust', '--remove', '.'], state);
      await json(['trust', '--list'], state);
    });

    it('plan, unit, audit, events and the sidecar', async () => {
      await json(['plan', ...param]);
      await json(['plan', 'bad']);
      await json(['plan', 'bad', '--skip-bad', '--limit', '1']);
      await json(['audit', ...param]);
      const run = ['unit', ...param, '--memory-max', '64G', '--events', 'events.ndjson'];
      // The first stops where a query fails.
      await json([...run, '-P', '1', '--halt', 'errors=1']);
      appendFileSync(join(root, 'results/u@BigName=1.ndjson'), '{"unit":"u@Big');
      const [summary] = await json(run);
      expect(summary).toMatchObject({ stopped: null, exit_code: 20, no_statement: ['empty'] });
      const [nothing] = await json([...run, '--rerun', 'none']);
      expect(nothing).toMatchObject({ durations: null, histogram: null, records: 0 });
      await json(['unit', 'bad', '--skip-bad', '--param', 'BigName=1']);
      await json(['audit', ...param]);
      await json(['audit', ...param, '--set', 'max_rows_to_read=9', '--rows-per-query', '2']);
      await json(['audit', 'u', 'bad', '--param', 'BigName=1']);
      writeFileSync(join(root, 'other.ndjson'), '{"unit":"other"}\nno json\n{"torn');
      const logs = ['--log', 'results/u@BigName=1.ndjson', '--log', 'other.ndjson', '--log', 'none.ndjson'];
      const [several] = await json(['audit', ...param, ...logs]);
      expect(several).toMatchObject({ verdict: 'inconsistent', last_run: null });
      expect(several?.logs).toHaveLength(3);
      lookAt('events', 'events.ndjson');
      for (const line of lookAt('runs', 'results/u@BigName=1.ndjson.runs')) {
        // Of older versions it may be missing; not of this one.
        if (line.event === 'start') expect(line.setup).toMatchObject({ database: null });
      }
    });

    it('unit on a server: its setup, a retry, and an outage', async context => {
      const there = realpathSync(
        tree({
          'qrun.toml': '',
          'u/_setup.sql': 'CREATE DATABASE IF NOT EXISTS made',
          'u/heavy.sql':
            'SET max_memory_usage_for_user = 1000000;\nSELECT groupArray(number) FROM (SELECT number FROM system.numbers LIMIT 10000000)',
          ...Object.fromEntries([1, 2, 3, 4, 5, 6].map(n => [`u/slow${n}.sql`, `SELECT sleep(1), ${n}`])),
        }),
      );
      const run = ['unit', 'u', '--url', server.url, '--setup', '-P', '2', '--retries', '1', '--json'];
      const watched = watchQrun(run, { cwd: there });
      await watched.event(({ type }) => type === 'query_retry');
      if (!server.external) {
        await watched.event(({ query, type }) => type === 'query_started' && `${query}`.startsWith('slow'));
        await server.kill();
        await watched.event(({ type }) => type === 'engine_lost');
        await server.restart();
      }
      const end = await watched.end();
      expect(faultsOf('unit', JSON.parse(end.stdout)), end.stderr).toBe('');
      for (const event of watched.events) {
        expect(faultsOf('events', event)).toBe('');
        events.add(event.type);
      }
      expect(watched.events.find(({ type }) => type === 'setup_done')).toMatchObject({ target: server.url });
      removeTree(there);
      if (server.external) context.skip('the server of QRUN_TEST_URL is not ours to stop');
    });

    it('each type of event was among them', context => {
      if (server.external) context.skip('the server of QRUN_TEST_URL is not ours to stop');
      expect([...events].sort()).toEqual(runEvent.options.map(({ shape }) => shape.type.value).sort());
    });

    it('status, submit-all, audit-all and the report that is kept', async () => {
      await json(['status', '.'], away);
      await json(['submit-all', '--dry-run', '--skip-bad']);
      await json(['submit-all', '--include', 'u', '--delay', '1h']);
      const [queued] = await json(['status', '.']);
      expect(queued).toMatchObject({ queue_problem: null, slots: 1, eta_ms: null });
      await json(['submit-all', '--include', 'u']);
      await json(['audit-all', '.']);
      await json(['audit-all', '.', '--include', 'u']);
      await json(['status', '.']);
      const kept = JSON.parse(readFileSync(join(root, 'results/json.audit.json'), 'utf8')) as unknown;
      expect(faultsOf('audit-all', kept)).toBe('');
      expect(faultsOf('status', { ...queued, later: 1 })).not.toBe('');
    });

    it('cancel', async () => {
      const [dry] = await json(['cancel', '.', '--dry-run']);
      expect(dry).toMatchObject({ dry_run: true, tasks: [{ fate: 'removed', host: null }] });
      const [units] = await json(['cancel', '.', '--wait']);
      expect(units).toMatchObject({ kind: 'unit', ended: true, audits: [{ fate: 'removed' }] });
      const [jobs] = await json(['cancel', 'jobs.toml']);
      expect(jobs).toMatchObject({ kind: 'job', tasks: [], hosts: [], exit_code: 0 });
    });

    it('collect', async () => {
      const there = join(root, 'results/.from/other');
      mkdirSync(there, { recursive: true });
      const log = 'u@BigName=1.ndjson';
      copyFileSync(join(root, 'results', log), join(there, log));
      writeFileSync(join(there, 'nobody.ndjson'), '');
      const [again] = await json(['collect', '.']);
      expect(again).toMatchObject({ logs: [{ appended: { groups: 0 }, problem: null }] });
      writeFileSync(join(there, log), 'this is not a log\n');
      const [bad] = await json(['collect', '.']);
      expect(bad).toMatchObject({ logs: [{ problem: { message: expect.any(String) } }], exit_code: 23 });
    });

    it('process-all and the state of a job', async () => {
      await json(['process-all', '--dry-run'], away);
      await json(['process-all', '--dry-run']);
      await json(['process-all', '--delay', '1h']);
      await json(['process-all', '--dry-run']);
      await json(['process-all', '--check']);
      const job = ['job', '--config', 'failing.toml', '--name', 'failing'];
      await qrun(job, { cwd: root, env: daemon.env });
      const [failed] = await json(['process-all', 'failing.toml', '--check']);
      expect(failed).toMatchObject({ complete: false, failed: [{ job: 'failing', attempt: 1 }] });
      lookAt('job-runs', 'results/failing.runs');
    });

    it('autoscale', async () => {
      await json(['autoscale', '--dry-run']);
      await json(['autoscale', '--dry-run', '--max', '3', '--memory-per-job', '1M']);
    });

    it('prune', async () => {
      await json(['prune']);
      await json(['prune', '--remove', '--all']);
      await json(['prune']);
    });

    it('was looked at: each command that has --json', () => {
      const program = createProgram(openTerminal(process), () => {});
      const withJson = program.commands.filter(one => one.options.some(({ long }) => long === '--json'));
      expect([...covered].sort()).toEqual(withJson.map(one => one.name()).sort());
    });
  },
);
