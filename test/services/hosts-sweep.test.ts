import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { SweepAudit } from '../../src/core/sweep/audit.js';
import type { Sweep } from '../../src/index.js';
import type { SubmissionReport } from '../../src/local/sweep/submit.js';
import { ROOT } from '../built.js';
import { type Ended, put, qrun, records, slowness, startQrun, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from './clickhouse-server.js';
import { pueueAvailable } from './pueue-daemon.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';
import { quick, slow, until } from './sweep-harness.js';

const available = sshHostsAvailable() && pueueAvailable() && clickHouseServerAvailable();
const LONG_MS = 240_000;

let all: SshHosts;
let alpha: SshHost;
let beta: SshHost;
let server: ClickHouseServer;
let count = 0;

beforeAll(async () => {
  if (!available) return;
  all = await startSshHosts('alpha', 'beta');
  [alpha, beta] = all.hosts as [SshHost, SshHost];
  server = await startClickHouseServer({ alsoAt: alpha.gateway });
}, 60_000);
afterEach(() => {
  for (const host of all?.hosts ?? []) host.link('up');
});
afterAll(async () => {
  await all?.stop();
  await server?.stop();
});

interface HostTask {
  readonly label: string;
  readonly status: string | Readonly<Record<string, unknown>>;
}

/** A sweep here and on both hosts, each with a directory of its own; its SQL runs on the server. */
class HostsSweep {
  readonly name: string;
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;

  constructor(
    files: Readonly<Record<string, string>>,
    { toml, hosts }: { toml?: string; hosts?: string } = {},
  ) {
    count += 1;
    this.name = `s${process.pid}n${count}`;
    this.root = realpathSync(tree(files));
    this.env = { ...all.env, QRUN_TRUST: this.root };
    const url = `url = "http://${alpha.gateway}:${server.port}"\nuser = "${server.second.user}"\n`;
    put(
      this.root,
      'qrun.toml',
      `${toml ?? url}\n[sweep]\nname = "${this.name}"\n\n${hosts ?? all.toml(host => this.rootOn(host))}`,
    );
    put(this.root, '.env', `CLICKHOUSE_PASSWORD=\`${server.second.password}\`\n`);
    this.push();
  }

  rootOn(host: SshHost): string {
    return join(host.directory, this.name);
  }

  push(): void {
    const filter = (path: string): boolean => !/\/(results|\.qrun)$/.test(path);
    for (const host of all.hosts) cpSync(this.root, this.rootOn(host), { recursive: true, filter });
  }

  async qrun(...args: string[]): Promise<Ended> {
    return await qrun(args, { cwd: this.root, env: this.env });
  }

  async submitted(...args: string[]): Promise<SubmissionReport & Ended> {
    const ended = await this.qrun('submit-all', '.', '--json', ...args);
    if (ended.code !== 0) throw new Error(`submit-all: ${ended.code}\n${ended.stderr}`);
    const report = JSON.parse(ended.stdout) as SubmissionReport;
    expect(faultsOf('submit-all', report)).toBe('');
    return { ...report, ...ended };
  }

  async audit(...args: string[]): Promise<SweepAudit & Ended> {
    const ended = await this.qrun('audit-all', '.', '--json', ...args);
    return { ...(JSON.parse(ended.stdout) as SweepAudit), ...ended };
  }

  /** What the queue of a host has of it, by unit. */
  async tasks(host: SshHost): Promise<Map<string, HostTask>> {
    const { tasks } = JSON.parse(await host.here('pueue', 'status', '--json')) as {
      tasks: Record<string, HostTask>;
    };
    const start = `qrun:${this.name}:`;
    const mine = Object.values(tasks).filter(({ label }) => label?.startsWith(start));
    return new Map(mine.map(task => [task.label.slice(start.length), task]));
  }

  async runs(host: SshHost, unit: string): Promise<void> {
    await until(`${unit} to run on ${host.name}`, async () => {
      const status = (await this.tasks(host)).get(unit)?.status;
      return typeof status === 'object' && 'Running' in status ? true : undefined;
    });
  }

  logOn(root: string, unit: string): string {
    const path = join(root, 'results', `${unit.replaceAll('/', '__')}.ndjson`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }
}

const units = (...names: string[]): Record<string, string> =>
  Object.assign({}, ...names.map(name => quick(name, 3)));
const on = (report: SubmissionReport, host: string): readonly string[] =>
  report.hosts?.find(({ name }) => name === host)?.submitted ?? [];

describe.skipIf(!available)('a sweep over two real hosts', { timeout: LONG_MS }, () => {
  it(
    'runs each unit on one of them, once, however often it is submitted, and is complete here',
    async () => {
      const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map(name => `u/${name}`);
      const sweep = new HostsSweep(units(...names));
      const first = await sweep.submitted();
      expect(first.stderr).toBe('');
      expect(first.submitted).toEqual(names);
      expect(first).toMatchObject({ queued: [], running: [], complete: [], audit: 'by hand', slots: 2 });
      expect([...on(first, 'alpha'), ...on(first, 'beta')].sort()).toEqual(names);
      expect(on(first, 'alpha').length).toBeGreaterThan(0);
      expect(on(first, 'beta').length).toBeGreaterThan(0);

      const again = await sweep.submitted();
      expect(again.submitted).toEqual([]);
      expect([...again.queued, ...again.running, ...again.complete].sort()).toEqual(names);

      const done = join(sweep.root, 'done');
      const audit = await sweep.audit('--when-ended', '--then', `echo x >> ${done}`);
      expect([audit.code, audit.verdict]).toEqual([0, 'complete']);
      expect(readFileSync(done, 'utf8')).toBe('x\n');
      for (const host of all.hosts) {
        expect([...(await sweep.tasks(host)).keys()].sort()).toEqual([...on(first, host.name)].sort());
      }
      for (const unit of names) {
        const copies = [sweep.root, ...all.hosts.map(host => sweep.rootOn(host))].map(root =>
          sweep.logOn(root, unit),
        );
        expect(records(copies[0] ?? '')).toHaveLength(3);
        expect(copies.filter(log => log !== '')).toHaveLength(2);
      }
      const last = await sweep.submitted();
      expect(last).toMatchObject({ submitted: [], complete: names, audit: 'not due' });
    },
    LONG_MS,
  );

  it('places units by a dry run as it submits them, and a dry run adds nothing', async () => {
    const sweep = new HostsSweep(units('a', 'b', 'c', 'd', 'e'));
    const dry = await sweep.submitted('--dry-run');
    for (const host of all.hosts) expect(await sweep.tasks(host)).toEqual(new Map());
    const { stdout } = await sweep.qrun('submit-all', '.', '--dry-run');
    expect(stdout).toMatch(/\n {2}host +to submit {2}queries due/);
    const real = await sweep.submitted('--parallel', '3');
    expect(real.hosts?.map(({ submitted }) => submitted)).toEqual(
      dry.hosts?.map(({ submitted }) => submitted),
    );
    expect(real.slots).toBe(6);
  });

  it('takes the units of a host that is gone to the others, and says so; without any, nothing is submitted', async () => {
    const sweep = new HostsSweep(units('a', 'b', 'c', 'd', 'e'));
    beta.link('down');
    const report = await sweep.submitted();
    expect(report.stderr).toMatch(/beta is left out: .*(timed out|No route).*ssh beta/);
    expect(on(report, 'alpha')).toHaveLength(5);
    expect(report.hosts?.[1]).toMatchObject({
      problem: { code: 'HOST_UNREACHABLE' },
      submitted: [],
      not_submitted: [],
    });
    alpha.link('down');
    const { code, stdout, stderr } = await sweep.qrun('submit-all', '.');
    expect([code, stdout]).toEqual([26, '']);
    expect(stderr).toMatch(/no host can be used/);
  });

  it('submits to the named hosts alone, and leaves what others have where it is', async () => {
    const sweep = new HostsSweep({ ...slow('a', 30), ...slow('b', 30), ...slow('c', 30) });
    const first = await sweep.submitted(
      '--host',
      'beta',
      '--include',
      'a',
      '--include',
      'b',
      '--concurrency',
      '1',
    );
    expect(on(first, 'beta')).toEqual(['a', 'b']);
    const second = await sweep.submitted('--host', 'alpha', '--concurrency', '1');
    expect(on(second, 'alpha')).toEqual(['c']);
    expect([...second.queued, ...second.running].sort()).toEqual(['a', 'b']);
    const { code, stderr } = await sweep.qrun('submit-all', '.', '--host', 'gamma');
    expect([code, stderr]).toEqual([2, expect.stringContaining('there is no host gamma')]);
  });

  it('refuses units that are not the same on their host, before anything is submitted', async () => {
    const sweep = new HostsSweep(units('a', 'b', 'c', 'd', 'e'));
    const { hosts } = await sweep.submitted('--dry-run');
    const [changed = '', gone = ''] = hosts?.[1]?.submitted ?? [];
    put(sweep.rootOn(beta), `${changed}/q1.sql`, 'SELECT 5 AS n;\n');
    rmSync(join(sweep.rootOn(beta), gone), { recursive: true });
    const refused = await sweep.qrun('submit-all', '.');
    expect([refused.code, refused.stdout]).toEqual([2, '']);
    expect(refused.stderr).toContain('nothing was submitted');
    expect(refused.stderr).toContain(`beta: 1 unit is not there: ${gone}`);
    expect(refused.stderr).toContain(`beta: 1 unit is not the same there as here: ${changed}`);
    expect(refused.stderr).toContain('qrun hosts push');
    for (const host of all.hosts) expect(await sweep.tasks(host)).toEqual(new Map());
    sweep.push();
    expect((await sweep.submitted()).submitted).toHaveLength(5);
  });

  it('refuses a host without the tree, with another database, or without the password', async () => {
    const sweep = new HostsSweep(units('a', 'b', 'c', 'd'));
    const root = sweep.rootOn(beta);
    const said = async (): Promise<string> => {
      const { code, stdout, stderr } = await sweep.qrun('submit-all', '.');
      expect([code, stdout]).toEqual([2, '']);
      return stderr;
    };
    writeFileSync(
      join(root, '.env'),
      `CLICKHOUSE_PASSWORD=\`${server.second.password}\`\nCLICKHOUSE_DATABASE=system\n`,
    );
    expect(await said()).toMatch(/beta: what decides the results is not the same there as here: database/);
    rmSync(join(root, '.env'));
    const without = await sweep.qrun('submit-all', '.', '--dry-run');
    expect(without.stderr).toMatch(/beta is left out: .*[Aa]uthentication|password/);
    rmSync(root, { recursive: true });
    expect(await said()).toMatch(
      /beta: there is no directory [^\n]*\nhint: send the files: qrun hosts push\n/,
    );
  });

  it('leaves out a host with another qrun, and says how to mend that', async () => {
    const other = join(beta.directory, 'other-qrun');
    writeFileSync(
      other,
      `#!/bin/sh\nread -r order\necho '{"version":"0.0.9","refusal":{"code":"USAGE","says":"x","details":[],"hint":null}}'\n`,
    );
    chmodSync(other, 0o755);
    const sweep: HostsSweep = new HostsSweep(units('a', 'b', 'c'), {
      hosts: all.hosts
        .map(host => {
          const words = host === beta ? [other] : [process.execPath, join(ROOT, 'bin/qrun.cjs')];
          return `[[hosts]]\nname = "${host.name}"\nroot = "/tmp/none"\nqrun = ${JSON.stringify(words)}\n`;
        })
        .join(''),
    });
    put(
      sweep.root,
      'qrun.toml',
      readFileSync(join(sweep.root, 'qrun.toml'), 'utf8').replace(
        /root = "\/tmp\/none"/,
        `root = "${sweep.rootOn(alpha)}"`,
      ),
    );
    sweep.push();
    const report = await sweep.submitted();
    expect(report.stderr).toMatch(/beta is left out: it has qrun 0\.0\.9.*qrun hosts deploy --host beta/);
    expect(on(report, 'alpha')).toEqual(['a', 'b', 'c']);
  });

  it('submits 220 units to two hosts within two seconds', async () => {
    const names = Array.from({ length: 220 }, (_, n) => `u/${String(n).padStart(3, '0')}`);
    const sweep = new HostsSweep(Object.assign({}, ...names.map(name => quick(name, 10))));
    // Units that ran meanwhile would do so on this machine.
    for (const host of all.hosts) {
      await host.here('pueue', 'group', 'add', `qrun-${sweep.name}`);
      await host.here('pueue', 'pause', '--group', `qrun-${sweep.name}`);
    }
    const report = await sweep.submitted();
    expect(report.submitted).toEqual(names);
    expect(report.stdout).toContain('"group_paused":true');
    const again = await sweep.submitted();
    expect(again.queued).toEqual(names);
    expect(report.durationMs).toBeLessThan(2_000 * (await slowness()));
  });

  it('leaves out a host whose queue is down, but not what still runs there', async () => {
    const sweep = new HostsSweep({ ...slow('a', 8), ...units('b', 'c', 'd') });
    await sweep.submitted('--include', 'a', '--host', 'beta', '--concurrency', '1');
    await sweep.runs(beta, 'a');
    await until('its lease', () => (sweep.logOn(sweep.rootOn(beta), 'a') === '' ? undefined : true));
    await beta.killQueue();
    try {
      const report = await sweep.submitted();
      expect(report.stderr).toMatch(/beta is left out: no pueue daemon answers.*pueued -d/);
      expect(report).toMatchObject({ submitted: ['b', 'c', 'd'], elsewhere: ['a'], running: [] });
      expect(on(report, 'alpha')).toEqual(['b', 'c', 'd']);
    } finally {
      await beta.startQueue();
    }
  });

  it('refuses --then, and says what to do instead', async () => {
    const sweep = new HostsSweep(units('a'));
    const { code, stderr } = await sweep.qrun('submit-all', '.', '--then', 'true');
    expect(code).toBe(2);
    expect(stderr).toContain('qrun audit-all --when-ended --then COMMAND');
  });

  it('adds each unit once when two submit at the same time', async () => {
    const sweep = new HostsSweep({ ...slow('a', 30), ...slow('b', 30), ...slow('c', 30), ...slow('d', 30) });
    await Promise.all([sweep.submitted('--concurrency', '1'), sweep.submitted('--concurrency', '1')]);
    const labels: string[] = [];
    for (const host of all.hosts) {
      const state = JSON.parse(await host.here('pueue', 'status', '--json')) as {
        tasks: Record<string, HostTask>;
      };
      labels.push(
        ...Object.values(state.tasks)
          .map(({ label }) => label)
          .filter(label => label?.startsWith(`qrun:${sweep.name}:`)),
      );
    }
    expect(labels.sort()).toEqual(['a', 'b', 'c', 'd'].map(unit => `qrun:${sweep.name}:${unit}`));
  });

  it(
    'is complete, with nothing twice, after a host was cut off in mid-unit and its units ran elsewhere meanwhile',
    async () => {
      const sweep = new HostsSweep({ ...slow('a', 4), ...slow('b', 4), ...slow('c', 4), ...slow('d', 4) });
      const first = await sweep.submitted('--concurrency', '1');
      const [cut = ''] = on(first, 'beta');
      await sweep.runs(beta, cut);
      await until('a result there', () => (sweep.logOn(sweep.rootOn(beta), cut) === '' ? undefined : true));
      beta.link('down');
      const second = await sweep.submitted('--concurrency', '1');
      expect(on(second, 'alpha')).toEqual(on(first, 'beta'));
      const waiting = sweep.audit('--when-ended');
      await until(
        'both to have run it',
        () => {
          const logs = all.hosts.map(host => records(sweep.logOn(sweep.rootOn(host), cut)).length);
          return logs.every(lines => lines === 4) ? true : undefined;
        },
        LONG_MS,
      );
      beta.link('up');
      const audit = await waiting;
      expect([audit.code, audit.verdict]).toEqual([0, 'complete']);
      expect(records(sweep.logOn(sweep.root, cut))).toHaveLength(4);
      // Whatever comes late is dropped.
      const late = await sweep.audit();
      expect([late.code, late.verdict]).toEqual([0, 'complete']);
      expect(records(sweep.logOn(sweep.root, cut))).toHaveLength(4);
      expect(late.stderr).toBe('');
    },
    LONG_MS,
  );

  it('judges what is here when a host is away, and says that it is', async () => {
    const sweep = new HostsSweep(units('a', 'b', 'c', 'd', 'e', 'f'));
    const report = await sweep.submitted();
    await until('the end of all', async () => {
      const tasks = await Promise.all(all.hosts.map(host => sweep.tasks(host)));
      const states = tasks.flatMap(of => [...of.values()].map(({ status }) => status));
      return states.every(status => typeof status === 'object' && 'Done' in status) ? true : undefined;
    });
    beta.link('down');
    const audit = await sweep.audit();
    expect([audit.code, audit.verdict]).toEqual([21, 'incomplete']);
    expect(audit.stderr).toMatch(/what beta has recorded was not collected/);
    const missing = audit.units.filter(({ verdict }) => verdict !== 'complete').map(({ unit }) => unit);
    expect(missing).toEqual(on(report, 'beta'));
    beta.link('up');
    expect((await sweep.audit()).code).toBe(0);
    const here = await sweep.qrun('audit-all', '.', '--here');
    expect(here.code).toBe(0);
  });

  it('stops waiting at once at Ctrl-C, and leaves no connection behind', async () => {
    const sweep = new HostsSweep(slow('a', 10));
    await sweep.submitted('--concurrency', '1');
    // Of its own, because other tests have connections too.
    const own = mkdtempSync(join(tmpdir(), 'qa-'));
    const env = { ...sweep.env, TMPDIR: own };
    const waiting = startQrun(['audit-all', '.', '--when-ended'], { cwd: sweep.root, env });
    let told = '';
    waiting.stderr?.on('data', chunk => {
      told += chunk;
    });
    await until('it to wait', () =>
      told.includes('waiting for 1 of the sweep to end: a') ? true : undefined,
    );
    const sinceMs = performance.now();
    waiting.kill('SIGINT');
    const { exitCode } = await waiting;
    expect(exitCode).toBe(130);
    expect(performance.now() - sinceMs).toBeLessThan(1_500 * (await slowness()));
    expect(readdirSync(own).filter(name => name.startsWith('qrun-ssh-'))).toEqual([]);
  });

  it('is submitted and audited by the library, too', async () => {
    const sweep = new HostsSweep(units('a', 'b', 'c', 'd'));
    const { openSweep } = (await import(`${ROOT}dist/index.js`)) as typeof import('../../src/index.js');
    const opened: Sweep = openSweep(sweep.root, { trust: true, env: sweep.env });
    const report = await opened.submit();
    expect(report.hosts?.map(({ name }) => name)).toEqual(['alpha', 'beta']);
    expect(report.submitted).toEqual(['a', 'b', 'c', 'd']);
    await until('a complete audit', async () =>
      (await opened.audit()).verdict === 'complete' ? true : undefined,
    );
    expect(faultsOf('submit-all', await opened.submit())).toBe('');
  });

  it(
    'runs a part of the sample on the embedded engine, as one host does',
    async () => {
      const sweep = new HostsSweep({}, { toml: 'concurrency = 2' });
      // A part of it: each task starts an engine, and scripts/scale-transcript.mjs runs all of it.
      const isOfPart = (path: string): boolean => !/\/(?!2down)[^/_]+\/[A-Z]+_\d+/.test(path);
      cpSync(join(ROOT, 'sql'), join(sweep.root, 'sql'), { recursive: true, filter: isOfPart });
      sweep.push();
      expect((await sweep.submitted()).submitted).toHaveLength(4);
      const { code, stdout } = await sweep.qrun('audit-all', '.', '--when-ended');
      expect(stdout).toContain('60 = 20 x 3 + 0 x 1');
      expect(code).toBe(0);
    },
    2 * LONG_MS,
  );
});
