import { describe, expect, it } from 'vitest';
import { Lexer, TokenKind } from '../../../src/core/sql/lexer/lexer.js';
import { positionOf } from '../../../src/core/sql/lexer/position.js';
import { Tokens } from '../../../src/core/sql/lexer/tokens.js';
import { refusalOf } from './sql-refusal.js';

const NAMES = new Map<number, string>(Object.entries(TokenKind).map(([name, kind]) => [kind, name]));

function lex(sql: string): string[] {
  const lexer = new Lexer(sql);
  const found: string[] = [];
  for (let kind = lexer.next(); kind !== TokenKind.end; kind = lexer.next()) {
    found.push(`${NAMES.get(kind)} ${sql.slice(lexer.start, lexer.end)}`);
  }
  return found;
}

describe('comments are no tokens', () => {
  it.each([
    ['a --;\n b'],
    ['a -- \r;\n b'],
    ['a --x'],
    ['a //;\nb'],
    ['a # ;\nb'],
    ['a #!;\nb'],
    ['a /* ; */ b'],
    ['a /* /* ; */ ; */ b'],
    ['a /*/ ; */ b'],
    ['a /*/*/ ; */*/ b'],
    ['a /**/ b'],
    ['/* a */ a -- b'],
    ["a -- it's\nb"],
  ])('%j', sql => {
    expect(lex(sql).filter(token => token !== 'word a' && token !== 'word b')).toEqual([]);
  });

  it.each([['#x'], ['##'], ['#\tx'], ['#\nx'], ['#']])('%j is none', sql => {
    expect(lex(sql)[0]).toBe('other #');
  });

  it('a line feed is the only end of a line', () => {
    expect(lex('-- a\r b\u2028 c\nd')).toEqual(['word d']);
  });

  it('notes where dash comments begin', () => {
    const lexer = new Lexer("-- a\nselect '--' // c -- d\n --b\n/* -- */");
    while (lexer.next() !== TokenKind.end);
    expect(lexer.dashComments).toEqual([0, 28]);
  });
});

describe('quotes', () => {
  it.each([
    [`'a;b'`, 'string'],
    [`'a'';b'`, 'string'],
    [String.raw`'a\';b'`, 'string'],
    [String.raw`'a\\'`, 'string'],
    [`''`, 'string'],
    [`''''`, 'string'],
    [`"a"";b"`, 'quotedName'],
    [String.raw`"a\";b"`, 'quotedName'],
    ['`a``;b`', 'quotedName'],
    ['`a\\`;b`', 'quotedName'],
    ['‘a;b’', 'string'],
    ['‘a\\’', 'string'],
    ['“c;d”', 'quotedName'],
    ['$$a;b$$', 'string'],
    ['$$ $ $x $x$ $$', 'string'],
    ['$tag$ $$ $tag $tag$', 'string'],
    ['$1_a$;$1_a$', 'string'],
    ['$$$$', 'string'],
    ["'two\nlines'", 'string'],
  ])('%j is one token', (sql, kind) => {
    expect(lex(sql)).toEqual([`${kind} ${sql}`]);
    expect(lex(`a ${sql} b`)).toEqual(['word a', `${kind} ${sql}`, 'word b']);
  });

  it.each([
    ["a\n  'b", '2:3', 'string'],
    ["'a\\'", '1:1', 'string'],
    ["'a\\", '1:1', 'string'],
    ["'a''", '1:1', 'string'],
    ['a "b', '1:3', 'identifier'],
    ['`b', '1:1', 'identifier'],
    ['a\n\n ‘b', '3:2', 'string'],
    ['“b', '1:1', 'identifier'],
    ['a $$b', '1:3', 'heredoc'],
    ['a $x$b $x', '1:3', 'heredoc'],
    ['$$$', '1:1', 'heredoc'],
    ['a /* b', '1:3', 'comment'],
    ['/* /* */', '1:1', 'comment'],
    ['/*/', '1:1', 'comment'],
  ])('%j is refused', (sql, place, what) => {
    const error = refusalOf(() => lex(sql));
    expect(error.code).toBe('SQL_INVALID');
    expect(error.message).toMatch(new RegExp(`^${place}: the ${what} that .* opens here is not closed$`));
  });

  it('says how to end a heredoc', () => {
    expect(refusalOf(() => lex('select $tag$ x')).hint).toContain('end it with $tag$');
  });
});

describe('words, numbers and the rest', () => {
  it.each([
    ['a$b', ['word a$b']],
    ['a$x$;', ['word a$x$', 'terminator ;']],
    ['$c', ['word $c']],
    ['$c+$d', ['word $c', 'other +', 'word $d']],
    ['$a-b$x$a-b$', ['word $a', 'other -', 'word b$x$a', 'other -', 'word b$']],
    ['$ a', ['other $', 'word a']],
    ['$é$', ['other $', 'other é', 'other $']],
    ['1 1.5 1. .5', ['number 1', 'number 1.5', 'number 1.', 'dot .', 'number 5']],
    ['1e5 1e-5 1.5E+3', ['number 1e5', 'number 1e-5', 'number 1.5E+3']],
    ['1--2', ['number 1']],
    ['1e--2', ['number 1e']],
    ['1-2', ['number 1', 'other -', 'number 2']],
    ['1abc 0x1F 1_000', ['number 1abc', 'number 0x1F', 'number 1_000']],
    ['1$$a$$', ['number 1', 'string $$a$$']],
    ['t.1.2', ['word t', 'dot .', 'number 1.2']],
    ['a.b', ['word a', 'dot .', 'word b']],
    ['([{}])', ['open (', 'open [', 'open {', 'close }', 'close ]', 'close )']],
    ['*,;', ['star *', 'comma ,', 'terminator ;']],
    ['\\G\\g', ['terminator \\G', 'other \\', 'word g']],
    ['a/b-c', ['word a', 'other /', 'word b', 'other -', 'word c']],
    ['é\u2212', ['other é', 'other \u2212']],
    ["x'41'", ['word x', "string '41'"]],
    [
      '\ufeffa\u00a0b\u3000c\u200bd\u2060e\u0085f\u180e\u2028\u202f\u205f',
      [...'abcdef'].map(word => `word ${word}`),
    ],
    ['\f\v\r\n\t ', []],
  ])('%j', (sql, expected) => {
    expect(lex(sql)).toEqual(expected);
  });

  it('goes on saying end', () => {
    const lexer = new Lexer('a ');
    lexer.next();
    expect([lexer.next(), lexer.next(), lexer.start, lexer.end]).toEqual([0, 0, 2, 2]);
  });
});

describe('positionOf', () => {
  it.each([
    [0, 1, 1],
    [1, 1, 2],
    [2, 1, 3],
    [3, 2, 1],
    [5, 3, 1],
    [7, 3, 3],
  ])('offset %d is %d:%d', (offset, line, column) => {
    expect(positionOf('ab\nc\nde', offset)).toEqual({ line, column });
  });
});

describe('Tokens', () => {
  function tokensOf(sql: string): Tokens {
    const lexer = new Lexer(sql);
    const tokens = new Tokens(sql);
    for (let kind = lexer.next(); kind !== TokenKind.end; kind = lexer.next()) tokens.push(kind, lexer);
    return tokens;
  }

  it('compares words in any case, and only words', () => {
    const tokens = tokensOf('Select "SELECT" selecT_ xelect');
    expect([0, 1, 2, 3, 4, -1].map(index => tokens.isWord(index, 'SELECT'))).toEqual([
      true,
      false,
      false,
      false,
      false,
      false,
    ]);
  });

  it('gives names without quotes, and none where escapes would have to be read', () => {
    const tokens = tokensOf('a "b c" `d` “e” "f""g" `h\\`` 1t \'s\'');
    const names = Array.from({ length: 9 }, (_, index) => tokens.name(index));
    expect(names).toEqual(['a', 'b c', 'd', 'e', undefined, undefined, '1t', undefined, undefined]);
  });

  it('matches nothing beyond its ends', () => {
    const tokens = tokensOf('a');
    expect([tokens.kind(-1), tokens.kind(1), tokens.written(1), tokens.isCharacter(1, 'a')]).toEqual([
      0,
      0,
      '',
      false,
    ]);
    expect(tokens.isCharacter(0, 'a')).toBe(true);
  });

  it('grows, and forgets', () => {
    const tokens = tokensOf('a '.repeat(5000));
    expect([tokens.length, tokens.start(4999), tokens.end(4999)]).toEqual([5000, 9998, 9999]);
    tokens.clear();
    expect([tokens.length, tokens.kind(0)]).toEqual([0, TokenKind.end]);
  });
});
