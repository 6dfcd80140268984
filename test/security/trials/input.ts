import { join } from 'node:path';
import { drives, type Trial, verdict, why } from './world.js';

const WILD = [
  '*a*a*a*a*a*a*a*a*a*a*a*b',
  '+(*)b',
  '(a+)+x',
  '@(a|aa)+(a)+(a)+(a)b',
  '{a,aa}{a,aa}{a,aa}{a,aa}*'.repeat(8),
  `${'**/'.repeat(12)}b`,
];

/** Files of configuration, names and flags. */
export const INPUT: readonly Trial[] = [
  {
    name: 'a matrix with 10^16 combinations takes all memory',
    run: async world => {
      const values = `[${Array.from({ length: 100 }, (_, n) => n).join(',')}]`;
      world.put(
        'qrun.toml',
        `[sweep.matrix]\n${[...'abcdefgh'].map(key => `${key} = ${values}\n`).join('')}`,
      );
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const ended = await world.qrun(['status'], { limitMs: 10_000 });
      return verdict(
        ended.hung || ended.peakMb > 500 || ended.code !== 2,
        `${Math.round(ended.peakMb)} MB, ${why(ended)}`,
      );
    },
  },
  {
    name: 'a long value in each of 90,000 sets of parameters takes all memory',
    run: async world => {
      const values = `[${Array.from({ length: 90_000 }, (_, n) => n).join(',')}]`;
      world.put('qrun.toml', `[sweep.matrix]\na = ${values}\nb = ["${'x'.repeat(400_000)}"]\n`);
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const ended = await world.qrun(['status'], { limitMs: 15_000 });
      return verdict(
        ended.hung || ended.peakMb > 700 || ended.code !== 2,
        `${Math.round(ended.peakMb)} MB, ${why(ended)}`,
      );
    },
  },
  ...WILD.map(
    (glob): Trial => ({
      name: `the glob ${glob.length > 30 ? `${glob.slice(0, 30)}...` : glob} against long names has no end`,
      run: async world => {
        for (const name of ['a'.repeat(200), 'ab'.repeat(90), 'a/'.repeat(40)])
          world.put(`sql/${name}x.sql`, 'SELECT 1 AS a');
        const ended = await world.qrun(['plan', 'sql', '--include', glob], { limitMs: 10_000 });
        return verdict(ended.hung || ended.code === 1, why(ended));
      },
    }),
  ),
  {
    name: 'a parameter of 100,000 letters takes seconds',
    run: async world => {
      world.put('sql/q.sql', 'SELECT 1 AS a');
      const server = await world.evil(undefined, true);
      const ended = await world.qrun([
        'unit',
        'sql',
        '--url',
        server.url,
        '--param',
        `x=${'a'.repeat(100_000)}`,
      ]);
      return verdict(ended.hung || ended.ms > 5_000, `${(ended.ms / 1000).toFixed(1)} s, ${why(ended)}`);
    },
  },
  {
    name: 'names of directories drive the terminal',
    run: async world => {
      const name = 'u\x1b]0;x\x07\x1b[2J\u009b\u202e';
      const root = world.directory(name);
      world.put(join(name, 'qrun.toml'), '');
      world.put(join(name, 'sql/q.sql'), 'SELECT 1 AS a');
      world.put(join(name, 'sql/_setup.sql'), 'SELECT 1');
      const commands = [
        ['config'],
        ['config', '--json'],
        ['checkpoint', 'path', 'x'],
        ['submit-all', '--setup', '--dry-run'],
        ['plan', 'sql'],
        ['audit', 'sql'],
        ['status'],
        ['status', '--json'],
        ['unit', 'sql'],
      ];
      const raw: string[] = [];
      for (const args of commands) {
        const { said } = await world.qrun(args, { cwd: root, limitMs: 15_000 });
        if (drives(said)) raw.push(args.join(' '));
      }
      return verdict(
        raw.length > 0,
        raw.length > 0 ? raw.join(', ') : `${commands.length} commands show it as text`,
      );
    },
  },
  ...[
    ['--set', ['--set', '__proto__=1'], ''],
    ['--param', ['--param', '__proto__=1'], ''],
    ['[sweep.matrix]', [], '[sweep.matrix]\n__proto__ = [1, 2]\n'],
  ].map(
    ([where, args, toml]): Trial => ({
      name: `__proto__ in ${String(where)} vanishes without a word`,
      run: async world => {
        world.put('sql/q.sql', 'SELECT 1 AS a');
        world.put('qrun.toml', String(toml));
        const command = toml === '' ? ['config', 'sql', ...(args as string[])] : ['status'];
        const ended = await world.qrun(command);
        return verdict(!ended.said.includes('__proto__'), why(ended));
      },
    }),
  ),
];
