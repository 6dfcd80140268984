import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { builtQrun, ROOT } from '../built.js';
import { tree } from '../integration/qrun.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from './clickhouse-server.js';
import { misePath } from './mise.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';
import { until } from './sweep-harness.js';

const MISE = misePath();
const AVAILABLE =
  MISE !== undefined &&
  pueueAvailable() &&
  clickHouseServerAvailable() &&
  process.env.QRUN_TEST_URL === undefined;

describe.skipIf(!AVAILABLE && !servicesRequired())(
  'the tasks of mise.toml, by the real mise, without a network',
  () => {
    let server: ClickHouseServer;
    let daemon: PueueDaemon;
    let root: string;
    beforeAll(async () => {
      [server, daemon] = await Promise.all([startClickHouseServer(), startPueueDaemon()]);
      root = tree({ 'home/.keep': '', 'node_modules/.bin/.keep': '' });
      mkdirSync(join(root, 'work'));
      for (const name of ['mise.toml', 'sql'])
        cpSync(join(ROOT, name), join(root, 'work', name), { recursive: true });
      mkdirSync(join(root, 'work', 'node_modules', '.bin'), { recursive: true });
      symlinkSync(builtQrun(), join(root, 'work', 'node_modules', '.bin', 'qrun'));
    });
    afterAll(async () => {
      await daemon.stop();
      await server.stop();
    });

    async function task(
      ...args: string[]
    ): Promise<{ code: number | undefined; stdout: string; stderr: string }> {
      const { exitCode, stdout, stderr } = await execa(MISE as string, ['run', '--quiet', ...args], {
        cwd: join(root, 'work'),
        env: {
          ...daemon.env,
          HOME: join(root, 'home'),
          CLICKHOUSE_URL: server.url,
          MISE_TRUSTED_CONFIG_PATHS: root,
          MISE_OFFLINE: '1',
          // Node is here; mise must not fetch its own.
          MISE_TASK_RUN_AUTO_INSTALL: '0',
        },
        extendEnv: false,
        reject: false,
        stdin: 'ignore',
      });
      return { code: exitCode, stdout, stderr };
    }

    it('submit the sample sweep, watch it to its end, and prove that it is complete', async () => {
      const before = await task('jobs:audit');
      expect(before.code, before.stderr).toBe(21);
      const submitted = await task('jobs:submit-all', '--setup', '--parallel', '2', '--json');
      expect(submitted.code, submitted.stderr).toBe(0);
      expect(JSON.parse(submitted.stdout)).toMatchObject({ sweep: 'work', audit: 'submitted', slots: 2 });
      expect((JSON.parse(submitted.stdout) as { submitted: string[] }).submitted).toHaveLength(20);
      const watched = await task('jobs:status', '--watch', '--interval', '200ms');
      expect(watched.code, watched.stderr).toBe(0);
      expect(watched.stdout).toContain('20 units: 20 complete');
      expect(watched.stdout).toContain('100 of 100 queries   290 of 290 lines');
      const audit = await task('jobs:audit');
      expect(audit.code, audit.stdout + audit.stderr).toBe(0);
      expect(audit.stdout).toContain('290 = 95 x 3 + 5 x 1 + 0 x 1');
      const again = await task('jobs:submit-all', '--json');
      expect(JSON.parse(again.stdout)).toMatchObject({ submitted: [], audit: 'not due' });
    }, 120_000);

    it('pass the defaults of [env] on to the jobs, in their configuration and not in their environment', async () => {
      const { groups, tasks } = JSON.parse(await daemon.pueue('status', '--json')) as {
        groups: Record<string, { parallel_tasks: number }>;
        tasks: Record<string, { envs: Record<string, string>; command: string }>;
      };
      expect(groups['qrun-work']?.parallel_tasks).toBe(2);
      const unit = Object.values(tasks).find(({ command }) => command.includes(' unit '));
      expect(
        Object.keys(unit?.envs ?? {}).filter(name => /^(QRUN|CLICKHOUSE|MISE|__MISE)/.test(name)),
      ).toEqual([]);
      const config = /--config=(\S+)/.exec(unit?.command ?? '')?.[1] as string;
      expect(JSON.parse(readFileSync(config, 'utf8'))).toMatchObject({
        values: { concurrency: '16', rows_per_query: '3', url: server.url },
      });
    });

    it('adjust the slots, and stop when they are told to', async () => {
      const loop = execa(
        MISE as string,
        ['run', '--quiet', 'jobs:autoscale-loop', '--dry-run', '--interval', '1s'],
        {
          cwd: join(root, 'work'),
          env: {
            ...daemon.env,
            HOME: join(root, 'home'),
            MISE_TRUSTED_CONFIG_PATHS: root,
            MISE_OFFLINE: '1',
            MISE_TASK_RUN_AUTO_INSTALL: '0',
          },
          extendEnv: false,
          reject: false,
          stdin: 'ignore',
        },
      );
      let printed = '';
      loop.stdout.on('data', chunk => {
        printed += chunk;
      });
      await until('a decision', () => (printed.includes('qrun-work') ? true : undefined));
      loop.kill('SIGTERM');
      await loop;
      expect(printed).toMatch(/qrun-work\s+2/);
    });

    it('submit process jobs', async () => {
      writeFileSync(
        join(root, 'work', 'jobs.toml'),
        'name = "demo"\ncommand = ["sh", "-c", "echo {n}"]\n[matrix]\nn = [1, 2]\n',
      );
      const { code, stdout, stderr } = await task('jobs:process-all', '--json');
      expect(code, stderr).toBe(0);
      expect((JSON.parse(stdout) as { submitted: string[] }).submitted).toHaveLength(2);
      await until('the jobs to be done', async () => {
        const { tasks } = await (await daemon.client()).state();
        const jobs = tasks.filter(({ label }) => label.startsWith('qrun-job:demo:'));
        return jobs.length > 0 && jobs.every(({ phase }) => phase === 'done') ? true : undefined;
      });
      expect(JSON.parse((await task('jobs:process-all', '--json')).stdout)).toMatchObject({ submitted: [] });
    });
  },
);
