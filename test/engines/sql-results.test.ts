import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from 'chdb';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ENGINE_SETTINGS } from '../../src/core/engines/engine-settings.js';
import { setStatement } from '../../src/core/sql/set-statement.js';
import { openClickHouse } from '../../src/io/engines/clickhouse/engine.js';
import { openEmbedded } from '../../src/io/engines/embedded/engine.js';
import {
  type ClickHouseServer,
  clickHouseServerAvailable,
  servicesRequired,
  startClickHouseServer,
} from '../services/clickhouse-server.js';
import { ContractClient } from './contract-client.js';

// A result is what the file says: files of several statements are given to an engine, and as they are to what users
// had before it (chDB's session, clickhouse-client with the same settings as flags). Those print the rows of all
// statements; the last result is what the file prints more than its beginning, up to the last statement with rows.

const SEED = 20_261_128;
const EMBEDDED_FILES = 250;
const SERVER_FILES = 50;
// A client is started twice for each file.
const LIMIT_MS = 180_000;

// What the user sets for all queries, and a file may set itself.
const GIVEN = {
  join_use_nulls: '1',
  max_block_size: '1234',
  max_insert_block_size: '4321',
  output_format_json_quote_64bit_integers: '0',
};
type Name = keyof typeof GIVEN;
const NAMES = Object.keys(GIVEN) as Name[];

interface Piece {
  readonly sql: string;
  readonly answers: boolean;
}

const silent = (sql: string): Piece => ({ sql, answers: false });
const answering = (sql: string): Piece => ({ sql, answers: true });

const keyword = (word: string) => fc.constantFrom(word, word.toUpperCase());
// Each holds what would be another setting, were it not in a comment.
const TRAPS = [
  ' ',
  '\n  ',
  ' -- the, join_use_nulls = 0, max_block_size = 1\n',
  " /* it's, max_block_size = 1, */ ",
  '/*,max_insert_block_size=1*/',
  ' --,\n\t',
];
const gap = fc.constantFrom(...TRAPS);

const assignment = fc
  .tuple(fc.constantFrom(...NAMES), fc.constantFrom('"', '`', ''), fc.integer({ min: 2, max: 99 }), gap, gap)
  .map(([name, quote, number, before, behind]) => {
    const value = name.startsWith('max_') ? number : number % 2;
    return `${quote}${name}${quote}${before}=${behind}${value}`;
  });
const text = fc
  .constantFrom('a, join_use_nulls = 0', "it\\'s, max_block_size = 1", "''", ';', '-- ', '{x:UInt8}')
  .map(value => `format_schema = '${value}'`);
const list = fc
  .array(fc.tuple(gap, fc.oneof({ weight: 4, arbitrary: assignment }, { weight: 1, arbitrary: text }), gap), {
    minLength: 1,
    maxLength: 3,
  })
  .map(items => items.map(parts => parts.join('')).join(','));
const set = fc.tuple(keyword('set'), list).map(([word, items]) => silent(`${word}${items}`));

const SHOWN = NAMES.map(name => `'${name}'`).join(', ');
const values = `(select groupArray(concat(name, '=', value)) from (select name, value from system.settings where name in (${SHOWN}) order by name))`;
const QUERIES = [
  `select 1 as q, ${values} as v, toUInt64(7) as n`,
  'select k, v from (select 1 as k) as a any left join (select 2 as k, 3 as v) as b using k',
  'select currentDatabase() as d',
  'select a, b from t order by a',
  'select 5 as five where 0',
  "select 'set max_block_size = 1; -- ' as s",
  'exists table system.one',
  'describe table system.one',
  'show databases',
];
const clauses = fc.oneof(
  { weight: 4, arbitrary: fc.constant('') },
  { weight: 2, arbitrary: list.map(items => ` settings${items}`) },
);
const format = fc.constantFrom('', '', ' format JSONEachRow', '\nFORMAT /* x */ `JSONEachRow`');
const query = fc
  .tuple(fc.constantFrom(...QUERIES), clauses, format)
  // Not every version takes SETTINGS after what is no SELECT.
  .map(([sql, clause, end]) => answering(`${sql}${sql.startsWith('select') ? clause : ''}${end}`));
const nothing = fc
  .tuple(fc.constantFrom(...QUERIES), gap)
  .map(([sql, blank]) => silent(`${sql}${blank} FORMAT${blank} Null`));
const other = fc.constantFrom(
  silent('use system'),
  silent("insert into t values (3, 'x;, max_block_size = 1'), (4, '')"),
  silent('insert into t select 9, toString(9)'),
  silent('create temporary table if not exists u (a Int8)'),
);
const oldPiece = fc.oneof(
  { weight: 4, arbitrary: set },
  { weight: 4, arbitrary: query },
  { weight: 2, arbitrary: other },
  { weight: 1, arbitrary: nothing },
);
const modernPiece = fc.oneof(
  { weight: 8, arbitrary: oldPiece },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      silent('set max_block_size = default, join_use_nulls = DEFAULT'),
      silent("set max_block_size = '77' /* , join_use_nulls = 0 */"),
      silent('set async_insert, join_use_nulls = 0'),
      silent('set “max_block_size” = 66, `max_insert_bl\\x6fck_size` = 55'),
      silent("set additional_table_filters = {'x': 'a, max_block_size = 1'}, join_use_nulls = false"),
      silent("set log_comment = 'mine, max_block_size = 1'"),
      silent("set param_p = 'a, b'"),
      silent("set time zone 'Asia/Tokyo'"),
      silent('set output_format_json_array_of_rows = 1'),
      silent('select 1 format null'),
      silent('select 1 format "NULL" settings max_threads = 1'),
      silent('insert into t format CSV\n5,"a;\n""b"""\n\n'),
      silent("set dialect = 'kusto', allow_experimental_kusto_dialect = 1; set dialect = 'clickhouse'"),
      answering('select 1 as a settings output_format_json_array_of_rows = 1'),
      answering(
        'select number from numbers(3) format JSONEachRow settings output_format_json_array_of_rows = 1',
      ),
      answering('select number from numbers(0) settings output_format_json_array_of_rows = 1'),
      answering("set log_comment = 'own'; select getSetting('log_comment') as c, timezone() as z"),
      answering("1 + 2 as three, 'x' as s"),
      answering("upper('Hello')"),
      answering('number from numbers(3) where number > 5'),
      answering('number + 1 as n from numbers(3) order by n desc'),
      answering("set dialect = 'kusto', allow_experimental_kusto_dialect = 1; print b = 2"),
      answering(
        'insert into default.keep select 1; alter table default.keep freeze settings alter_partition_verbose_result = 1',
      ),
      answering('check table default.keep'),
      answering('explain select 1 format Null'),
      answering('drop from (select 1 as drop)'),
      answering('create as x from (select 2 as create) settings max_threads = 1'),
      answering('insert or 0 from (select 3 as insert)'),
      silent('create temporary table if not exists w as select number from numbers(3)'),
      answering('explain ast select 1 format TSV'),
      answering('explain ast select 1 format TSV format JSONEachRow'),
      answering('show create table default.keep'),
    ),
  },
);
// Behind this nothing can be set any more.
const readOnly = fc.constantFrom(
  '',
  '',
  'set readonly = 1',
  'SET max_block_size = 99, -- a\n `readonly` = 1',
  'set readonly = 2',
);

interface File {
  readonly sql: string;
  /** The file up to, and without, its last statement with an answer; `undefined` where there is none. */
  readonly beginning: string | undefined;
}

function fileOf(pieces: readonly Piece[], blanks: readonly string[], tail: string): File {
  const last = pieces.findLastIndex(({ answers }) => answers);
  const join = (some: readonly Piece[]) =>
    some
      .map(({ sql }, index) => {
        // The data of an INSERT ends at the end of the line in clickhouse-client 18.16, whatever stands there.
        const end = sql.endsWith('\n\n') ? '' : sql.startsWith('insert') ? ';\n' : ';';
        return `${blanks[index] ?? ''}${sql}${end}`;
      })
      .join('');
  return { sql: join(pieces) + tail, beginning: last === -1 ? undefined : join(pieces.slice(0, last)) };
}

// A foreign dialect stays to the end of a file.
const isForeignEnd = ({ sql }: Piece) => sql.includes('print b');
const START = [
  silent('create temporary table t (a Int64, b String)'),
  silent("insert into t values (1, 'one'), (2, 'two')"),
];

function files(
  piece: fc.Arbitrary<Piece>,
  ending: fc.Arbitrary<string>,
  tail: fc.Arbitrary<string>,
): fc.Arbitrary<File> {
  return fc
    .tuple(
      fc.array(piece, { minLength: 2, maxLength: 6 }),
      ending,
      fc.array(fc.constantFrom(...QUERIES), { maxLength: 2 }),
      fc.array(fc.constantFrom('', '\n', '-- a;\n', '/* ; */'), { minLength: 12, maxLength: 12 }),
      tail,
    )
    .map(([pieces, readonlySet, queries, blanks, end]) => {
      const foreign = pieces.findIndex(isForeignEnd);
      if (foreign !== -1) return fileOf([...START, ...pieces.slice(0, foreign + 1)], blanks, end);
      const set = readonlySet === '' ? [] : [silent(readonlySet)];
      return fileOf([...START, ...pieces, ...set, ...queries.map(answering)], blanks, end);
    });
}

/** The rows of the last result, of what a whole file and its beginning print. */
function lastRows(whole: string, beginning: string): string {
  if (!whole.startsWith(beginning)) throw new Error('the file does not print the same twice');
  return whole
    .slice(beginning.length)
    .split('\n')
    .filter(line => line !== '' && line !== '[' && line !== ']')
    .map(line => `${line.replace(/,$/, '')}\n`)
    .join('');
}

// Of a backup that ALTER ... FREEZE makes; each time another.
const stable = (rows: string) =>
  rows.replace(/"(backup_name|backup_path|part_backup_path|part_name)":"[^"]*"/g, '"$1":""');

async function compare(
  client: ContractClient,
  oracle: (sql: string) => string,
  { sql, beginning }: File,
  prepare: () => Promise<unknown> = async () => undefined,
): Promise<string> {
  const expected = beginning === undefined ? '' : lastRows(stable(oracle(sql)), stable(oracle(beginning)));
  await prepare();
  const found = await client.rows(sql, { settings: GIVEN });
  expect(stable(found)).toBe(expected);
  return expected;
}

describe('the embedded engine gives the last result that chDB prints', () => {
  let directory: string;
  let session: Session | undefined;
  const client = new ContractClient();

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'qrun-results-'));
    client.engine = await openEmbedded(
      {
        dataDirectory: directory,
        concurrency: 2,
        spool: { directory: tmpdir(), thresholdBytes: 1024 * 1024 },
        settings: {},
        // What the files set (format_schema) is for all engines.
        access: { files: true, network: false },
      },
      new AbortController().signal,
    );
    await client.rows('create table keep (a Int8) engine = MergeTree order by a');
  });
  afterAll(async () => {
    session?.close();
    await client.engine.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function oracle(sql: string): string {
    session = new Session(directory);
    try {
      session.query(setStatement(new Map(Object.entries({ ...ENGINE_SETTINGS, ...GIVEN }))), 'Null');
      session.query('TRUNCATE TABLE keep', 'Null');
      return sql === '' ? '' : session.query(sql, 'JSONEachRow');
    } finally {
      session.close();
    }
  }

  it(`on ${EMBEDDED_FILES} files`, { timeout: LIMIT_MS }, async () => {
    let answered = 0;
    await fc.assert(
      fc.asyncProperty(
        files(modernPiece, readOnly, fc.constantFrom('', '\n', '-- end', '\n/* ; */\n')),
        async file => {
          const empty = () => client.rows('truncate table keep');
          if ((await compare(client, oracle, file, empty)) !== '') answered += 1;
        },
      ),
      { numRuns: EMBEDDED_FILES, seed: SEED },
    );
    expect(answered).toBeGreaterThan(EMBEDDED_FILES / 2);
  });
});

describe.skipIf(!clickHouseServerAvailable() && !servicesRequired())(
  'a server gives the last result that clickhouse-client prints',
  () => {
    let server: ClickHouseServer;
    const client = new ContractClient();

    beforeAll(async () => {
      server = await startClickHouseServer();
      client.engine = await openClickHouse(
        {
          url: server.url,
          ...server.admin,
          concurrency: 2,
          spool: { directory: tmpdir(), thresholdBytes: 1024 * 1024 },
          settings: {},
        },
        new AbortController().signal,
      );
    });
    afterAll(async () => {
      await client.engine?.close();
      await server?.stop();
    });

    const flags = Object.entries({ ...GIVEN, output_format_json_escape_forward_slashes: '0' }).flatMap(
      ([name, value]) => [`--${name}`, value],
    );
    const oracle = (sql: string) =>
      execFileSync(
        'clickhouse-client',
        ['--port', String(server.nativePort), '-n', '--format', 'JSONEachRow', ...flags],
        { input: sql, encoding: 'utf8', stdio: 'pipe' },
      );

    it(`on ${SERVER_FILES} files`, { timeout: LIMIT_MS }, async ({ skip }) => {
      if (server.nativePort === 0) skip('the port of the native protocol is not known');
      let answered = 0;
      await fc.assert(
        fc.asyncProperty(files(oldPiece, fc.constant(''), fc.constantFrom('', '\n')), async file => {
          if ((await compare(client, oracle, file)) !== '') answered += 1;
        }),
        { numRuns: SERVER_FILES, seed: SEED },
      );
      expect(answered).toBeGreaterThan(SERVER_FILES / 2);
    });
  },
);
