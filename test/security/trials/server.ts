import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { answer, endless, type Mode, queries, rows, status } from './evil.js';
import { drives, type Trial, verdict, type World, why } from './world.js';

const SQL = "SELECT 'MINE' AS a";

async function against(world: World, mode: Mode, args: readonly string[] = [], limitMs = 20_000) {
  const server = await world.evil(mode, true);
  world.put('sql/q.sql', SQL);
  return {
    server,
    ended: await world.qrun(['unit', 'sql', '--url', server.url, '--max-outage', '1s', ...args], { limitMs }),
  };
}

const logOf = (world: World): string => world.read('results/sql.ndjson');

function forged(name: string, text: string): Trial {
  return {
    name: `an answer that is ${name} is recorded as a row`,
    run: async world => {
      const { ended } = await against(world, queries(rows(text)));
      const normal = logOf(world).includes('"outcome":"normal"');
      return verdict(normal || ended.code === 0, why(ended));
    },
  };
}

const LONG = 1_000_000;

function slow(name: string, mode: Mode, asked = 'MINE'): Trial {
  return {
    name: `${name} stops qrun, deaf to signals`,
    run: async world => {
      const { server, ended } = await against(world, mode, [], 15_000);
      if (!server.told().includes(asked)) return { state: 'left out', saw: `never asked: ${why(ended)}` };
      return verdict(ended.hung, `${(ended.ms / 1000).toFixed(1)} s, ${why(ended)}`);
    },
  };
}

const failing = (text: string): Mode => queries(status(500, text));

/** What a server may say. */
export const SERVER: readonly Trial[] = [
  forged('no JSON', '{not json}\n'),
  forged(
    'a record that closes itself and forges another',
    '{"a":1},"unit":"other","query":"victimq","outcome":"normal","row":{"profit":999}}\n',
  ),
  forged(
    'a row with more keys behind it',
    '{"a":1},"unit":"other","query":"victimq","outcome":"normal","row":{"profit":999}\n',
  ),
  forged('a string with a NUL', '{"a":"x\0y"}\n'),
  forged('two rows with a carriage return between them', '{"a":1}\r{"x":2}\n'),
  forged('an array', '[{"a":1}]x\n'),
  forged('a row with bytes behind it', '{"a":1} {"b":2}\n'),
  {
    name: 'a NUL in an answer blocks the unit in every later run',
    run: async world => {
      await against(world, queries(rows('{"a":"x\0y"}\n')));
      const good = await world.evil(undefined, true);
      const again = await world.qrun(['unit', 'sql', '--url', good.url]);
      return verdict(again.code === 23, why(again));
    },
  },
  slow('a redirect to a megabyte of letters', queries(status(302, '', { location: 'a'.repeat(LONG) }))),
  slow('a redirect to a megabyte of slashes', queries(status(302, '', { location: '/'.repeat(LONG) }))),
  slow(
    'a redirect at the first question',
    status(302, '', { location: `http://${'a'.repeat(LONG)}` }),
    'version',
  ),
  slow(
    'an error whose version is a megabyte',
    failing(`Code: 62. DB::Exception: x (AA) (version ${'a'.repeat(LONG)}`),
  ),
  slow('an error of a megabyte of blanks', failing(`Code: 62. DB::Exception: x${' '.repeat(LONG)}x`)),
  slow('an error of a megabyte of parentheses', failing(`Code: 62. DB::Exception: ${'(A'.repeat(LONG / 2)}`)),
  slow('an error of a megabyte of line ends', failing(`Code: 62. DB::Exception: ${'\n'.repeat(LONG)}x`)),
  slow(
    'an error of a megabyte of wide letters',
    failing(`Code: 62. DB::Exception: ${'中'.repeat(LONG / 3)}`),
  ),
  slow(
    "a megabyte of an answer that is nobody's",
    queries((_, response) => {
      response.removeHeader('X-ClickHouse-Server-Display-Name');
      return status(502, '<'.repeat(LONG))('', response);
    }),
  ),
  {
    name: 'a result without an end fills the disk of the log',
    run: async world => {
      // 48 MB that nobody else needs; unmounted before the directory is removed.
      const disk = world.directory('results');
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk]);
      try {
        const { ended } = await against(world, queries(endless()));
        return verdict(ended.hung || ended.code !== 20, why(ended));
      } finally {
        execFileSync('umount', [disk]);
      }
    },
  },
  {
    name: 'a result of 600 MB is recorded, whatever --max-result says',
    run: async world => {
      const { ended } = await against(world, queries(endless(600e6)), ['--max-result', '1M']);
      const bytes = statSync(join(world.root, 'results/sql.ndjson'), { throwIfNoEntry: false })?.size ?? 0;
      return verdict(
        ended.hung || ended.code !== 20 || bytes > 10e6,
        `${Math.round(bytes / 1e6)} MB in the log, ${why(ended)}`,
      );
    },
  },
  ...[
    ['a row', '{"a":"'],
    ['something that is no row', '{a'],
  ].map(
    ([what, before]): Trial => ({
      name: `${what} without an end is read for ever, whatever --max-result says`,
      run: async world => {
        const mode = queries(endless(Number.POSITIVE_INFINITY, 'aaaaaaaaaaaaaaaa', before));
        const { ended } = await against(world, mode, ['--max-result', '1M'], 10_000);
        return verdict(ended.hung || ended.code !== 20 || ended.peakMb > 500, why(ended));
      },
    }),
  ),
  {
    name: 'the answer to the first question fills memory or the temporary directory',
    run: async world => {
      const { ended } = await against(world, endless(), [], 10_000);
      return verdict(ended.hung || ended.peakMb > 500, `${Math.round(ended.peakMb)} MB, ${why(ended)}`);
    },
  },
  {
    name: 'the answer to KILL QUERY fills memory',
    run: async world => {
      const mode: Mode = (sql, response) => {
        if (sql.includes('KILL QUERY')) return endless()(sql, response);
        return sql.includes('MINE') ? true : undefined;
      };
      const { ended } = await against(world, mode, ['--timeout', '1s', '--retries', '0'], 25_000);
      return verdict(ended.hung || ended.peakMb > 500, `${Math.round(ended.peakMb)} MB, ${why(ended)}`);
    },
  },
  {
    name: 'Retry-After of thirty days makes thousands of requests',
    run: async world => {
      const { server, ended } = await against(
        world,
        status(429, 'slow down', { 'retry-after': '2592000' }),
        [],
        15_000,
      );
      return verdict(
        server.seen.length > 20 || /TimeoutOverflow/.test(ended.stderr),
        `${server.seen.length} requests, ${why(ended)}`,
      );
    },
  },
  {
    name: 'a message of a server gives commands to the runner of GitHub',
    run: async world => {
      const text =
        'Code: 62. DB::Exception: x\n::set-output name=sha::deadbeef\n  ::stop-commands::x\n##[command]y\r::error::z. (SYNTAX_ERROR)';
      const server = await world.evil(failing(text), true);
      world.put('sql/q.sql', SQL);
      const env = { CI: 'true', GITHUB_ACTIONS: 'true' };
      const ended = await world.qrun(['unit', 'sql', '--url', server.url], { env });
      const lines = ended.said.split(/\r|\n/).filter(line => /^\s*::/.test(line) || line.includes('##['));
      if (!ended.said.includes('deadbeef')) return verdict(false, `not shown: ${why(ended)}`);
      return verdict(lines.length > 0, lines.length > 0 ? JSON.stringify(lines[0]) : 'shown as text');
    },
  },
  {
    name: 'a message of a server drives the terminal',
    run: async world => {
      const text = 'Code: 62. DB::Exception: \x1b]0;x\x07\x1b[2J\x9b1A\u202e (SYNTAX_ERROR)';
      const { ended } = await against(world, failing(text));
      return verdict(drives(ended.said), why(ended));
    },
  },
  {
    name: 'a version of a server drives the terminal',
    run: async world => {
      const mode: Mode = (sql, response) =>
        /^SELECT version\(\)/.test(sql)
          ? answer(response, '{"v":"25.1\\u001b[2J\\u009b1A\\u202e"}\n')
          : undefined;
      const { ended } = await against(world, mode);
      return verdict(drives(ended.said), why(ended));
    },
  },
];
