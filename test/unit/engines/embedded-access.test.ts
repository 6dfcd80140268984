import { describe, expect, it } from 'vitest';
import { embeddedConfig, isAllowed, NO_ACCESS } from '../../../src/core/engines/embedded/access.js';
import {
  explained,
  FILE_FUNCTION_CLOSED,
  refusalOf,
  refusedFailure,
} from '../../../src/core/engines/embedded/refusal.js';
import { ownFailure } from '../../../src/core/engines/failure.js';
import { outsideInStored, outsideUse } from '../../../src/core/sql/guard/outside.js';
import { CONDITIONS, type OutsideUse } from '../../../src/core/sql/guard/unguarded.js';
import { parseQuery } from '../../../src/core/sql/parse.js';

const FILES = { files: true, network: false };
const NETWORK = { files: false, network: true };
const ALL = { files: true, network: true };

function useOf(sql: string, access = NO_ACCESS, settings = {}, parameters = {}): OutsideUse | undefined {
  for (const statement of parseQuery(sql).statements) {
    const use = outsideUse(statement, access, { parameters, settings: [settings] });
    if (use !== undefined) return use;
  }
  return undefined;
}

// What reaches outside where the engine's own access control does not look; the engine itself is asked in test/security.
describe('what a statement wants of outside', () => {
  it.each([
    ['CREATE TABLE t (a Int8) ENGINE = File(CSV)', 'the engine File', 'files'],
    ['CREATE TABLE t (a Int8) ENGINE URL(x)', 'the engine URL', 'network'],
    ['ATTACH TABLE t (a Int8) ENGINE = `S\\x33`(x)', 'the engine `S\\x33`', 'both'],
    ['CREATE TABLE t (a Int8) ENGINE = Executable(x)', 'the engine Executable', 'never'],
    [
      'CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(FILE(path x)) LAYOUT(FLAT())',
      'the dictionary source FILE',
      'files',
    ],
    [
      'CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(EXECUTABLE(command x)) LAYOUT(FLAT())',
      'the dictionary source EXECUTABLE',
      'never',
    ],
    [
      'CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(NEW(x 1)) LAYOUT(FLAT())',
      'the dictionary source NEW',
      'both',
    ],
    [
      "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(CLICKHOUSE(host 'h')) LAYOUT(FLAT())",
      'the dictionary source CLICKHOUSE',
      'network',
    ],
    [
      'CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(CLICKHOUSE) LAYOUT(FLAT())',
      'the dictionary source CLICKHOUSE',
      'network',
    ],
    [
      'CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(CLICKHOUSE(table 1 + 1)) LAYOUT(FLAT())',
      'the dictionary source CLICKHOUSE',
      'network',
    ],
    [
      'CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(NULL()) LAYOUT(SSD_CACHE(x 1))',
      'the dictionary layout SSD_CACHE',
      'files',
    ],
    ["INSERT INTO t FROM INFILE 'x' FORMAT CSV", 'FROM INFILE', 'files'],
    ["ATTACH TABLE t FROM '/x' (a Int8) ENGINE = Memory", 'ATTACH ... FROM a path', 'files'],
    [
      'CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local)',
      'a disk in a definition',
      'both',
    ],
    ['DROP FUNCTION file', 'DROP FUNCTION file', 'files'],
    ['DROP FUNCTION IF EXISTS `file`', 'DROP FUNCTION `file`', 'files'],
    ['CREATE VIEW v AS SELECT * FROM url(x)', 'the function url', 'network'],
    ['CREATE VIEW v SQL SECURITY NONE AS SELECT 1', 'SQL SECURITY NONE', 'both'],
    ["SELECT * FROM (SELECT 1 SETTINGS format_schema = 'x')", 'the setting format_schema', 'files'],
    [
      "SELECT (SELECT 1 SETTINGS a = 1, format_avro_schema_registry_url = 'x')",
      'the setting format_avro_schema_registry_url',
      'network',
    ],
    ['SELECT * FROM format(Values, concat(a, b))', 'format() with computed values', 'both'],
    ["SELECT * FROM format(concat('a'), 'x')", 'format() with a computed format', 'both'],
    [
      "SELECT * FROM format(Values, '((SELECT 1 SETTINGS format_schema = 1))')",
      'the setting format_schema',
      'files',
    ],
    ['INSERT INTO t VALUES ((SELECT 1 SETTINGS format_schema = 1))', 'the setting format_schema', 'files'],
  ])('%s', (sql, what, needed) => {
    expect(useOf(sql)).toEqual({ what, needed });
    expect(useOf(sql, ALL)).toEqual(needed === 'never' ? { what, needed } : undefined);
    expect(useOf(sql, FILES) === undefined).toBe(needed === 'files');
    expect(useOf(sql, NETWORK) === undefined).toBe(needed === 'network');
  });

  it.each([
    'SELECT file, url, engine, disk, source FROM t WHERE engine = url',
    "SELECT 'FROM INFILE x', format('{} {}', 'a', 'b')",
    'SELECT * FROM t SETTINGS max_threads = 1',
    'SELECT * FROM format(JSONEachRow, \'{"a":1}\')',
    "SELECT * FROM format(Values, '(1, 2)')",
    'CREATE TABLE url (file Int8) ENGINE = MergeTree ORDER BY file',
    "CREATE DICTIONARY d (a Int8) PRIMARY KEY a SOURCE(CLICKHOUSE(table 't' db 'd')) LAYOUT(FLAT())",
    'INSERT INTO t FORMAT CSV\nsettings,format_schema\n',
    "INSERT INTO t VALUES ('settings format_schema')",
    'DROP FUNCTION mine',
  ])('nothing: %s', sql => expect(useOf(sql)).toBeUndefined());

  it('also in the settings and parameters that are conditions', () => {
    const hidden = '(SELECT 1 SETTINGS format_schema = 1)';
    expect(CONDITIONS.has('additional_result_filter')).toBe(true);
    expect(useOf('SELECT 1', NO_ACCESS, { additional_result_filter: hidden })?.needed).toBe('files');
    expect(useOf('SELECT 1', FILES, { additional_result_filter: hidden })).toBeUndefined();
    expect(useOf('SELECT 1', NO_ACCESS, { other: hidden })).toBeUndefined();
    const asked = 'SELECT 1 SETTINGS additional_result_filter = {a:String}';
    expect(useOf(asked, NO_ACCESS, {}, { a: hidden })?.needed).toBe('files');
  });

  it('and in strings in strings, to an end', () => {
    const nested = (depth: number, inner: string): string =>
      depth === 0 ? inner : `'${nested(depth - 1, inner).replace(/['\\]/g, '\\$&')}'`;
    const filter = (depth: number) => ({
      additional_result_filter: nested(depth, '(SELECT 1 SETTINGS format_schema = 1)'),
    });
    expect(useOf('SELECT 1', NO_ACCESS, filter(2))?.what).toBe('the setting format_schema');
    expect(useOf('SELECT 1', NO_ACCESS, filter(10))?.what).toBe('a string nested this deeply');
  });

  it('is looked for in stored definitions as well', () => {
    expect(outsideInStored('ATTACH VIEW v AS SELECT * FROM `f\\x69le`(1)', NO_ACCESS)?.needed).toBe('both');
    expect(outsideInStored('ATTACH TABLE url (`s3` Int8) ENGINE = Memory', NO_ACCESS)).toBeUndefined();
    expect(outsideInStored('ATTACH VIEW v AS SELECT * FROM s3(1)', NETWORK)).toBeUndefined();
  });
});

describe('what is told', () => {
  const engine = (code: number, message: string) =>
    explained({ ...ownFailure('X', 'permanent', message), code });

  it.each([
    [497, "it's necessary to have the grant READ ON FILE.", 'reading from a file', '--allow-files'],
    [
      497,
      "it's necessary to have the grant WRITE ON SQLITE.",
      'writing to a database of SQLite',
      '--allow-files',
    ],
    [
      497,
      "it's necessary to have the grant READ ON REMOTE.",
      'reading from another server',
      '--allow-network',
    ],
    [497, "it's necessary to have the grant READ, WRITE ON URL.", 'reading from URL', '--allow-network'],
    [497, "it's necessary to have the grant READ ON ODBC.", 'ODBC', 'only on a server'],
    [497, "it's necessary to have the grant TABLE ENGINE ON URL", 'the engine URL', '--allow-network'],
    [497, "it's necessary to have the grant CLUSTER ON *.*", 'a cluster', '--allow-network'],
    [452, 'Setting format_schema should not be changed', 'the setting format_schema', '--allow-files'],
    [1, `${FILE_FUNCTION_CLOSED}: x`, 'the function file()', '--allow-files'],
  ])('%i %s', (code, message, what, way) => {
    const failure = engine(code, message);
    expect(failure).toMatchObject({ code: 497, name: 'ACCESS_DENIED', kind: 'permanent' });
    expect(failure.message).toMatch(
      new RegExp(`^${what.replace(/[()]/g, '\\$&')} is not allowed here: .*${way}`),
    );
  });

  it.each([
    [497, 'Not enough privileges'],
    [497, "it's necessary to have the grant TABLE ENGINE ON Unheard"],
    [452, 'Setting max_threads should not be changed'],
    [60, 'Unknown table'],
  ])('nothing of it, where it was something else: %i %s', (code, message) => {
    expect(engine(code, message).message).toBe(message);
  });

  it('of what was not handed to the engine: that it never started', () => {
    const use: OutsideUse = { what: 'x', needed: 'both' };
    expect(refusedFailure(use)).toMatchObject({ code: 497, neverStarted: true, message: refusalOf(use) });
  });
});

describe('the configuration', () => {
  it('grants what is allowed, and forbids the settings that lead outside', () => {
    const none = embeddedConfig('/proc/self/fd/7 & <x>', NO_ACCESS);
    expect(none).toContain('<users_config>/proc/self/fd/7 &amp; &lt;x></users_config>');
    for (const word of ['GRANT FILE', 'GRANT CLUSTER', 'SHUTDOWN', 'GRANT OPTION'])
      expect(none).not.toContain(word);
    expect(none).toContain('<format_schema><readonly/></format_schema>');
    const all = embeddedConfig('x', ALL);
    expect(all).toContain('GRANT FILE');
    expect(all).toContain('GRANT CLUSTER');
    expect(all).toContain('<constraints></constraints>');
  });

  it('covers what needs one, the other, both or nothing that could be given', () => {
    expect((['files', 'network', 'both', 'never'] as const).map(needed => isAllowed(needed, FILES))).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(isAllowed('both', ALL)).toBe(true);
    expect(isAllowed('never', ALL)).toBe(false);
  });
});
