import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ROOT, requireBuild } from '../built.js';
import {
  endAll,
  put,
  qrun,
  records,
  removeTree,
  type Start,
  startQrun,
  tree,
  watchQrun,
} from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { systemdUserAvailable, WITH_SYSTEMD_USER } from './systemd-user.js';

vi.setConfig({ testTimeout: 180_000 });

const M = 1024 ** 2;
const started = (event: { readonly type: string }): boolean => event.type === 'query_started';
// Takes about 1.5 GB.
const HOG = 'SELECT length(groupArray(number)) AS n FROM numbers(100000000)';
const CAP = '700M';

describe.skipIf(!systemdUserAvailable() && !servicesRequired())(
  'a memory cap, by a real systemd --user',
  () => {
    let root = '';
    const at = (): Start => ({ cwd: root, prefix: WITH_SYSTEMD_USER });
    beforeEach(() => {
      root = tree({});
    });
    afterEach(() => {
      endAll();
      removeTree(root);
    });

    /** Runs commands under a cap of 100 MB, with one user manager for all, and a look at it at the end. */
    async function capped(...commands: readonly (readonly string[])[]) {
      requireBuild();
      const requests = commands.map(([command, ...args]) => ({ command, args, memoryMaxBytes: 100 * M }));
      const script = join(ROOT, 'test', 'services', 'run-capped.mjs');
      // The manager forgets a scope when its last process has ended.
      const left =
        'for n in $(seq 200); do left=$(systemctl --user list-units --all --no-legend "qrun-*"); [ -z "$left" ] && break; sleep 0.05; done; echo "$left"';
      const { stdout } = await execa(
        WITH_SYSTEMD_USER[0],
        [
          'bash',
          '-c',
          `"$@"; echo left; ${left}`,
          'bash',
          process.execPath,
          script,
          JSON.stringify(requests),
        ],
        // A command whose scope never ends must not outlive the test.
        { stderr: 'ignore', timeout: 120_000 },
      );
      const [before = '', after = ''] = stdout.split('left\n');
      const lines = before.split('\n').filter(Boolean);
      return {
        ends: lines
          .filter(line => line.startsWith('end '))
          .map(line => JSON.parse(line.slice(4)) as Record<string, unknown>),
        output: lines.filter(line => !line.startsWith('end ')),
        left: after.trim(),
      };
    }

    const eat = (megabytes: number) =>
      `const b = Buffer.alloc(${megabytes} * 1024 * 1024, 1); process.exit(b[0] + 2)`;
    const node = (script: string) => [process.execPath, '-e', script];

    it('leaves a run the pipe on which its worker is alive', async () => {
      requireBuild();
      const slow = 'SELECT sleepEachRow(0.2) AS s FROM numbers(5) SETTINGS max_block_size = 1';
      for (const name of ['a', 'b', 'c', 'd', 'e']) put(root, `u/${name}.sql`, slow);
      const worker = '{ echo alive; until grep -qs query_started events; do sleep 0.1; done; }';
      const run = `'${process.execPath}' '${ROOT}bin/qrun.cjs' unit u -P1 --quiet --events events --memory-max 2G --alive-fd 0`;
      const script = `${worker} | ${run}`;
      const { exitCode, stderr } = await execa(WITH_SYSTEMD_USER[0], ['bash', '-c', script], {
        cwd: root,
        reject: false,
        timeout: 120_000,
      });
      expect(stderr).toContain('the worker is gone (the pipe of --alive-fd has ended)');
      expect(stderr).not.toContain('without its memory cap');
      expect(exitCode).toBe(143);
    });

    it('kills what exceeds it, tells that from other ends, and leaves nothing behind', async () => {
      const { ends, left } = await capped(
        node(eat(400)),
        node(eat(10)),
        ['sh', '-c', `"$0" -e '${eat(400)}'; exit $?`, process.execPath],
        ['sh', '-c', 'kill -9 $$'],
        ['sh', '-c', 'kill -TERM $$'],
        ['no-such-program'],
      );
      const common = { capped: true, uncapped: [] };
      expect(ends).toEqual([
        { ...common, exitCode: null, signal: 'SIGKILL', killedAtCap: true, shell: 137 },
        { ...common, exitCode: 3, signal: null, killedAtCap: false, shell: 3 },
        { ...common, exitCode: 137, signal: null, killedAtCap: true, shell: 137 },
        { ...common, exitCode: null, signal: 'SIGKILL', killedAtCap: false, shell: 137 },
        { ...common, exitCode: null, signal: 'SIGTERM', killedAtCap: false, shell: 143 },
        { ...common, exitCode: 127, signal: null, killedAtCap: false, shell: 127 },
      ]);
      expect(left).toBe('');
    });

    it('never goes without the cap on swap, and hands over nothing but the standard streams', async () => {
      const { output } = await capped([
        'sh',
        '-c',
        `unit=$(sed -n 's/.*\\(qrun-[^/]*scope\\).*/\\1/p' /proc/self/cgroup | head -1)
       systemctl --user show "$unit" -p MemoryMax -p MemorySwapMax | sort
       [ -e /proc/self/fd/3 ] && echo fd 3
       [ "$(ps -o pgid= -p $$)" = "$(ps -o pgid= -p $PPID)" ] && echo same group
       echo '$HOME' "$HOME" "$0" "$1"`,
        'one $HOME',
        'two  "',
      ]);
      expect(output).toEqual([
        `MemoryMax=${100 * M}`,
        'MemorySwapMax=0',
        'same group',
        `$HOME ${process.env.HOME} one $HOME two  "`,
      ]);
    });

    it('of a unit: it dies with 137, is told why, and the same command does the rest', async () => {
      put(root, 'u/a.sql', 'SELECT 1 AS n');
      put(root, 'u/b.sql', HOG);
      const dead = await qrun(['unit', 'u', '-P1', '--memory-max', CAP], at());
      expect(dead, dead.stderr).toMatchObject({ code: 137, stdout: '' });
      expect(dead.stderr).toContain(
        `\nqrun: killed at its memory cap of ${CAP} (137)\nhint: raise --memory-max`,
      );
      const log = join(root, 'results/u.ndjson');
      expect(records(readFileSync(log)).map(({ query }) => query)).toEqual(['a']);

      put(root, 'u/b.sql', 'SELECT 2 AS n');
      const alive = await qrun(['unit', 'u', '-P1', '--memory-max', CAP], at());
      expect(alive, alive.stderr).toMatchObject({ code: 0 });
      expect(alive.stdout).toContain('all 2 queries are settled');
      expect(alive.stderr).not.toContain('cap');
      expect(records(readFileSync(log)).map(({ query }) => query)).toEqual(['a', 'b']);
    });

    it('of a unit, from qrun.toml', async () => {
      put(root, 'qrun.toml', 'memory_max = "63M"');
      put(root, 'u/a.sql', 'SELECT 1 AS n');
      const small = await qrun(['unit', 'u'], at());
      expect(small).toMatchObject({ code: 2 });
      expect(small.stderr).toContain('memory_max: must be a size of at least 64M');
      put(root, 'qrun.toml', `memory_max = "${CAP}"`);
      put(root, 'u/a.sql', HOG);
      const dead = await qrun(['unit', 'u'], at());
      expect(dead, dead.stderr).toMatchObject({ code: 137 });
    });

    it('passes signals on, once, whoever else has had them', async () => {
      for (const name of ['a', 'b', 'c']) put(root, `u/${name}.sql`, 'SELECT sleep(1) AS n');
      // A session of its own, so that the group can be signalled as a terminal does it.
      const group = async (to: 'supervisor' | 'group', signal: NodeJS.Signals) => {
        const log = `results-${to}/u.ndjson`;
        const run = watchQrun(['unit', 'u', '-P1', '--memory-max', '2G', '--log-dir', `results-${to}`], {
          cwd: root,
          prefix: [...WITH_SYSTEMD_USER, 'setsid'],
        });
        await run.event(started);
        const [start] = records(readFileSync(join(root, `${log}.runs`)));
        const { stdout } = await execa('ps', ['-o', 'ppid=,pgid=', '-p', String(start?.pid)]);
        const [supervisor = 0, pgid = 0] = stdout.trim().split(/\s+/).map(Number);
        expect(supervisor).toBe(pgid);
        process.kill(to === 'group' ? -pgid : supervisor, signal);
        const end = await run.end();
        expect(run.events.filter(({ type }) => type === 'stopping').map(({ how }) => how)).toEqual(['drain']);
        // What ran was finished and recorded, and nothing was begun.
        expect(records(readFileSync(join(root, log))).map(({ outcome }) => outcome)).toEqual(['normal']);
        return end;
      };
      expect(await group('supervisor', 'SIGTERM')).toMatchObject({ code: 143 });
      expect(await group('group', 'SIGINT')).toMatchObject({ code: 130 });
    });

    it('tells of a kill -9 by somebody else as that', async () => {
      put(root, 'u/a.sql', 'SELECT sleep(3) AS n');
      const run = watchQrun(['unit', 'u', '--memory-max', '2G'], at());
      await run.event(started);
      const [start] = records(readFileSync(join(root, 'results/u.ndjson.runs')));
      process.kill(start?.pid as number, 'SIGKILL');
      const end = await run.end();
      expect(end).toMatchObject({ code: 137, stdout: '' });
      expect(end.stderr).toContain('\nqrun: killed by SIGKILL (137)\nhint: by kill -9');
    });
  },
);

describe('a memory cap without systemd', () => {
  let root = '';
  beforeEach(() => {
    root = tree({ 'u/a.sql': 'SELECT 1 AS n', 'bin/none': '' });
  });
  afterEach(() => {
    endAll();
    removeTree(root);
  });

  it.each([
    ['there is no systemd-run', { PATH: 'bin' }, /there is no systemd-run in PATH \(ENOENT\)/],
    ['it is no systemd-run', { PATH: 'odd' }, /systemd-run --version fails/],
    [
      'no user manager answers',
      { PATH: 'fails' },
      /systemd-run --user --scope fails: Failed to connect to bus/,
    ],
  ])('is left out when %s, and that is said once', async (_title, { PATH }, reason) => {
    put(root, 'odd/systemd-run', '#!/bin/sh\nexit 1\n');
    put(
      root,
      'fails/systemd-run',
      '#!/bin/sh\ncase $1 in --version) echo "systemd 252 (252)";; *) echo "Failed to connect to bus" >&2; exit 1;; esac\n',
    );
    await execa('chmod', ['755', join(root, 'odd/systemd-run'), join(root, 'fails/systemd-run')]);
    // The only program beside systemd-run that the embedded engine starts.
    const { stdout: mkfifo } = await execa('sh', ['-c', 'command -v mkfifo']);
    symlinkSync(mkfifo, join(root, PATH, 'mkfifo'));
    const env = { PATH: join(root, PATH) };
    const end = await startQrun(['unit', 'u', '--memory-max', '2G'], { cwd: root, env });
    expect(end.exitCode, end.stderr).toBe(0);
    const said = end.stderr.split('\n').filter(line => line.includes('memory cap'));
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^qrun: runs without its memory cap of 2G: /);
    expect(said[0]).toMatch(reason);
  });

  it('is not tried by commands that run nothing', async () => {
    const env = { PATH: join(root, 'bin') };
    const end = await qrun(['unit', 'u', '--dry-run', '--memory-max', '2G'], { cwd: root, env });
    expect(end).toMatchObject({ code: 0, stderr: '' });
  });
});
