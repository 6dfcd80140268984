import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { openTerminal } from '../../src/cli/terminal/streams.js';
import { scratch } from '../integration/machine/processes.js';
import { type Ended, qrun, records, removeTree, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

/** Objects whose keys are names that users gave: of parameters and settings. */
const GIVEN_NAMES: ReadonlySet<string> = new Set(['parameters', 'settings']);

/** The path of every key in a value, `[]` for what is in a list; keys that users gave are left out. */
function keyPaths(value: unknown, at = ''): string[] {
  if (Array.isArray(value)) return value.flatMap(one => keyPaths(one, `${at}[]`));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const path = at === '' ? key : `${at}.${key}`;
    return GIVEN_NAMES.has(key) ? [path] : [path, ...keyPaths(inner, path)];
  });
}

const topKeys = (value: unknown): string[] => Object.keys(value as object).sort();

describe.skipIf(!pueueAvailable() && !servicesRequired())(
  'every JSON that qrun writes',
  { timeout: 120_000 },
  () => {
    let daemon: PueueDaemon;
    let root = '';
    /** What was seen, by the command; `[name, value]` for each object. */
    const seen: [string, unknown][] = [];
    const covered = new Set<string>();

    beforeAll(async () => {
      daemon = await startPueueDaemon();
      root = realpathSync(
        tree({
          'qrun.toml':
            'halt = "errors=5%"\nmemory_max = "1G"\n[settings]\nmaxThreads_or_so = 1\n[sweep]\nname = "json"\n[sweep.matrix]\nBigName = [1]\n',
          'u/a.sql': 'SELECT {BigName:UInt8} AS CamelRow',
          'u/b.sql': 'SELECT no_such_column',
          'jobs.toml': 'name = "made"\ncommand = ["true"]\n[matrix]\nBigName = [1, 2]\n',
        }),
      );
      // The setting exists in no engine; only the configuration shows it.
      writeFileSync(join(root, 'run.toml'), '');
    });
    afterAll(async () => {
      await daemon.stop();
      removeTree(root);
    });

    async function json(command: string, args: readonly string[], env = daemon.env): Promise<unknown[]> {
      const ended: Ended = await qrun([command, ...args, '--json'], { cwd: root, env });
      covered.add(command);
      const objects = records(ended.stdout).flat();
      if (objects.length === 0) throw new Error(`qrun ${command} wrote no JSON: ${ended.stderr}`);
      for (const one of objects) seen.push([`qrun ${command} ${args.join(' ')}`, one]);
      return objects;
    }

    it('has keys in snake_case, but for names that users gave', async () => {
      const param = ['u', '--param', 'BigName=1'];
      // The setting exists in no engine; only the configuration shows it.
      const config = readFileSync(join(root, 'qrun.toml'), 'utf8');
      await json('config', param);
      await json('config', ['u', '--shard', '1/2', '--url', 'http://localhost:1']);
      writeFileSync(join(root, 'qrun.toml'), config.replace('maxThreads_or_so', 'max_threads'));
      await json('probe', ['u']);
      await json('probe', ['u', '--url', 'http://127.0.0.1:1', '--memory-per-job', '1G']);
      await json('doctor', ['.']);
      const state = { ...daemon.env, XDG_STATE_HOME: scratch() };
      for (const args of [['.'], ['--list'], ['--remove', '.']]) await json('trust', args, state);
      await json('plan', param);
      await json('unit', [...param, '--memory-max', '64G', '--events', 'events.ndjson']);
      await json('unit', [...param, '--memory-max', '64G', '--include', 'a', '--events', 'events.ndjson']);
      await json('audit', param);
      await json('audit', ['u', 'u', '--param', 'BigName=1', '--rows-per-query', '2']);
      await json('status', ['.'], { ...daemon.env, PATH: '/nonexistent' });
      await json('submit-all', ['--dry-run']);
      await json('submit-all', []);
      await json('status', ['.']);
      await json('audit-all', ['.']);
      await json('process-all', ['--dry-run']);
      await json('process-all', []);
      await json('process-all', ['--check']);
      await qrun(['job', '--config', 'jobs.toml', '--name', 'made@BigName=1'], {
        cwd: root,
        env: daemon.env,
      });
      await json('process-all', ['--check']);
      await json('autoscale', ['--dry-run']);
      await json('prune', []);
      await json('prune', ['--remove', '--all']);
      for (const file of [
        'events.ndjson',
        'results/u@BigName=1.ndjson.runs',
        'results/made@BigName=1.runs',
      ]) {
        for (const one of records(readFileSync(join(root, file)))) seen.push([file, one]);
      }
      const report = 'results/json.audit.json';
      seen.push([report, JSON.parse(readFileSync(join(root, report), 'utf8'))]);
      const bad = seen.flatMap(([from, value]) =>
        keyPaths(value)
          .filter(path => !/^[a-z][a-z\d]*(_[a-z\d]+)*$/.test(path.split('.').at(-1) ?? ''))
          .map(path => `${from}: ${path}`),
      );
      expect([...new Set(bad)]).toEqual([]);
    });

    it('was looked at: each command that has --json', () => {
      const program = createProgram(openTerminal(process), () => {});
      const withJson = program.commands.filter(one => one.options.some(({ long }) => long === '--json'));
      expect([...covered].sort()).toEqual(withJson.map(one => one.name()).sort());
    });

    it.each([
      'config',
      'unit',
      'plan',
      'audit',
      'status',
      'process-all --check',
      'doctor',
      'autoscale',
      'run_ended',
    ])('has the same keys whatever is known: %s', what => {
      const objects = seen
        .filter(
          ([from, value]) =>
            `${from} `.startsWith(`qrun ${what} `) || (value as { type?: string }).type === what,
        )
        .map(([, value]) => value);
      expect(objects.length).toBeGreaterThan(0);
      const [first, ...others] = objects;
      for (const other of others) expect(topKeys(other)).toEqual(topKeys(first));
      // In lists of objects too.
      for (const list of objects.flatMap(one => Object.values(one as object).filter(Array.isArray))) {
        const inner = list.filter(one => typeof one === 'object' && one !== null);
        for (const one of inner) expect(topKeys(one)).toEqual(topKeys(inner[0]));
      }
    });
  },
);
