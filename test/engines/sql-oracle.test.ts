import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Session } from 'chdb';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseQuery } from '../../src/core/sql/parse.js';
import type { Statement } from '../../src/core/sql/statement.js';

// ClickHouse itself says whether a file was split rightly: the embedded engine runs the whole file, then our
// statements one by one, and the answers must be the same bytes. The engine keeps one data directory for each
// process; a session of its own for each run keeps settings, temporary tables and left-over rows apart.

const FILES = 800;
const SEED = 20_260_131;

let directory: string;
let keeper: Session;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'qrun-sql-oracle-'));
  keeper = new Session(directory);
});

afterAll(() => {
  keeper.close();
  rmSync(directory, { recursive: true, force: true });
});

function inSession<T>(run: (session: Session) => T): T {
  const session = new Session(directory);
  try {
    return run(session);
  } finally {
    session.close();
  }
}

/** The whole file's answer, or the engine's error. */
function runWhole(sql: string): string {
  return inSession(session => session.query(sql, 'TSV'));
}

/** The answers of our statements, with the formats put back; each that gives rows is also asked for as JSON. */
function runPieces(statements: readonly Statement[]): string {
  return inSession(session => {
    let output = '';
    for (const { text, data, format, rows } of statements) {
      const query = format === undefined ? text : `${text} FORMAT ${format}`;
      output += session.query(data === undefined ? query : `${query}\n${data}`, 'TSV');
      if (rows !== 'yes') continue;
      for (const line of session.query(`${text} FORMAT JSONEachRow`, 'TSV').split('\n')) {
        expect(line).toMatch(/^(?:\{.*\})?$/);
      }
    }
    return output;
  });
}

interface Piece {
  readonly tokens: readonly string[];
  /** Inline data that follows the last token as it is. */
  readonly data?: string;
  /** Whether only an empty line ends the data. */
  readonly endsAtBlankLine?: boolean;
}

// A dot in the middle stands for a blank within a token.
const words = (text: string) => text.split(' ').map(word => word.replaceAll('·', ' '));
const wordsOf = (text: string) => fc.constantFrom(...text.trim().split('\n')).map(line => words(line.trim()));

// Text that would end, hide or open something, were it read as SQL.
const NASTY = [
  ...';\'"`$-/*#{}\\(),\n\t ',
  '--',
  '/*',
  '*/',
  '$$',
  '$a$',
  '# ',
  'é',
  '’',
  '\\G',
  '\n\n',
  'format CSV',
];
const nastyText = fc
  .array(fc.constantFrom(...NASTY, ';', '{p:String}'), { maxLength: 6 })
  .map(parts => parts.join(''));

const escaped = (text: string, quote: string) =>
  text.replaceAll('\\', '\\\\').replaceAll(quote, `\\${quote}`);
const doubled = (text: string, quote: string) =>
  text.replaceAll('\\', '\\\\').replaceAll(quote, quote + quote);
const quoted = nastyText.map(text => `'${escaped(text, "'")}'`);

const expression = fc.oneof(
  quoted,
  nastyText.map(text => `'${doubled(text, "'")}'`),
  nastyText.map(text => `‘${text.replaceAll('’', '')}’`),
  nastyText.map(text => `$$ ${text.replaceAll('$', '$ ')} $$`),
  nastyText.map(text => `$t_1$${text}$t_1$`),
  wordsOf(`
    1
    1.
    ( .5 )
    1e-3
    0x1F
    null
    [ 1 , 2 ]
    map( 'a;' , 1 )
    tuple( 1 , tuple( 2 , 3 ) ).2.1
    ( 1 - -1 )
    x'413b'
    {p:String}
    { p : String }
    { m : Map( String , UInt8 ) }
    format( '{};' , 1 )
    1 ? 2 : 3
    1 :: String
    case when 1 then ';' else '' end
    not 1
    2 * 3
    interval 1 day
    ( select 1 )
    5−2`).map(tokens => tokens.join(' ')),
);
const expressions = fc
  .array(expression, { minLength: 1, maxLength: 3 })
  .map(list => list.flatMap((item, index) => (index === 0 ? [item] : [',', item])));
const alias = fc.oneof(
  fc.constantFrom('a', 'a$b', '$c', 'a$x$', 'format', 'table', 'select', 'from', 'offset', '“c;d”'),
  nastyText.map(text => `"x${escaped(text, '"')}"`),
  nastyText.map(text => `\`x${doubled(text, '`')}\``),
);

const query = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(expressions, alias).map(([list, name]) => ['select', ...list, 'as', name]),
  },
  { weight: 2, arbitrary: expressions.map(list => ['select', ...list, ...words('from numbers(2) limit 1')]) },
  {
    weight: 4,
    arbitrary: wordsOf(`
      select *
      select n.* from numbers(2) as n
      ( select 1 )
      ( ( select 1 ) ) union all ( select 1 )
      select 1 union all select 1
      select * from format_t order by all
      select a , b from t order by all
      select format from ( select 1 as format )
      select format TSV from ( select 1 as format )
      select 0 , format TSV from ( select 1 as format )
      select distinct format x from ( select 1 as format )
      select not format x from ( select 1 as format )
      select 2 * format x from ( select 1 as format )
      select a.format from ( select 1 as format ) as a
      select 1 from ( select 1 as format ) order by format desc
      select 1 from ( select 1 as format ) where format and 1 in format
      select case format when 1 then 2 end x from ( select 1 as format )
      select table from ( select 5 as table ) order by table
      select offset from ( select 5 as offset ) order by offset
      with format as ( select 1 as x ) select * from format
      with format as ( select 1 as x ) select * from format f
      from numbers(2) select number
      select number from numbers(3) order by number desc limit 1 with ties
      select count() from numbers(3) group by all with totals
      show tables from system like 'one;'
      exists table system.one
      show create temporary table t
      describe table ( select 1 as \`a;\` )
      explain select 1`),
  },
);
const clauses = fc.oneof(
  fc.constant<string[]>([]),
  wordsOf(`
    format TSV
    FORMAT CSV
    Format \`CSV\`
    format csv
    format TabSeparatedWithNames
    settings max_threads = 1
    settings max_threads = 1 format CSV
    format JSONCompactEachRow settings max_threads = 1 , max_block_size = default`),
);

const target = wordsOf(`
  t
  table t
  \`t\`
  format_t
  t ( a , b )
  t settings max_threads = 1
  function null( 'a·String,b·String' )`);
const blank = fc.constantFrom(' ', '\n', ' \n', '\t', ' \t\n');
const values = fc
  .array(fc.tuple(quoted, quoted), { minLength: 1, maxLength: 3 })
  .map(rows => rows.map(([a, b]) => `(${a}, ${b})`).join(', '));
// An empty line ends other data even within quotes, so that the fields hold no line feeds.
const field = nastyText.map(text => text.replaceAll('\n', ''));
const rows = fc.array(fc.tuple(field, field), { minLength: 1, maxLength: 3 });
const csvField = (text: string) => `"${text.replaceAll('"', '""')}"`;
const tsvField = (text: string) => text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t');
const lineData = fc.oneof(
  rows.map(list => ({ format: 'CSV', lines: list.map(cells => cells.map(csvField).join(',')) })),
  rows.map(list => ({ format: 'TSV', lines: list.map(cells => cells.map(tsvField).join('\t')) })),
  rows.map(list => ({ format: 'JSONEachRow', lines: list.map(([a, b]) => JSON.stringify({ a, b })) })),
);

const insert: fc.Arbitrary<Piece> = fc.oneof(
  fc.tuple(target, values).map(([into, data]) => ({ tokens: ['insert', 'into', ...into, 'values', data] })),
  fc.tuple(target, blank, values).map(([into, gap, data]) => ({
    tokens: ['insert', 'into', ...into, 'format', 'Values'],
    data: gap + data,
  })),
  fc.tuple(target, blank, lineData).map(([into, gap, { format, lines }]) => ({
    tokens: ['INSERT', 'INTO', ...into, 'FORMAT', format],
    // A blank is a part of the first TSV field, and a line end is not.
    data: (format === 'TSV' ? '\n' : gap) + lines.join('\n'),
    endsAtBlankLine: true,
  })),
  wordsOf(`
    insert into t select 'x;' , 'y'
    insert into t ( a , b ) select 1 , 2 format TSV
    insert into t ( select 1 , 2 )
    with 7 as x insert into t select x , x`).map(tokens => ({ tokens })),
);
const other: fc.Arbitrary<Piece> = wordsOf(`
  select 1 settings max_threads = 1 format JSONEachRow settings max_block_size = 10
  explain syntax select ';' format TSV
  set max_block_size = 1000
  use default
  set param_p = ';'
  create or replace temporary table u ( format String )
  create temporary table if not exists v engine = Memory as select 1 as format
  drop temporary table if exists u`).map(tokens => ({ tokens }));
const piece: fc.Arbitrary<Piece> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(query, clauses).map(([tokens, clause]) => ({ tokens: [...tokens, ...clause] })),
  },
  { weight: 3, arbitrary: insert },
  { weight: 1, arbitrary: other },
);

const BLANKS = ['\n', '\r\n', '\t', '\u00a0', '\u3000\u200b', ' \ufeff'];
const BLOCK_COMMENTS = [' /* ; */ ', ' /* /* it\'s */ ; " */ ', ' /*/ ; */ ', ' /*--*/ ', '/**/'];
const LINE_COMMENTS = [" -- ; it's\n", '--"\r\n', ' // `;\n', ' # $$;\n', ' #!;\n', ' --/*\n'];
const gap = fc.oneof(
  { weight: 2, arbitrary: fc.constant(' ') },
  { weight: 2, arbitrary: fc.constantFrom(...BLANKS, ...BLOCK_COMMENTS, ...LINE_COMMENTS) },
);
const separator = fc.constantFrom(
  ';',
  ' ; ',
  '\n;\n',
  ';;',
  '; ;\n;',
  "; -- ; it's\n",
  '; /* ; */ ;',
  ';\n\n',
  ' -- a;\n;',
);
const ending = fc.constantFrom('', ';', '\n', '; -- ;', ';\n/* ; */\n', ' ;; ');

interface File {
  readonly sql: string;
  readonly pieces: number;
}

const PREAMBLE = `create temporary table t (a String, b String); create temporary table format_t (a String, b String);
set param_p = 'a;', param_m = '{}';`;

const file: fc.Arbitrary<File> = fc
  .array(piece, { minLength: 2, maxLength: 5 })
  .chain(pieces => {
    const tokenCount = pieces.reduce((sum, { tokens }) => sum + tokens.length, 0);
    return fc.tuple(
      fc.constant(pieces),
      fc.array(gap, { minLength: tokenCount, maxLength: tokenCount }),
      fc.array(separator, { minLength: pieces.length, maxLength: pieces.length }),
      ending,
    );
  })
  .map(([pieces, gaps, separators, end]) => {
    let sql = PREAMBLE;
    let next = 0;
    for (const [index, { tokens, data = '', endsAtBlankLine }] of pieces.entries()) {
      for (const token of tokens) {
        sql += `${gaps[next]}${token}`;
        next += 1;
      }
      const isLast = index === pieces.length - 1;
      if (endsAtBlankLine) sql += isLast ? data : `${data}\n\n`;
      else sql += data + (isLast ? end : separators[index]);
    }
    return { sql, pieces: pieces.length + 3 };
  });

describe('the embedded engine agrees', () => {
  // Fifteen seconds of the engine's time.
  it(`on ${FILES} files of several statements, whole and in pieces`, { timeout: 120_000 }, () => {
    let answered = 0;
    fc.assert(
      fc.property(file, ({ sql, pieces }) => {
        const { statements } = parseQuery(sql);
        expect(statements).toHaveLength(pieces);
        const whole = runWhole(sql);
        expect(runPieces(statements)).toBe(whole);
        if (whole !== '') answered += 1;
      }),
      { numRuns: FILES, seed: SEED },
    );
    expect(answered).toBeGreaterThan(FILES / 2);
  });
});
