import fc from 'fast-check';
import { NO_ACCESS } from '../../../src/core/engines/embedded/access.js';
import { encodeParameter, suggest } from '../../../src/core/engines/engine-settings.js';
import { outsideInStored } from '../../../src/core/sql/guard/outside.js';
import { conditionUse, valuesUse } from '../../../src/core/sql/guard/unguarded.js';
import { encodeSql } from '../../../src/core/sql/lexer/encoding.js';
import { decodeSql, holdsNoStatement, parseQuery } from '../../../src/core/sql/parse.js';
import { literal } from '../../../src/core/sql/set-statement.js';
import { cuts, longOf, must, mutated, textOf } from './grammar.js';
import { type Target, target } from './trial.js';

// What means something to the lexer, the splitter and the reader of clauses.
const PIECES: readonly string[] = [
  ...' ;\n\t\r\'"`$\\/*-#!()[]{}:,.=+%é1_‘’“”\u00a0\ufeff',
  ...['--', '//', '/*', '*/', '# ', '#!', '$$', '$a$', '\\G', "''", '{x:UInt8}', '__A__', '-- qrun: rows=1'],
  ...[
    'select ',
    'insert into t ',
    'values ',
    'format CSV',
    ' settings a=1',
    'into outfile ',
    'with ',
    ' from ',
  ],
  ...['set param_x=1', 'create temporary table t ', 'input(', ' as ', 'explain ', ' order by ', 'union all '],
];
const VALID = fc.constantFrom(
  "WITH 1 AS x SELECT x, 'a;b' AS s FROM t WHERE y IN (1, 2) SETTINGS max_threads = 4 FORMAT CSV;",
  "-- qrun: timeout=5s\nINSERT INTO t (a, b) VALUES (1, 'x'), (2, 'it''s');\nSELECT count() FROM t",
  'CREATE TEMPORARY TABLE t AS SELECT number FROM numbers(10); SELECT * FROM t /* a /* b */ c */;',
  "SET max_block_size = 1000, param_x = 'y'; SELECT {x:String} AS `a``b`, $tag$ heredoc ; $tag$",
  'INSERT INTO t SETTINGS async_insert=1 FORMAT JSONEachRow {"a":1}\n{"a":2}\n',
  'EXPLAIN PLAN SELECT a -> b[1].2 FROM (SELECT 1 AS a UNION ALL SELECT 2) ORDER BY 1 LIMIT 10 BY a;',
);
const sql = fc.oneof(
  { weight: 3, arbitrary: mutated(VALID, PIECES) },
  { weight: 3, arbitrary: textOf(PIECES) },
);

// And what is looked for in SQL that reaches outside, in strings in strings too.
const OUTSIDE = [
  ...PIECES,
  ...[
    'dictionary ',
    'create ',
    'attach ',
    'source(',
    'layout(',
    'engine = ',
    'url(',
    'disk = disk(',
    'drop function ',
  ],
  ...[
    'settings ',
    'format_schema = ',
    'format(',
    'Values, ',
    "'(",
    "\\'",
    '\\\\',
    'additional_result_filter = ',
    '$b$',
  ],
];
const outside = fc.oneof(
  { weight: 4, arbitrary: textOf(OUTSIDE) },
  { weight: 1, arbitrary: longOf(OUTSIDE) },
);

/** The reader of SQL files. */
export const SQL: readonly Target[] = [
  target('sql', 800, sql, text => {
    const { statements } = parseQuery(text);
    for (const { start, end } of statements)
      must(start < end && end <= text.length, 'a statement has no place');
    holdsNoStatement(text);
  }),
  target('sql-outside', 400, outside, text => {
    outsideInStored(text, NO_ACCESS);
    valuesUse(text, NO_ACCESS);
    conditionUse(text, NO_ACCESS);
  }),
  target(
    'sql-bytes',
    500,
    fc.tuple(sql, fc.uint8Array({ maxLength: 6 }), cuts),
    ([text, noise, [at = 0]]) => {
      const bytes = Buffer.from(text);
      const place = Math.floor(at * bytes.length);
      const file = Buffer.concat([bytes.subarray(0, place), noise, bytes.subarray(place)]);
      const read = decodeSql(file);
      const mark = file.subarray(0, 3).equals(Buffer.from('\ufeff')) ? 3 : 0;
      must(Buffer.from(encodeSql(read)).equals(file.subarray(mark)), 'bytes of a file have changed');
    },
  ),
  target(
    'parameters',
    500,
    fc.tuple(
      textOf(["'", '\\', '\\N', '\t', '\n', '\0', '[', ']', ',']),
      textOf(['Nullable(', 'String', 'Array(', 'UInt8)', ' '], 5),
    ),
    ([value, type]) => {
      const sent = encodeParameter(value, type);
      must(/^\s*(?:Nullable\(\s*)?[A-Z]\w+\b/.test(type) || !/[\t\n]/.test(sent), 'a line end is sent');
      must(
        /^'(?:[^'\\]|\\.|'')*'$/s.test(literal(value)) || value.length > 10_000,
        'a literal has another end',
      );
    },
  ),
  target('suggestions', 100, fc.oneof(textOf(['max', '_', 'threads']), longOf(['max_threads'])), name => {
    suggest(name.slice(0, 1000), ['max_threads', 'max_block_size', 'concurrency']);
  }),
];
