import { describe, expect, it } from 'vitest';
import {
  changesResult,
  ENGINE_SETTINGS,
  encodeParameter,
  fixedSetting,
  HTTP_PARAMETERS,
  HTTP_SETTINGS,
  splitSettings,
  suggest,
} from '../../../src/core/engines/engine-settings.js';

it.each([
  'max_threads',
  'max_memory_usage',
  'max_execution_time',
  'priority',
  'log_comment',
  'log_queries',
  'query_profiler_real_time_period_ns',
])('%s cannot change a result', name => expect(changesResult(name)).toBe(false));

it.each([
  'output_format_json_quote_64bit_integers',
  'max_result_rows',
  'timeout_overflow_mode',
  'join_use_nulls',
  'SQL_custom',
  'login',
  'max_block_size',
  'preferred_block_size_bytes',
])('%s can change a result', name => expect(changesResult(name)).toBe(true));

describe('splitSettings', () => {
  const LIMITS = { max_execution_time: '1', max_threads: '2', max_memory_usage: '5' };
  const LOGS = { log_comment: 'x', query_profiler_real_time_period_ns: '0' };

  it('leaves limits out of the fingerprint as long as they only make queries fail', () => {
    const settings = { ...LIMITS, ...LOGS, join_use_nulls: '1', timeout_overflow_mode: 'throw' };
    expect(splitSettings(settings)).toEqual({
      result: { join_use_nulls: '1', timeout_overflow_mode: 'throw' },
      limits: LIMITS,
    });
    expect(splitSettings(LOGS)).toEqual({ result: {}, limits: {} });
  });

  it.each([
    ['timeout_overflow_mode', 'break'],
    ['timeout_overflow_mode_leaf', 'break'],
    ['read_overflow_mode', 'break'],
    ['read_overflow_mode_leaf', 'BREAK'],
    ['result_overflow_mode', 'break'],
    ['group_by_overflow_mode', 'any'],
    ['sort_overflow_mode', 'break'],
    ['set_overflow_mode', 'break'],
    ['join_overflow_mode', 'break'],
    ['distinct_overflow_mode', 'break'],
    ['transfer_overflow_mode', 'break'],
    ['an_overflow_mode_of_tomorrow', 'cut'],
    ['skip_unavailable_shards', '1'],
    ['skip_unavailable_shards', 'true'],
    ['partial_result_on_first_cancel', '1'],
  ])('with %s = %s they are part of it', (name, value) => {
    const settings = { ...LIMITS, [name]: value };
    expect(splitSettings({ ...settings, ...LOGS })).toEqual({ result: settings, limits: {} });
  });

  it.each([
    ['timeout_overflow_mode', 'throw'],
    ['timeout_overflow_mode', ' Throw '],
    ['skip_unavailable_shards', '0'],
    ['skip_unavailable_shards', 'false'],
  ])('with %s = %s they are not', (name, value) => {
    expect(splitSettings({ ...LIMITS, [name]: value }).limits).toEqual(LIMITS);
  });
});

describe('fixedSetting', () => {
  it.each([
    'wait_end_of_query',
    'default_format',
    'query_id',
    'password',
    'param_x',
    'output_format_json_array_of_rows',
  ])('says why %s cannot be set', name => expect(fixedSetting(name)).toMatch(/\w+ /));

  it.each(['max_threads', 'constructor', 'parameter'])('lets %s be set', name =>
    expect(fixedSetting(name)).toBeUndefined(),
  );

  it('covers what qrun puts into the URL itself', () => {
    for (const name of Object.keys(HTTP_PARAMETERS)) expect(fixedSetting(name)).toBeDefined();
    for (const name of [
      'query_id',
      'session_id',
      'session_check',
      'session_timeout',
      'close_session',
      'database',
    ]) {
      expect(fixedSetting(name)).toBeDefined();
    }
  });
});

it('all values are texts, and no setting is sent twice', () => {
  const names = [
    ...Object.keys(ENGINE_SETTINGS),
    ...Object.keys(HTTP_SETTINGS),
    ...Object.keys(HTTP_PARAMETERS),
  ];
  expect(new Set(names).size).toBe(names.length);
  for (const value of Object.values({ ...ENGINE_SETTINGS, ...HTTP_SETTINGS }))
    expect(typeof value).toBe('string');
});

describe('suggest', () => {
  const known = ['max_threads', 'max_memory_usage', 'max_memory_usage_for_user', 'join_use_nulls', 'xy'];

  it.each([
    ['max_thread', 'max_threads'],
    ['MAX_THREADS', 'max_threads'],
    ['max_treads', 'max_threads'],
    ['max_memory_usage_user', 'max_memory_usage_for_user'],
    ['joinusenulls', 'join_use_nulls'],
    ['xx', 'xy'],
  ])('%s: %s', (name, expected) => {
    expect(suggest(name, known)).toBe(expected);
  });

  it.each(['', 'zzzzzz', 'max_memory'])('none for %j', name => {
    expect(suggest(name, known)).toBeUndefined();
  });

  it('takes the closest', () => {
    expect(suggest('abcdef', ['abcxef', 'abcdeg1', 'abcdefg'])).toBe('abcxef');
    expect(suggest('abcdef', ['abxxef', 'abcdefg'])).toBe('abcdefg');
  });
});

describe('encodeParameter', () => {
  it.each([
    'String',
    'Nullable(String)',
    'LowCardinality(String)',
    'FixedString(3)',
    "Enum8('a' = 1)",
    'JSON',
    ' UInt8 ',
  ])('writes what would end a field as its escape, and leaves escapes alone, for %s', type => {
    expect(encodeParameter('a\tb\nc\rd\'f"g\0h\bi\fj', type)).toBe('a\\tb\\nc\\rd\'f"g\\0h\\bi\\fj');
    for (const value of ['\\N', '\\t\\n\\\\', '^\\d+$', 'C:\\\\temp', '', '\\', '\\x41']) {
      expect(encodeParameter(value, type)).toBe(value);
    }
    // A backslash takes one character along, and a pair of them none.
    expect(encodeParameter('\\\t', type)).toBe('\\t');
    expect(encodeParameter('\\\\\t', type)).toBe('\\\\\\t');
  });

  it.each([
    ['Array(String)', "['a\\tb','c']"],
    ['Nullable(Tuple(String, UInt8))', "('a\\'b',1)"],
    ['Map(String, UInt8)', "{'a\\\\':1}"],
    ['Nested(a String)', '[]'],
    ['Point', '(1,2)'],
    ['Identifier', 'a\\b'],
    [' array(UInt8)', '[1]'],
  ])('leaves %s as it is', (type, value) => expect(encodeParameter(value, type)).toBe(value));

  it('does not take a longer name for one of these', () => {
    expect(encodeParameter('\t', 'IdentifierX')).toBe('\\t');
  });
});
