import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeployedHost, HostsDeploy } from '../../src/core/hosts/deploy/deploy.js';
import { ROOT } from '../built.js';
import { put, qrun, records, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  startClickHouseServer,
} from './clickhouse-server.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';
import { until } from './sweep-harness.js';

const VERSION = (JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string }).version;
// As the host sees its home.
const PLACE = '/root/.qrun';

// Each deployment is a second of work, and several where the machine is busy.
const LIMIT_MS = 180_000;

describe.skipIf(!sshHostsAvailable())('qrun hosts deploy, to two real hosts', { timeout: LIMIT_MS }, () => {
  let all: SshHosts;
  let root = '';
  const rootOf = (host: SshHost): string => join(host.directory, 'sweep');
  // As it is seen from here.
  const placeOf = (host: SshHost): string => join(host.directory, 'home', '.qrun');
  const hostNamed = (name: string): SshHost => all.hosts.find(host => host.name === name) as SshHost;
  const current = [process.execPath, `${PLACE}/current/bin/qrun.cjs`];

  beforeAll(async () => {
    all = await startSshHosts('alpha', 'beta');
    root = tree({ 'u/a.sql': 'SELECT 1 AS v', 'qrun.toml': all.toml(rootOf, '', current) });
  });
  afterAll(async () => {
    await all?.stop();
  });

  const WORDS = ['hosts', 'deploy', '.', '--trust'];
  // It is 540 MB: only one test sends it.
  const enginesOf = (args: readonly string[]): string[] =>
    args.includes('--with-chdb') ? [] : ['--without-chdb'];
  /** Deploys with the qrun in a directory. */
  const start = (from: string, args: readonly string[], at = root, env = all.env) =>
    execa(process.execPath, [join(from, 'bin', 'qrun.cjs'), ...WORDS, ...enginesOf(args), ...args], {
      cwd: at,
      env: { ...env },
      extendEnv: false,
      reject: false,
      forceKillAfterDelay: false,
    });

  async function deployed(
    args: readonly string[] = [],
    { from = ROOT, at = root }: { from?: string; at?: string } = {},
  ): Promise<HostsDeploy> {
    const { stdout, stderr, exitCode } = await start(from, ['--json', ...args], at);
    expect(stderr).toBe('');
    const report = JSON.parse(stdout as string) as HostsDeploy;
    expect(faultsOf('hosts-deploy', report)).toBe('');
    expect(report.exit_code).toBe(exitCode);
    return report;
  }

  /** Deploys to one host, as it is in this qrun.toml, and returns what became of it. */
  async function toOne(name: string, more: Record<string, unknown> = {}, from = ROOT): Promise<DeployedHost> {
    const lines = { name, root: rootOf(hostNamed(name)), qrun: current, ...more };
    const toml = Object.entries(lines).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
    const at = tree({ 'u/a.sql': 'SELECT 1', 'qrun.toml': `[[hosts]]\n${toml.join('')}` });
    return (await deployed([], { from, at })).hosts[0] as DeployedHost;
  }

  const statesOf = ({ steps }: DeployedHost): string[] => steps.map(({ step, state }) => `${step} ${state}`);
  const problemOf = ({ steps }: DeployedHost): DeployedHost['steps'][number] | undefined =>
    steps.find(({ state }) => state === 'problem');
  const DONE = ['audit', 'decide', 'upload', 'verify', 'switch', 'resubmit'].map(step => `${step} done`);
  const versionsOf = (host: SshHost): string[] => readdirSync(join(placeOf(host), 'versions')).sort();
  const linkOf = (host: SshHost): string => readlinkSync(join(placeOf(host), 'current'));

  /** Another version of qrun: this one, as an installed package, with another number in its package.json. */
  function copyOf(version: string, into = mkdtempSync(join(tmpdir(), 'qrun-copy-'))): string {
    for (const name of ['bin', 'dist', 'schema', 'sql', 'docs']) {
      cpSync(`${ROOT}${name}`, join(into, name), { recursive: true });
    }
    for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md', 'docker-compose.yml']) {
      cpSync(`${ROOT}${name}`, join(into, name));
    }
    const manifest = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as Record<string, unknown>;
    writeFileSync(
      join(into, 'package.json'),
      version === VERSION
        ? readFileSync(`${ROOT}package.json`)
        : `${JSON.stringify({ ...manifest, version }, null, 2)}\n`,
    );
    if (!existsSync(join(into, '..', 'commander')))
      symlinkSync(`${ROOT}node_modules`, join(into, 'node_modules'));
    return into;
  }

  it('connects to nothing that an untrusted tree names, and only looks with --dry-run', async () => {
    const before = hostNamed('alpha').logins();
    const { code, stderr } = await qrun(['hosts', 'deploy'], { cwd: root, env: { ...all.env } });
    expect([code, stderr]).toEqual([2, expect.stringMatching(/no host is connected to[\s\S]*qrun trust /)]);
    expect(hostNamed('alpha').logins()).toBe(before);
    const { hosts, next } = await deployed(['--dry-run']);
    expect(hosts.map(statesOf)).toEqual(all.hosts.map(() => ['audit done', 'decide done', 'upload would']));
    expect(next).toEqual([]);
    expect(existsSync(placeOf(hostNamed('alpha')))).toBe(false);
  });

  it('brings what runs here to each host, tries it there, and switches to it; again, it sends nothing', async () => {
    const { stdout, exitCode } = await start(ROOT, []);
    expect(stdout).toMatch(
      /^qrun \S+: [\d.]+M in [\d,]+ files, without chdb\n\n {2}audit +[✓+] alpha +Node [^\n]+; no qrun\n {12}[✓+] beta /,
    );
    expect(stdout).toMatch(/\n {2}switch +[✓+] alpha +\/root\/\.qrun\/current -> versions\/\S+\n/);
    expect(stdout).toMatch(/\n {2}deployed to 2 hosts\n {2}next: qrun submit-all /);
    expect(exitCode).toBe(0);
    for (const host of all.hosts) {
      const [only, ...others] = versionsOf(host);
      expect(others).toEqual([]);
      expect(linkOf(host)).toBe(`versions/${only}`);
      expect(only).toMatch(new RegExp(`^${VERSION}-[0-9a-f]{12}$`));
      // Whoever could write there would decide what runs.
      expect(lstatSync(placeOf(host)).mode & 0o777).toBe(0o700);
      expect(await host.here(process.execPath, `${PLACE}/current/bin/qrun.cjs`, '--version')).toBe(VERSION);
    }
    // Damage that somebody has done is mended, and nothing else is sent.
    const host = hostNamed('alpha');
    const damaged = join(placeOf(host), 'current', 'dist', 'cli', 'bundle', 'plan.js');
    rmSync(damaged);
    const again = await deployed();
    expect(again.hosts.map(statesOf)).toEqual([DONE, DONE]);
    expect(again.hosts[1]?.sent_bytes).toBeLessThan(400_000);
    expect(again.hosts[0]).toMatchObject({
      before: again.name,
      path: `${PLACE}/versions/${again.name}`,
      qrun: null,
    });
    expect(existsSync(damaged)).toBe(true);
  });

  it('is the same wherever npm has put the packages', async () => {
    const project = mkdtempSync(join(tmpdir(), 'qrun-hoisted-'));
    const modules = join(project, 'node_modules');
    mkdirSync(join(modules, 'qrun'), { recursive: true });
    for (const name of readdirSync(`${ROOT}node_modules`).filter(one => !one.startsWith('.'))) {
      symlinkSync(`${ROOT}node_modules/${name}`, join(modules, name));
    }
    const from = copyOf(VERSION, join(modules, 'qrun'));
    expect(existsSync(join(from, 'node_modules'))).toBe(false);
    const [hoisted, own] = [await deployed(['--dry-run'], { from }), await deployed(['--dry-run'])];
    expect(hoisted.name).toBe(own.name);
  });

  it('says what to write into qrun.toml where that leads elsewhere, and makes a link in the PATH if asked to', async () => {
    const host = hostNamed('beta');
    const { steps, qrun: words, switched } = await toOne('beta', { qrun: 'qrun' });
    expect(switched).toBe(true);
    expect(words).toEqual([`${PLACE}/current/bin/qrun.cjs`]);
    expect(steps.at(-1)).toMatchObject({
      step: 'resubmit',
      state: 'note',
      mend: `in qrun.toml, below [[hosts]] of beta: qrun = "${PLACE}/current/bin/qrun.cjs"`,
    });
    const at = tree({
      'u/a.sql': 'SELECT 1',
      'qrun.toml': `[[hosts]]\nname = "beta"\nroot = "${rootOf(host)}"\n`,
    });
    // Directories of its PATH, as only this host sees them.
    const inPath = [`${ROOT}node_modules/.bin`, '/root/.cargo/bin'] as const;
    for (const directory of inPath) await host.here('mount', '-t', 'tmpfs', 'none', directory);
    try {
      const { hosts } = await deployed(['--link', inPath[1]], { at });
      expect(hosts[0]?.steps.at(-1)).toMatchObject({ step: 'resubmit', state: 'done' });
      expect(await host.here('readlink', join(inPath[1], 'qrun'))).toBe(`${PLACE}/current/bin/qrun.cjs`);
      await host.here('rm', join(inPath[1], 'qrun'));
      await host.here('touch', join(inPath[1], 'qrun'));
      expect(
        problemOf((await deployed(['--link', inPath[1]], { at })).hosts[0] as DeployedHost),
      ).toMatchObject({
        step: 'switch',
        says: `${inPath[1]}/qrun is there already, and is not of qrun hosts deploy`,
      });
    } finally {
      for (const directory of inPath) await host.here('umount', directory);
    }
    const none = await deployed(['--link', '/no/such'], { at });
    expect(none.hosts[0]?.steps.at(-1)).toMatchObject({
      says: 'there is no directory /no/such',
      exit_code: 23,
    });
    const { exitCode, stderr } = await start(ROOT, ['--link', 'bin'], at);
    expect([exitCode, stderr]).toEqual([2, expect.stringContaining('no absolute path')]);
  });

  it('switches to nothing that does not run there, and leaves nothing behind', async () => {
    const host = hostNamed('alpha');
    const before = { link: linkOf(host), versions: versionsOf(host) };
    const broken = copyOf('0.0.1');
    writeFileSync(join(broken, 'dist/cli/bundle/plan.js'), 'throw new Error("out of cheese");\n');
    const failed = await toOne('alpha', {}, broken);
    expect(problemOf(failed)).toMatchObject({
      step: 'verify',
      says: expect.stringMatching(/^qrun plan ended with \d+ in a trial: .*Nothing was switched$/),
      mend: expect.stringContaining('npm install --global qrun@0.0.1'),
      exit_code: 26,
    });
    expect({ link: linkOf(host), versions: versionsOf(host) }).toEqual(before);
    const node = join(host.directory, 'node-dead');
    writeFileSync(
      node,
      `#!/bin/sh\n[ "$1" = -p ] && exec ${process.execPath} "$@"\necho out of cheese >&2; exit 3\n`,
      { mode: 0o755 },
    );
    expect(problemOf(await toOne('alpha', { qrun: [node, '/x.cjs'] }, copyOf('0.0.2')))).toMatchObject({
      step: 'verify',
      says: 'what was asked of it failed: out of cheese. Nothing was switched',
    });
    expect({ link: linkOf(host), versions: versionsOf(host) }).toEqual(before);
  });

  it('sends nothing to a machine whose system is another, whose Node is old, or where nothing can be written', async () => {
    const host = hostNamed('alpha');
    const node = join(host.directory, 'node-else');
    const says = async (line: string): Promise<DeployedHost['steps'][number] | undefined> => {
      writeFileSync(
        node,
        `#!/bin/sh\n[ "$1" = -p ] && echo '${line}' && exit\nexec ${process.execPath} "$@"\n`,
      );
      chmodSync(node, 0o755);
      return problemOf(await toOne('alpha', { qrun: [node, '/x.cjs'] }));
    };
    const before = versionsOf(host);
    expect(await says('20.20.2 linux arm64 2.36')).toMatchObject({
      step: 'audit',
      says: expect.stringContaining('it is linux arm64 with glibc 2.36, and this is linux x64'),
    });
    expect(await says('18.19.0 linux x64 2.36')).toMatchObject({
      says: expect.stringContaining('Node 18.19.0 is too old'),
    });
    expect(problemOf(await toOne('alpha', { qrun: ['/no/node', '/x.cjs'] }))).toMatchObject({
      step: 'audit',
      says: 'there is no /no/node in the PATH that ssh gives',
    });
    expect(versionsOf(host)).toEqual(before);

    await onDisk(host, 'ro,size=500m', async () => {
      expect(problemOf(await toOne('alpha'))).toMatchObject({
        says: `nothing can be written in ${PLACE}`,
        exit_code: 23,
      });
    });
    await host.here('chmod', '777', PLACE);
    expect(problemOf(await toOne('alpha'))).toMatchObject({
      says: expect.stringContaining('can be written by others'),
      mend: expect.stringContaining('chmod go-w'),
    });
    await host.here('chmod', '700', PLACE);
    await host.here('mount', '--bind', '/dev/null', '/usr/bin/rsync');
    expect(problemOf(await toOne('alpha'))).toMatchObject({ says: expect.stringContaining('rsync: ') });
    await host.here('umount', '/usr/bin/rsync');
    expect(problemOf(await toOne('alpha'))).toBeUndefined();
  });

  it('fills no disk: says before what it needs, and takes back what has arrived when there is no room', async () => {
    const host = hostNamed('alpha');
    await onDisk(host, 'size=70m', async () => {
      expect(problemOf(await toOne('alpha'))).toMatchObject({
        step: 'upload',
        says: expect.stringMatching(/70M free on the disk of .*, and [\d.]+M are needed/),
        exit_code: 23,
      });
    });
    // Bytes are free, and then there is room for no further file.
    await onDisk(host, 'size=500m,nr_inodes=300', async () => {
      expect(problemOf(await toOne('alpha'))).toMatchObject({
        step: 'upload',
        says: `the disk of ${PLACE}/versions there is full; what had arrived was removed`,
        exit_code: 23,
      });
      expect(await host.here('ls', '-A', `${PLACE}/versions`)).toBe('');
    });
  });

  it('is not harmed by what is not its own: a directory in place of the link', async () => {
    const host = hostNamed('beta');
    const away = join(placeOf(host), 'away');
    await host.here('mv', `${PLACE}/current`, `${PLACE}/away`);
    await host.here('mkdir', `${PLACE}/current`);
    expect(problemOf(await toOne('beta'))).toMatchObject({
      step: 'audit',
      says: `${PLACE}/current is no link to one of its versions: deploy did not make it`,
    });
    await host.here('rmdir', `${PLACE}/current`);
    expect(lstatSync(away).isSymbolicLink()).toBe(true);
    await host.here('mv', `${PLACE}/away`, `${PLACE}/current`);
  });

  const startsThere = async (host: SshHost): Promise<string> =>
    await host.here(process.execPath, `${PLACE}/current/bin/qrun.cjs`, '--version');
  /** A disk of its own at the place, as only this host sees it. */
  async function onDisk(host: SshHost, options: string, work: () => Promise<void>): Promise<void> {
    await host.here('mount', '-t', 'tmpfs', '-o', `mode=700,${options}`, 'none', PLACE);
    try {
      await work();
    } finally {
      await host.here('umount', PLACE);
    }
  }

  const partialsOf = (host: SshHost): string[] =>
    versionsOf(host).filter(name => name.startsWith('.partial-'));

  it('goes on where the link was cut in the middle of the upload', async () => {
    const host = hostNamed('alpha');
    const before = linkOf(host);
    const next = copyOf('0.2.0');
    const running = start(next, ['--json', '--host', 'alpha']);
    await until('the upload', () => partialsOf(host)[0]);
    host.link('down');
    const { exitCode, stdout } = await running;
    host.link('up');
    const { hosts } = JSON.parse(stdout as string) as HostsDeploy;
    expect([exitCode, problemOf(hosts[0] as DeployedHost)]).toEqual([
      26,
      expect.objectContaining({ step: 'upload', mend: expect.stringContaining('then deploy again') }),
    ]);
    expect(linkOf(host)).toBe(before);
    expect(await startsThere(host)).toBe(VERSION);
    const again = await deployed(['--host', 'alpha'], { from: next });
    expect(problemOf(again.hosts[0] as DeployedHost)).toBeUndefined();
    expect(await startsThere(host)).toBe('0.2.0');
    expect(again.hosts[0]?.before).toBe(before.slice('versions/'.length));
    expect(partialsOf(host)).toEqual([]);
  });

  it('killed at any step, leaves one whole version current, and does the rest when given again', async () => {
    const host = hostNamed('beta');
    const next = copyOf('0.3.0');
    const name = (await deployed(['--dry-run'], { from: next })).name;
    const moments: readonly (() => unknown)[] = [
      () => partialsOf(host)[0],
      () =>
        existsSync(join(placeOf(host), 'versions', partialsOf(host)[0] ?? 'none', 'node_modules', 'zod')) ||
        undefined,
      () => host.processes().find(({ words }) => words.includes('install')),
      () => existsSync(join(placeOf(host), 'versions', name)) || undefined,
    ];
    for (const moment of moments) {
      const running = start(next, ['--host', 'beta']);
      await until('the moment', moment);
      running.kill('SIGKILL');
      await running;
      // What was started there may still end: the link leads to one version or to the other.
      expect(['0.3.0', VERSION]).toContain(await startsThere(host));
    }
    const { hosts } = await deployed(['--host', 'beta'], { from: next });
    expect(problemOf(hosts[0] as DeployedHost)).toBeUndefined();
    expect([await startsThere(host), partialsOf(host)]).toEqual(['0.3.0', []]);
  });

  it('removes with --prune what no task names, but for the latest', async ({ skip }) => {
    const host = hostNamed('beta');
    if (!host.hasQueue) skip('pueue is not installed');
    const versions = join(placeOf(host), 'versions');
    const old = [1, 2, 3, 4].map(n => `0.0.${n}-00000000000${n}`);
    for (const [n, name] of old.entries()) {
      put(versions, `${name}/bin/qrun.cjs`, '');
      utimesSync(join(versions, name), n, n);
    }
    await host.here(
      ...(['pueue', 'add', '--label=qrun:x:u', '--stashed', '--'] as const),
      `${PLACE}/versions/${old[0]}/bin/qrun.cjs`,
      'unit',
    );
    const { hosts } = await deployed(['--host', 'beta', '--prune'], { from: ROOT });
    expect(problemOf(hosts[0] as DeployedHost)).toBeUndefined();
    // Besides the one that a task names, the two latest are kept, one of which was current before.
    expect(hosts[0]?.removed).toEqual([old[2], old[1]]);
    expect(versionsOf(host).filter(name => name.startsWith('0.0.'))).toEqual([old[0], old[3]]);
    await host.here('pueue', 'remove', '0');
  });

  it('deploys to two hosts that share a home, at once', async () => {
    const [alpha, beta] = [hostNamed('alpha'), hostNamed('beta')];
    await beta.here('mount', '--bind', placeOf(alpha), PLACE);
    const { hosts } = await deployed([], { from: copyOf('0.4.0') });
    expect(hosts.map(problemOf)).toEqual([undefined, undefined]);
    expect([await startsThere(alpha), await startsThere(beta), partialsOf(alpha)]).toEqual([
      '0.4.0',
      '0.4.0',
      [],
    ]);
    await beta.here('umount', PLACE);
  });

  it('gives the next submission with --resubmit, but not where qrun.toml leads elsewhere', async ({
    skip,
  }) => {
    if (!hostNamed('beta').hasQueue) skip('pueue is not installed');
    const beta = hostNamed('beta');
    const lines = (words: readonly string[]): string =>
      `[[hosts]]\nname = "beta"\nroot = ${JSON.stringify(join(beta.directory, 'resubmit'))}\nqrun = ${JSON.stringify(words)}\n`;
    const at = tree({ 'u/a.sql': 'SELECT 1 AS v', 'qrun.toml': lines(['qrun']) });
    const away = await start(ROOT, ['--resubmit'], at);
    expect([away.exitCode, away.stderr]).toEqual([2, expect.stringContaining('nothing was submitted')]);
    put(at, 'qrun.toml', lines(current));
    const pushed = await qrun(['hosts', 'push', '.', '--trust'], { cwd: at, env: { ...all.env } });
    expect(pushed.code).toBe(0);
    const { exitCode, stdout } = await start(ROOT, ['--resubmit'], at);
    expect(stdout).toMatch(/deployed to 1 host[\s\S]*\n\n[\s\S]*\bbeta\b/);
    expect(exitCode).toBe(0);
    // The engine was not sent: the task fails, and names what it ran.
    const tasks = await beta.here('pueue', 'status', '--json');
    expect(tasks).toContain(`${PLACE}/versions/${VERSION}-`);
    const [first] = await Promise.all([start(ROOT, ['--resubmit', '--json'], at)]);
    expect([first?.exitCode, first?.stderr]).toEqual([2, expect.stringContaining('--resubmit goes with')]);
  });

  it('sends the embedded engine once, and links it from then on, also where the disk has no room for two', async ({
    skip,
  }) => {
    if (!existsSync(`${ROOT}node_modules/chdb`)) skip('chDB is not installed');
    const host = hostNamed('beta');
    await onDisk(host, 'size=900m', async () => {
      const first = await deployed(['--host', 'beta', '--with-chdb']);
      expect(problemOf(first.hosts[0] as DeployedHost)).toBeUndefined();
      expect(first.packages_left_out).toEqual([]);
      expect(first.hosts[0]?.steps.find(({ step }) => step === 'verify')?.says).toMatch(/a unit ran there/);
      const next = await deployed(['--host', 'beta', '--with-chdb'], { from: copyOf('0.6.0') });
      expect(problemOf(next.hosts[0] as DeployedHost)).toBeUndefined();
      expect(next.hosts[0]?.sent_bytes).toBeLessThan(1_000_000);
      expect(await startsThere(host)).toBe('0.6.0');
    });
  });

  describe.skipIf(!clickHouseServerAvailable())('under units that run', () => {
    let server: ClickHouseServer;
    beforeAll(async () => {
      server = await startClickHouseServer({ alsoAt: hostNamed('alpha').gateway });
    });
    afterAll(async () => {
      await server?.stop();
    });

    it('touches none of them: each ends with the version that it was submitted with', async ({ skip }) => {
      const host = hostNamed('alpha');
      if (!host.hasQueue) skip('pueue is not installed');
      const at = rootOf(host);
      const old = copyOf('0.5.0');
      expect(problemOf(await toOne('alpha', {}, old))).toBeUndefined();
      // A query that ends when this test says so: the server reads its rows from here.
      const held: ServerResponse[] = [];
      const holder = createServer((_request, response) => void held.push(response)).listen(0, '127.0.0.1');
      await once(holder, 'listening');
      const hold = `SELECT v FROM url('http://127.0.0.1:${(holder.address() as AddressInfo).port}/', CSV, 'v UInt8')`;
      const url = `http://${host.gateway}:${new URL(server.url).port}`;
      put(at, 'qrun.toml', `url = "${url}"\nconcurrency = 1\n[sweep]\nname = "under"\n`);
      const files = { 'one/a.sql': 'SELECT 1 AS v', 'one/b.sql': hold, 'one/c.sql': 'SELECT 3 AS v' };
      for (const [name, sql] of Object.entries({ ...files, 'two/a.sql': 'SELECT 1 AS v' }))
        put(at, name, sql);
      const qrunThere = (...args: readonly string[]): Promise<string> =>
        host.here(process.execPath, `${PLACE}/current/bin/qrun.cjs`, ...args);
      await qrunThere('submit-all', at, '--trust', '--parallel', '1');
      const log = join(at, 'results', 'one.ndjson');
      await until('the query that waits', () => held[0]);
      const { hosts } = await deployed(['--host', 'alpha']);
      expect(problemOf(hosts[0] as DeployedHost)).toBeUndefined();
      const decided = hosts[0]?.steps.find(({ step }) => step === 'decide')?.says;
      expect(decided).toMatch(
        /^under: 1 running, 2 queued\. They stay with the version that submitted them$/,
      );
      expect(records(readFileSync(log))).toHaveLength(1);
      expect(await startsThere(host)).toBe(VERSION);
      for (const response of held) response.end('2\n');
      await host.here('pueue', 'wait', '--group', 'qrun-under');
      await qrunThere('audit-all', at, '--trust');
      const versionsIn = (unit: string): unknown[] =>
        records(readFileSync(join(at, 'results', `${unit}.ndjson.runs`))).map(({ qrun: its }) => its);
      expect([...versionsIn('one'), ...versionsIn('two')].filter(Boolean)).toEqual(['0.5.0', '0.5.0']);
      expect(records(readFileSync(log)).map(({ row }) => row)).toEqual([{ v: 1 }, { v: 2 }, { v: 3 }]);
      // From now on, the new one.
      put(at, 'three/a.sql', 'SELECT 1 AS v');
      await qrunThere('submit-all', at, '--trust');
      await host.here('pueue', 'wait', '--group', 'qrun-under');
      expect(versionsIn('three').filter(Boolean)).toEqual([VERSION]);
      holder.close();
    });
  });
});
