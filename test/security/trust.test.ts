import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isLoopback, trustDigest } from '../../src/core/config/trust.js';
import { writeSubmission } from '../../src/io/config/submission-config.js';
import { TrustStore } from '../../src/io/config/trust-store.js';
import { type Given, type SweepContext, sweepContext } from '../../src/local/config/sweep-context.js';
import { resolveSweep } from '../../src/local/sweep/context.js';
import { prepareTasks } from '../../src/local/sweep/tasks.js';
import { type Ended, endAll, put, qrun, removeTree, tree } from '../integration/qrun.js';
import { evilServer } from './evil-server.js';

const SECRET = 'victim-pw-123';
const REMOTE = 'http://ch.example:8123';
const roots: string[] = [];
let root = '';
let home = '';
beforeEach(() => {
  root = place({ 'u/a.sql': 'SELECT 1 AS v' });
  home = place({});
});
afterEach(() => {
  endAll();
  for (const one of roots.splice(0)) removeTree(one);
});

function place(files: Readonly<Record<string, string>>): string {
  const made = realpathSync(tree(files));
  chmodSync(made, 0o755);
  roots.push(made);
  return made;
}

/** A file of the tree, by its path. */
function made(name: string): string {
  put(root, name, 'x');
  return join(root, name);
}

type Words = Readonly<Record<string, string>>;

function context(env: Words = {}, given: Given = {}, at = root): SweepContext {
  return sweepContext(join(at, 'u'), given, { cwd: at, env: { HOME: home, ...env } });
}

/** The password that would be sent, or the error that is given in its place. */
function sent(env: Words = {}, given: Given = {}, at = root): string {
  try {
    return context(env, given, at).connections()[0]?.password ?? 'none';
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG', exitCode: 2 });
    const { message, hint } = error as { message: string; hint?: string };
    expect(`${message} ${hint}`).not.toContain(SECRET);
    return `refused: ${message}`;
  }
}

function run(args: readonly string[], env: Words = {}, cwd = root): Promise<Ended> {
  return qrun(args, { cwd, env: { HOME: home, ...env } });
}

async function trust(...args: string[]): Promise<Ended> {
  const ended = await run(['trust', ...args]);
  expect(ended.stderr).toBe('');
  return ended;
}

const PW = { CLICKHOUSE_PASSWORD: SECRET };

describe('a server that the tree names', () => {
  const COMMANDS = [
    ['unit', 'u'],
    ['unit', 'u', '-P', 'auto'],
    ['doctor'],
    ['probe', 'u'],
    ['autoscale', '--once'],
  ];

  it.each(COMMANDS)('gets no password of the environment: qrun %s %s %s', async (...args) => {
    const evil = await evilServer();
    for (const file of ['.env', 'qrun.toml']) {
      put(root, 'qrun.toml', file === '.env' ? '' : `url = "${evil.url}"\n`);
      put(root, '.env', file === '.env' ? `CLICKHOUSE_URL=${evil.url}\n` : '');
      const ended = await run(args, PW);
      // The doctor finds more that is wrong here: no daemon of pueue.
      expect(ended.code).toBe(args[0] === 'doctor' ? 26 : 2);
      const all = ended.stdout + ended.stderr;
      expect(all).toContain('CLICKHOUSE_PASSWORD in the environment');
      expect(all).toContain(`is not sent to ${evil.url}: ${join(root, file)} names this server`);
      expect(all).toContain(`qrun trust ${root}`);
      expect(all).toContain('--url');
      expect(all).not.toContain(SECRET);
      expect(evil.connections()).toBe(0);
    }
  });

  it('gets none of a submission, which writes nothing', async () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    put(home, 'pw', SECRET);
    const sweep = resolveSweep(
      root,
      { flags: { passwordFile: join(home, 'pw') } },
      { cwd: root, env: { HOME: home } },
      { include: [], exclude: [] },
    );
    const failure = await prepareTasks(sweep).catch((error: Error) => error);
    expect(String(failure)).toContain(`is not sent to ${REMOTE}`);
    expect(existsSync(join(root, '.qrun'))).toBe(false);
  });

  it.each([
    ['plan', 'u'],
    ['audit', 'u'],
    ['config', 'u'],
    ['unit', 'u', '--dry-run'],
  ])('hinders no command that connects to nothing: qrun %s', async (...args) => {
    put(
      root,
      'qrun.toml',
      'url = "http://0.0.0.0:1"\npassword_file = "/proc/self/environ"\nca_file = "/etc/passwd"\n',
    );
    const ended = await run(args, PW);
    expect([0, 21]).toContain(ended.code);
    expect(ended.stdout + ended.stderr).not.toContain(SECRET);
  });

  it('gets it once the user has said so: by a URL of his own, a flag, QRUN_TRUST, or qrun trust', async () => {
    const evil = await evilServer();
    put(root, 'qrun.toml', `url = "${evil.url}"\n`);
    const ways: [string[], Words][] = [
      [['--url', evil.url], {}],
      [[], { CLICKHOUSE_URL: evil.url }],
      [['--trust'], {}],
      [[], { QRUN_TRUST: root }],
    ];
    for (const [args, env] of ways) {
      evil.credentials.length = 0;
      expect((await run(['unit', 'u', ...args], { ...PW, ...env })).code).toBe(24);
      expect(evil.credentials[0]).toBe(`default:${SECRET}`);
    }
    expect((await run(['unit', 'u'], PW)).code).toBe(2);
    await trust();
    evil.credentials.length = 0;
    expect((await run(['unit', 'u'], PW)).code).toBe(24);
    expect(evil.credentials[0]).toBe(`default:${SECRET}`);
    expect((await trust('--remove')).code).toBe(0);
    expect((await run(['unit', 'u'], PW)).code).toBe(2);
  });

  it('gets what the tree holds itself, without a question, and one line says where it goes', () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    put(root, '.env', 'CLICKHOUSE_PASSWORD=trees\n');
    expect(sent()).toBe('trees');
    // A shell, or mise, may have put it into the environment.
    expect(sent({ CLICKHOUSE_PASSWORD: 'trees' })).toBe('trees');
    expect(sent(PW)).toContain('refused');
    put(root, '.env', '');
    put(root, 'pw', 'of a file\n');
    put(root, 'qrun.toml', `url = "${REMOTE}"\npassword_file = "pw"\n`);
    expect(sent()).toBe('of a file');
    const notices = context().connections()[0]?.notices ?? [];
    expect(notices.join('\n')).toContain(
      `${root}/qrun.toml names the server ${REMOTE}: only the password of the tree`,
    );
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    expect(context().connections()[0]?.notices).toEqual([expect.stringContaining('no password goes there')]);
    expect(context({}, { trust: true }).connections()[0]?.notices).toEqual([]);
  });

  it('is asked for what is hidden in the tree: it may be of another program', () => {
    for (const file of ['.env.local', '.aws/token', 'd/.npmrc']) {
      put(root, file, `${SECRET}\n`);
      put(root, 'qrun.toml', `url = "${REMOTE}"\npassword_file = "${file}"\n`);
      expect(sent(), file).toContain('refused');
      expect(sent({}, { trust: true }), file).toBe(SECRET);
      put(root, 'qrun.toml', `url = "http://127.0.0.1:1"\npassword_file = "${file}"\n`);
      expect(sent(), file).toBe(SECRET);
    }
  });

  it('is asked for what was given by a flag as for all from outside', () => {
    put(home, 'pw', `${SECRET}\n`);
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    expect(sent({ CLICKHOUSE_PASSWORD_FILE: join(home, 'pw') })).toContain('CLICKHOUSE_PASSWORD_FILE');
    expect(sent({}, { flags: { passwordFile: join(home, 'pw') } })).toContain('--password-file');
    expect(sent({}, { flags: { passwordFile: join(home, 'pw'), url: REMOTE } })).toBe(SECRET);
  });

  it('of which an empty variable says nothing', () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    expect(sent({ ...PW, CLICKHOUSE_URL: '' })).toContain('refused');
    expect(sent({ CLICKHOUSE_PASSWORD: '' })).toBe('none');
    put(root, '.env', `CLICKHOUSE_URL=${REMOTE}\nCLICKHOUSE_PASSWORD=\n`);
    expect(sent(PW)).toContain(`${root}/.env names`);
    // The environment wins over .env.
    expect(sent({ ...PW, CLICKHOUSE_URL: 'http://mine.example:8123' })).toBe(SECRET);
  });
});

describe('this machine', () => {
  it.each([
    'http://localhost:8123',
    'HTTP://LOCALHOST:8123',
    'http://127.0.0.1',
    'http://127.1.2.3:8123/path/',
    'http://2130706433:8123',
    'http://0x7f000001',
    'http://0177.0.0.1',
    'http://127.1',
    'https://[::1]:8443',
    'http://[0:0:0:0:0:0:0:1]',
    'http://user@localhost',
    'http://localhost\\@evil.example',
  ])('is %s', url => {
    expect(isLoopback(url)).toBe(true);
    put(root, 'qrun.toml', `url = ${JSON.stringify(url)}\n`);
    expect(sent(PW)).toBe(SECRET);
  });

  it.each([
    'http://localhost.:8123',
    'http://evil.localhost',
    'http://localhost.evil.example',
    'http://127.0.0.1.nip.io',
    'http://127.0.0.1@evil.example',
    'http://127.0.0.1:8123@evil.example',
    'http://evil.example\\@localhost',
    'http://evil.example/@localhost',
    'http://0.0.0.0',
    'http://[::]',
    'http://[::ffff:127.0.0.1]',
    'http://[::ffff:7f00:1]',
    'http://128.0.0.1',
    'http://2147483649',
    'http://1.127.0.0',
    'http://l\u00f3calhost',
    'localhost:8123',
    'http://',
  ])('is not %s', url => {
    expect(isLoopback(url)).toBe(false);
    put(root, 'qrun.toml', `url = ${JSON.stringify(url)}\n`);
    expect(sent(PW)).toContain('refused');
  });
});

describe('several servers that the tree names', () => {
  const LOCAL = 'http://127.0.0.1:8123';

  it.each([
    ['qrun.toml', `url = ["${LOCAL}", "${REMOTE}"]\n`],
    ['qrun.toml', `url = "${LOCAL}, ${REMOTE}"\n`],
    ['.env', `CLICKHOUSE_URL=${LOCAL},${REMOTE}\n`],
  ])('get no password from outside if one of them may not: %s', (file, text) => {
    put(root, 'qrun.toml', '');
    put(root, file, text);
    expect(sent(PW)).toContain(`is not sent to ${REMOTE}`);
    expect(sent(PW, { trust: true })).toBe(SECRET);
    // Whoever names them decides.
    expect(sent(PW, { flags: { url: [LOCAL, REMOTE] } })).toBe(SECRET);
  });

  it('are what is trusted, all of them and in their order', () => {
    const digest = (urls: readonly string[]): string => {
      put(root, 'qrun.toml', `url = ${JSON.stringify(urls)}\n`);
      return context().trust.digest();
    };
    const lists = [[LOCAL], [LOCAL, REMOTE], [REMOTE, LOCAL], [REMOTE], [LOCAL, REMOTE, 'http://x']];
    expect(new Set(lists.map(digest)).size).toBe(lists.length);
    put(root, 'qrun.toml', `url = "${LOCAL}"\n`);
    expect(context().trust.digest()).toBe(digest([LOCAL]));
  });

  it('must not hold passwords, in none of them', async () => {
    put(root, 'qrun.toml', `url = ["${LOCAL}", "http://me:${SECRET}@ch.example"]\n`);
    const ended = await run(['trust'], {});
    expect(ended.code).toBe(2);
    expect(ended.stdout + ended.stderr).not.toContain(SECRET);
  });
});

describe('a password file that the tree names', () => {
  const named = (path: string): string => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\npassword_file = ${JSON.stringify(path)}\n`);
    return sent();
  };

  it('lies in the tree, by its real path', () => {
    put(home, 'key', SECRET);
    put(root, 'in/pw', 'trees');
    symlinkSync(join(home, 'key'), join(root, 'link'));
    symlinkSync(home, join(root, 'dir'));
    symlinkSync('in/pw', join(root, 'inner'));
    expect(named('in/pw')).toBe('trees');
    expect(named('inner')).toBe('trees');
    for (const path of [
      join(home, 'key'),
      'link',
      'dir/key',
      `../${home.split('/').at(-1)}/key`,
      '/proc/self/environ',
    ]) {
      expect(named(path), path).toContain(`which lies outside of ${root}`);
    }
    // To no server: neither the user's nor one of this machine.
    expect(sent({ CLICKHOUSE_URL: REMOTE })).toContain('outside');
    expect(sent({ CLICKHOUSE_URL: 'http://localhost:1' })).toContain('outside');
    put(root, '.env', `CLICKHOUSE_URL=${REMOTE}\nCLICKHOUSE_PASSWORD_FILE=${join(home, 'key')}\n`);
    put(root, 'qrun.toml', '');
    expect(sent()).toContain(`${root}/.env names password_file`);
  });

  it('may lie elsewhere where the tree is trusted, and holds a password all the same', async () => {
    put(home, 'key', `${SECRET}\n`);
    expect(named(join(home, 'key'))).toContain('outside');
    await trust();
    expect(sent()).toBe(SECRET);
    expect(named('/proc/self/environ')).toContain('refused');
    expect(sent({}, { trust: true })).toMatch(/refused: .*(NUL|line)/);
  });

  it.each<[string, () => void, RegExp]>([
    ['of several lines', () => put(root, 'pw', '-----BEGIN KEY-----\nAAAA\n'), /more than one line/],
    ['with a NUL', () => put(root, 'pw', 'a\0b'), /NUL/],
    ['that is large', () => put(root, 'pw', 'x'.repeat(5000)), /larger than 4/],
    ['that is a directory', () => mkdirSync(join(root, 'pw')), /directory/],
    ['that is a pipe', () => execFileSync('mkfifo', [join(root, 'pw')]), /FIFO/],
    ['that everybody may write to', () => chmodSync(made('pw'), 0o666), /o-w/],
    ['of another user', () => chownSync(made('pw'), 65_534, 65_534), /another user/],
    ['that is not there', () => {}, /ENOENT/],
  ])('is none %s', (_, make, says) => {
    make();
    expect(named('pw')).toMatch(says);
  });

  it('does not win over the environment, wherever the tree names it', () => {
    put(root, 'pw', 'trees');
    put(root, '.env', 'CLICKHOUSE_PASSWORD_FILE=pw\n');
    expect(sent({ ...PW, CLICKHOUSE_URL: REMOTE })).toBe(SECRET);
    expect(sent({ CLICKHOUSE_URL: REMOTE })).toBe('trees');
  });

  it('is found from the root, wherever qrun is started', () => {
    put(root, 'pw', 'trees');
    put(root, 'qrun.toml', '');
    put(root, '.env', 'CLICKHOUSE_PASSWORD_FILE=pw\n');
    expect(sweepContext(root, {}, { cwd: join(root, 'u'), env: {} }).connections()[0]?.password).toBe(
      'trees',
    );
  });
});

it('a password file of the user that everybody may write to is refused', () => {
  put(home, 'pw', SECRET);
  chmodSync(join(home, 'pw'), 0o646);
  expect(sent({ CLICKHOUSE_PASSWORD_FILE: join(home, 'pw') })).toContain('chmod o-w');
});

it('a .env that leads out of the tree holds no secret of the tree', () => {
  put(home, '.env', `CLICKHOUSE_PASSWORD=${SECRET}\n`);
  symlinkSync(join(home, '.env'), join(root, '.env'));
  put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
  expect(sent()).toContain(`${root}/.env (which leads to ${home}/.env) is not sent`);
  expect(sent({ CLICKHOUSE_URL: REMOTE })).toBe(SECRET);
  expect(sent({}, { trust: true })).toBe(SECRET);
});

describe('a CA file that the tree names', () => {
  const PEM = '-----BEGIN CERTIFICATE-----\n';
  const ca = (env: Words = {}, flags = {}): string => {
    try {
      return context(env, flags).connections()[0]?.caFile ?? 'none';
    } catch (error) {
      return `refused: ${(error as Error).message}`;
    }
  };

  it('vouches for no server that the user names', () => {
    put(root, 'ca.pem', PEM);
    put(root, 'qrun.toml', 'ca_file = "ca.pem"\n');
    const mine = 'https://mine.example';
    expect(ca({ CLICKHOUSE_URL: mine })).toContain(`would decide whether ${mine} is trusted`);
    expect(ca({}, { url: mine })).toContain('refused');
    expect(ca({ CLICKHOUSE_URL: mine, QRUN_TRUST: root })).toBe(join(root, 'ca.pem'));
    expect(ca({ CLICKHOUSE_URL: mine, CLICKHOUSE_CA_FILE: join(home, 'ca.pem') })).toBe(join(home, 'ca.pem'));
    put(root, 'qrun.toml', `url = "${mine}"\nca_file = "ca.pem"\n`);
    expect(ca()).toBe(join(root, 'ca.pem'));
  });

  it('lies in the tree, and belongs to its user', () => {
    put(home, 'ca.pem', PEM);
    put(root, 'qrun.toml', `url = "https://ch.example"\nca_file = "${join(home, 'ca.pem')}"\n`);
    expect(ca()).toContain('outside');
    put(root, 'ca.pem', PEM);
    chmodSync(join(root, 'ca.pem'), 0o666);
    put(root, 'qrun.toml', 'url = "https://ch.example"\nca_file = "ca.pem"\n');
    expect(ca()).toContain('chmod o-w');
  });

  it('is part of what is trusted, by what it holds', async () => {
    put(root, 'ca.pem', PEM);
    put(root, 'qrun.toml', 'url = "https://ch.example"\nca_file = "ca.pem"\n');
    await trust();
    expect(sent(PW)).toBe(SECRET);
    put(root, 'ca.pem', `${PEM}other`);
    expect(sent(PW)).toContain('it has changed since it was trusted (the certificates of ca_file)');
  });
});

describe('trust', () => {
  it.each(['url', 'user', 'ca_file', 'password_file', 'log_dir', 'data_dir'])(
    'ends with another %s, in qrun.toml or .env, and comes back with the old one',
    async key => {
      const toml = `url = "${REMOTE}"\n`;
      put(root, 'qrun.toml', toml);
      put(root, 'x', '-----BEGIN CERTIFICATE-----');
      await trust();
      expect(sent(PW)).toBe(SECRET);
      put(root, 'qrun.toml', key === 'url' ? 'url = "http://evil.example"\n' : `${toml}${key} = "x"\n`);
      expect(sent(PW)).toContain(`it has changed since it was trusted (${key})`);
      put(root, 'qrun.toml', toml);
      expect(sent(PW)).toBe(SECRET);
      const prefix = key === 'log_dir' || key === 'data_dir' ? 'QRUN_' : 'CLICKHOUSE_';
      put(root, '.env', `${prefix}${key.toUpperCase()}=x\n`);
      expect(sent(PW)).toMatch(/changed since it was trusted/);
    },
  );

  it('does not depend on flags and variables, nor on what has no part in it', async () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    await trust();
    expect(sent({ ...PW, CLICKHOUSE_USER: 'u' }, { flags: { logDir: 'elsewhere' } })).toBe(SECRET);
    put(root, 'qrun.toml', `# again\nurl = "${REMOTE}"\ntimeout = "5m"\n[settings]\nmax_threads = 2\n`);
    expect(sent(PW)).toBe(SECRET);
  });

  it('stays behind when a tree is moved or copied, and follows no link but to the real path', async () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    await trust();
    const other = place({ 'u/a.sql': 'SELECT 1' });
    copyFileSync(join(root, 'qrun.toml'), join(other, 'qrun.toml'));
    expect(sent(PW, {}, other)).toContain('the tree is not trusted');
    const link = join(home, 'link');
    symlinkSync(root, link);
    expect(sent(PW, {}, link)).toBe(SECRET);
    renameSync(root, `${root}-moved`);
    roots.push(`${root}-moved`);
    expect(sent(PW, {}, `${root}-moved`)).toContain('not trusted');
    // What is gone can be forgotten.
    expect((await run(['trust', '--remove', root], {}, home)).code).toBe(0);
  });

  it('is in values that cannot be taken for others', () => {
    const digests = [
      trustDigest('/r', { url: 'ab', user: 'c' }, undefined),
      trustDigest('/r', { url: 'a', user: 'bc' }, undefined),
      trustDigest('/ra', { url: 'b', user: 'c' }, undefined),
      trustDigest('/r', { url: 'ab","user":"c' }, undefined),
      trustDigest('/r', { user: 'ab', url: 'c' }, undefined),
      trustDigest('/r', { url: 'ab' }, 'c'),
      trustDigest('/r', { url: '' }, undefined),
      trustDigest('/r', {}, undefined),
    ];
    expect(new Set(digests).size).toBe(digests.length);
    expect(trustDigest('/r', { user: 'c', url: 'ab' }, undefined)).toBe(digests[0]);
  });

  it('is shown, listed and removed', async () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\nuser = "me"\npassword_file = "/run/pw"\nlog_dir = "l"\n`);
    const { stdout } = await trust();
    for (const part of [root, REMOTE, 'me', '/run/pw', 'log_dir']) expect(stdout).toContain(part);
    const list = JSON.parse((await trust('--list', '--json')).stdout);
    expect(list.trusted).toMatchObject([{ root, settings: { url: REMOTE, user: 'me' } }]);
    expect((await trust('--remove', '--json')).stdout).toBe(`${JSON.stringify({ root, removed: true })}\n`);
    expect((await run(['trust', '--remove'])).code).toBe(2);
    expect((await trust('--list')).stdout).toBe('nothing is trusted\n');
    expect((await run(['trust', '--list', '--remove'])).code).toBe(2);
    expect((await run(['trust', 'nowhere'])).stderr).toContain('there is no directory');
    put(root, 'qrun.toml', `url = "http://me:${SECRET}@h"\n`);
    const refused = await run(['trust']);
    expect([refused.code, refused.stdout + refused.stderr]).toEqual([2, expect.not.stringContaining(SECRET)]);
  });

  it('is asked of a user without a home too', async () => {
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    const ended = await qrun(['probe', 'u'], {
      cwd: root,
      env: { ...PW, HOME: '' },
      prefix: ['setpriv', '--reuid=65533', '--regid=65533', '--clear-groups', '--'],
    });
    expect([ended.code, ended.stderr]).toEqual([2, expect.not.stringContaining('bug')]);
  });

  it('lies in files of the user alone', async () => {
    await trust();
    const at = join(home, '.local/state/qrun/trust');
    expect(statSync(at).mode & 0o777).toBe(0o700);
    const [name = ''] = readdirSync(at);
    expect(statSync(join(at, name)).mode & 0o777).toBe(0o600);
  });

  it('of many trees at once is lost for none', async () => {
    const store = new TrustStore({ HOME: home });
    const record = { digest: 'd', trusted_at: 't', settings: {} };
    const names = Array.from({ length: 50 }, (_, n) => `/r${n % 25}`);
    await Promise.all(names.map(name => store.remember({ root: name, ...record })));
    expect(store.list().map(one => one.root)).toEqual([...new Set(names)].sort());
  });
});

describe('what says that a tree is trusted', () => {
  beforeEach(() => put(root, 'qrun.toml', `url = "${REMOTE}"\n`));

  it('does not stand in the tree', async () => {
    await trust();
    // A state directory of the tree, filled with what a user of it would write.
    execFileSync('cp', ['-r', join(home, '.local/state/qrun'), join(root, 'qrun')]);
    await trust('--remove');
    put(root, '.env', `XDG_STATE_HOME=${root}\nHOME=${root}\nQRUN_TRUST=${root}\nQRUN_TRUST_ALL=1\n`);
    expect(sent(PW)).toContain('not trusted');
    expect(sent({ ...PW, XDG_STATE_HOME: root })).toContain('not trusted');
    expect(sent({ ...PW, XDG_STATE_HOME: `${root}/u/..` })).toContain('not trusted');
    const link = join(home, 'into');
    symlinkSync(root, link);
    expect(sent({ ...PW, XDG_STATE_HOME: link })).toContain('not trusted');
    // A relative one would lie in the tree where qrun is started there.
    expect(sent({ ...PW, XDG_STATE_HOME: '.' })).toContain('not trusted');
    const refused = await run(['trust'], { XDG_STATE_HOME: root });
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('is in the tree itself')]);
    for (const key of ['trust', 'trusted', 'QRUN_TRUST']) {
      put(root, 'qrun.toml', `url = "${REMOTE}"\n${key} = true\n`);
      expect(() => context(PW)).toThrow('not usable');
    }
  });

  it.each<[string, (at: string, file: string) => void]>([
    ['of another user', (_, file) => chownSync(file, 65_534, 65_534)],
    ['that everybody may write to', (_, file) => chmodSync(file, 0o606)],
    ['that a group may write to', (_, file) => chmodSync(file, 0o660)],
    ['in a directory of another user', at => chownSync(at, 65_534, 65_534)],
    ['in a directory that everybody may write to', at => chmodSync(at, 0o707)],
    ['beneath a directory of another user', at => chownSync(join(at, '..'), 65_534, 65_534)],
    [
      'that is a link',
      (_, file) => {
        renameSync(file, `${file}-`);
        symlinkSync(`${file}-`, file);
      },
    ],
    [
      'about another root',
      (_, file) => writeFileSync(file, readFileSync(file, 'utf8').replace(root, '/other')),
    ],
    ['that is cut', (_, file) => writeFileSync(file, readFileSync(file, 'utf8').slice(0, 60))],
    ['that is null', (_, file) => writeFileSync(file, 'null')],
  ])('is no record %s', async (_, spoil) => {
    await trust();
    expect(sent(PW)).toBe(SECRET);
    const at = join(home, '.local/state/qrun/trust');
    spoil(at, join(at, readdirSync(at)[0] as string));
    expect(sent(PW)).toContain('not trusted');
  });

  it('is QRUN_TRUST by roots and directories above them, by their real paths', () => {
    const link = join(home, 'link');
    symlinkSync(root, link);
    const above = join(root, '..');
    for (const value of [root, `${root}/`, above, '/', `/nowhere:${root}`, `::${root}:`, link]) {
      expect(sent({ ...PW, QRUN_TRUST: value }), value).toBe(SECRET);
    }
    for (const value of [
      '',
      ':',
      join(root, 'u'),
      `${root}x`,
      root.slice(0, -1),
      '/nowhere',
      '/etc/passwd',
    ]) {
      expect(sent({ ...PW, QRUN_TRUST: value }), value).toContain('not trusted');
    }
    for (const value of ['.', 'sql', '1', 'true', `${root}:.`, '~']) {
      expect(sent({ ...PW, QRUN_TRUST: value }), value).toContain('is not an absolute path');
    }
  });
});

describe('the configuration of a submission', () => {
  const values = { url: REMOTE };
  const made = { givers: { url: 'outside' }, trusted: true } as const;

  it('that a tree brings along is of the tree, whatever it says', async () => {
    const { path, digest } = await writeSubmission(root, values, ['u'], { made });
    expect(sent(PW, { submission: { file: path } })).toContain(
      `${path} names this server, and the tree is not trusted`,
    );
    expect(sent(PW, { submission: { file: path, digest } })).toBe(SECRET);
    expect(sent(PW, { submission: { file: path, digest: `${digest}0` } })).toContain('has changed since');
    expect(sent(PW, { submission: { file: path }, flags: { url: REMOTE } })).toBe(SECRET);
    const ended = await run(['unit', 'u', `--config=${path}`], PW);
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining('is not sent to')]);
    expect(ended.stderr).toContain('submit again');
  });

  it('names no other tree, whose secrets would be its own', async () => {
    const mine = place({ '.env': `CLICKHOUSE_PASSWORD=${SECRET}\n` });
    const { path } = await writeSubmission(mine, values, ['u']);
    put(root, '.qrun/jobs/x.json', readFileSync(path, 'utf8'));
    expect(sent({}, { submission: { file: join(root, '.qrun/jobs/x.json') } })).toContain(
      'does not lie there',
    );
    symlinkSync(path, join(root, '.qrun/jobs/y.json'));
    expect(sent({}, { submission: { file: join(root, '.qrun/jobs/y.json') } })).toBe(SECRET);
  });

  it('of another user is refused, and one that was changed after it was submitted', async () => {
    const { path, digest } = await writeSubmission(root, values, ['u'], { made });
    chownSync(path, 65_534, 65_534);
    expect(sent(PW, { submission: { file: path, digest } })).toContain('belongs to another user');
    chownSync(path, 0, 0);
    writeFileSync(path, readFileSync(path, 'utf8').replace('ch.example', 'evil.example'));
    expect(sent(PW, { submission: { file: path, digest } })).toContain('has changed since');
  });

  it('keeps what was decided when it was made', async () => {
    put(home, 'pw', SECRET);
    put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    const submit = (given: Given) =>
      prepareTasks(
        resolveSweep(root, given, { cwd: root, env: { HOME: home } }, { include: [], exclude: [] }),
      );
    const flagsOf = (argv: readonly string[]): Given => ({
      submission: {
        file: /--config=(\S+)/.exec(argv.join(' '))?.[1] ?? '',
        digest: /--config-digest=(\S+)/.exec(argv.join(' '))?.[1],
      },
    });
    const outside = await submit({ flags: { url: 'http://mine.example', passwordFile: join(home, 'pw') } });
    const trusted = await submit({ trust: true, flags: { passwordFile: join(home, 'pw') } });
    for (const jobs of [outside, trusted]) {
      const audit = flagsOf(jobs.audit([], 0));
      // In the clean environment of a task, and whatever the tree says by then.
      put(root, 'qrun.toml', 'url = "http://evil.example"\n');
      expect(sent({}, audit)).toBe(SECRET);
      put(root, 'qrun.toml', `url = "${REMOTE}"\n`);
    }
    // What the tree names stays the tree's.
    put(root, '.env', 'CLICKHOUSE_PASSWORD=trees\n');
    const tree = await submit({});
    const flags = flagsOf(tree.audit([], 0));
    expect(sent({}, flags)).toBe('trees');
    expect(sent(PW, flags)).toContain('refused');
  });
});
