import { describe, expect, it } from 'vitest';
import { type ConfigInputs, resolveConfig } from '../../../src/core/config/config.js';
import { environmentName, flagName, keysWhere, TOML_KEYS, tomlName } from '../../../src/core/config/keys.js';
import type { Config, ConfigKey } from '../../../src/core/config/table.js';
import { TRUSTED_KEYS } from '../../../src/core/config/trust.js';
import { QrunError } from '../../../src/core/errors.js';
import { HALT_FORMS } from '../../../src/core/unit/halt.js';

const FILE = '/sweep/qrun.toml';
interface Given {
  readonly toml?: Record<string, unknown>;
  readonly env?: ConfigInputs['env'];
  readonly flags?: Record<string, unknown>;
}
const resolve = ({ toml, env = {}, flags = {} }: Given) =>
  resolveConfig({ toml: toml === undefined ? undefined : { file: FILE, values: toml }, env, flags });

function problems(given: Given): readonly string[] {
  try {
    resolve(given);
  } catch (error) {
    expect(error).toBeInstanceOf(QrunError);
    expect((error as QrunError).code).toBe('CONFIG');
    expect((error as QrunError).hint).toMatch(/qrun config/);
    return (error as QrunError).details;
  }
  throw new Error('was accepted');
}

const DEFAULTS: Config = {
  engine: 'embedded',
  url: undefined,
  user: undefined,
  database: undefined,
  passwordFile: undefined,
  caFile: undefined,
  dataDir: undefined,
  allowFiles: false,
  allowNetwork: false,
  maxReplicaDelay: undefined,
  allowChanges: false,
  concurrency: 16,
  memoryMax: undefined,
  timeout: 3_600_000,
  retries: 3,
  maxOutage: 600_000,
  halt: { errors: undefined, same: 20 },
  maxResult: undefined,
  rowsPerQuery: undefined,
  logDir: undefined,
  followLinks: false,
  umask: undefined,
  allowPlaceholders: false,
  skipBad: false,
  redact: true,
  include: [],
  exclude: [],
  settings: {},
  parameters: {},
  log: undefined,
  events: undefined,
  setup: false,
  rerun: 'errors',
  shard: undefined,
  shuffle: undefined,
  limit: undefined,
  hosts: [],
};

// For each key a value as TOML, the environment and the command line give it, and what it means.
interface Accepted {
  readonly toml?: unknown;
  readonly env?: string;
  readonly flag: unknown;
  readonly means: unknown;
}
const KEYS: Record<ConfigKey, Accepted> = {
  engine: { toml: 'embedded', env: 'embedded', flag: 'embedded', means: 'embedded' },
  url: {
    toml: ['http://h:8123', 'http://i:8123'],
    env: 'http://h:8123, http://i:8123',
    flag: ['http://h:8123', 'http://i:8123'],
    means: ['http://h:8123', 'http://i:8123'],
  },
  user: { toml: 'me', env: 'me', flag: 'me', means: 'me' },
  database: { toml: 'db', env: 'db', flag: 'db', means: 'db' },
  passwordFile: { toml: 'p', env: 'p', flag: 'p', means: 'p' },
  caFile: { toml: 'ca', env: 'ca', flag: 'ca', means: 'ca' },
  dataDir: { toml: 'd', env: 'd', flag: 'd', means: 'd' },
  allowFiles: { toml: true, env: '1', flag: true, means: true },
  allowNetwork: { toml: true, env: '1', flag: true, means: true },
  maxReplicaDelay: { toml: '5s', env: '5s', flag: '5s', means: 5_000 },
  allowChanges: { toml: true, env: '1', flag: true, means: true },
  concurrency: { toml: 4, env: '4', flag: '4', means: 4 },
  memoryMax: { toml: '8G', env: '8GiB', flag: '8192M', means: 8 * 1024 ** 3 },
  timeout: { toml: '30s', env: '30s', flag: '30s', means: 30_000 },
  retries: { toml: 0, env: '0', flag: '0', means: 0 },
  maxOutage: { toml: '1.5m', env: '1.5m', flag: '1.5m', means: 90_000 },
  maxResult: { toml: '4G', env: '4GiB', flag: '4096M', means: 4 * 1024 ** 3 },
  halt: {
    toml: 'errors=5%',
    env: 'errors=5%',
    flag: 'errors=5%',
    means: { errors: { count: 5, unit: 'percent' }, same: 20 },
  },
  rowsPerQuery: { toml: 3, env: '3', flag: '3', means: 3 },
  logDir: { toml: 'l', env: 'l', flag: 'l', means: 'l' },
  followLinks: { toml: true, env: '1', flag: true, means: true },
  umask: { toml: '0077', env: '077', flag: '77', means: 0o077 },
  allowPlaceholders: { toml: true, flag: true, means: true },
  skipBad: { toml: true, env: '1', flag: true, means: true },
  redact: { toml: false, env: '0', flag: false, means: false },
  include: { toml: ['a', 'b'], flag: ['a', 'b'], means: ['a', 'b'] },
  exclude: { toml: 'a', flag: ['a'], means: ['a'] },
  settings: {
    toml: { max_threads: 4, final: true, x: 'y' },
    flag: { max_threads: '4', final: '1', x: 'y' },
    means: { max_threads: '4', final: '1', x: 'y' },
  },
  parameters: { toml: { day: '1', off: false }, flag: { day: '1', off: '0' }, means: { day: '1', off: '0' } },
  log: { flag: 'f', means: 'f' },
  events: { flag: 'f', means: 'f' },
  setup: { flag: true, means: true },
  rerun: { flag: 'all', means: 'all' },
  shard: { flag: '2/8', means: { index: 2, count: 8 } },
  shuffle: { flag: 'seed', means: 'seed' },
  limit: { flag: '5', means: 5 },
  hosts: {
    toml: [{ name: 'alpha', root: '/sweep/' }],
    flag: [{ name: 'alpha', root: '/sweep', ssh: 'alpha', slots: '1', qrun: ['qrun'] }],
    means: [{ name: 'alpha', ssh: 'alpha', root: '/sweep', slots: 1, qrun: ['qrun'] }],
  },
};

describe('resolveConfig', () => {
  it('gives the defaults when nothing is given', () => {
    expect(resolve({})).toEqual({ config: DEFAULTS, sources: {}, given: {} });
    expect(
      resolve({ toml: {}, flags: { concurrency: undefined }, env: { QRUN_TIMEOUT: '' } }).sources,
    ).toEqual({});
  });

  it('takes a server when one is named, unless an engine is', () => {
    expect(resolve({ env: { CLICKHOUSE_URL: 'http://h' } }).config.engine).toBe('clickhouse');
    expect(resolve({ env: { CLICKHOUSE_URL: 'http://h' }, toml: { engine: 'embedded' } }).config.engine).toBe(
      'embedded',
    );
  });

  describe.each(Object.entries(KEYS) as [ConfigKey, Accepted][])('%s', (key, { toml, env, flag, means }) => {
    it('is read from every place that it may stand in', () => {
      const name = environmentName(key);
      expect(TOML_KEYS.includes(key)).toBe(toml !== undefined);
      expect(name !== undefined).toBe(env !== undefined);
      const places: [Given, string][] = [[{ flags: { [key]: flag } }, 'flag']];
      if (toml !== undefined) places.push([{ toml: { [tomlName(key)]: toml } }, 'qrun.toml']);
      if (name !== undefined) places.push([{ env: { [name]: env } }, 'environment']);
      for (const [given, source] of places) {
        const { config, sources } = resolve(given);
        expect(config[key], source).toEqual(means);
        expect(sources, source).toEqual({ [key]: source });
      }
    });

    it('is refused in qrun.toml when it is a choice of one run', () => {
      if (toml !== undefined) return;
      expect(problems({ toml: { [tomlName(key)]: flag } })).toEqual([
        expect.stringMatching(`^${FILE}: ${tomlName(key)}: unknown key; known are engine, url, `),
      ]);
    });
  });

  it('takes auto for the concurrency from every place', () => {
    for (const given of [
      { flags: { concurrency: 'auto' } },
      { toml: { concurrency: 'auto' } },
      { env: { QRUN_CONCURRENCY: 'auto' } },
    ]) {
      expect(resolve(given).config.concurrency).toBe('auto');
    }
  });

  it('takes true and false as texts too, and the largest numbers', () => {
    for (const [text, value] of [
      ['1', true],
      ['true', true],
      ['0', false],
      ['false', false],
    ] as const) {
      expect(resolve({ toml: { allow_placeholders: text } }).config.allowPlaceholders).toBe(value);
    }
    expect(resolve({ flags: { concurrency: '1024', retries: 100 } }).config).toMatchObject({
      concurrency: 1024,
      retries: 100,
    });
  });

  it('takes placeholders that may stand by their names', () => {
    const allowed = (value: unknown): unknown =>
      resolve({ toml: { allow_placeholders: value } }).config.allowPlaceholders;
    expect(allowed('__X__')).toEqual(['__X__']);
    const names = ['__HIVE_DEFAULT_PARTITION__', '\u0024{X}', '{{ x }}', '{% include x %}'];
    expect(allowed(names)).toEqual(names);
  });

  it('prefers flags to the environment to qrun.toml to the defaults', () => {
    const toml = { concurrency: 1, retries: 1, user: 'toml', include: ['toml'] };
    const env = { QRUN_CONCURRENCY: '2', QRUN_RETRIES: '2' };
    const { config, sources } = resolve({ toml, env, flags: { concurrency: '3', include: ['flag'] } });
    expect(config).toEqual({
      ...DEFAULTS,
      concurrency: 3,
      retries: 2,
      user: 'toml',
      include: ['flag'],
    });
    expect(sources).toEqual({
      concurrency: 'flag',
      retries: 'environment',
      user: 'qrun.toml',
      include: 'flag',
    });
  });

  it('merges settings and parameters name by name', () => {
    const { config, sources } = resolve({
      toml: { settings: { a: 1, b: 1 }, parameters: { p: 'toml' } },
      flags: { settings: { b: '2', c: '2' } },
    });
    expect(config.settings).toEqual({ a: '1', b: '2', c: '2' });
    expect(config.parameters).toEqual({ p: 'toml' });
    expect(sources).toEqual({ settings: 'flag', parameters: 'qrun.toml' });
    expect(resolve({}).config.settings).toEqual({});
  });
});

describe('a value that cannot be used', () => {
  const WHOLE = 'must be a whole number from';
  const ALLOWED = 'must be true, false or placeholders as they stand in the SQL, such as __WORD__';
  it.each<[ConfigKey, unknown, string]>([
    ['engine', 'postgres', 'must be clickhouse or embedded, not "postgres"'],
    ['engine', 1, 'must be clickhouse or embedded, not 1'],
    ['user', '', 'must not be empty, not ""'],
    ['user', 1, 'must be a string, not 1'],
    ['concurrency', 0, `${WHOLE} 1 to 1024, or auto, not 0`],
    ['concurrency', 1025, `${WHOLE} 1 to 1024, or auto, not 1025`],
    ['concurrency', 1.5, `${WHOLE} 1 to 1024, or auto, not 1.5`],
    ['concurrency', '1e2', `${WHOLE} 1 to 1024, or auto, not "1e2"`],
    ['concurrency', ' 4', `${WHOLE} 1 to 1024, or auto, not " 4"`],
    ['concurrency', '-1', `${WHOLE} 1 to 1024, or auto, not "-1"`],
    ['concurrency', 'Auto', `${WHOLE} 1 to 1024, or auto, not "Auto"`],
    ['maxResult', '1023', 'must be a size of at least 1K: 512M, 8G, 1.5GiB, not "1023"'],
    ['memoryMax', '63M', 'must be a size of at least 64M: 512M, 8G, 1.5GiB, not "63M"'],
    ['memoryMax', '8GB', 'must be a size of at least 64M: 512M, 8G, 1.5GiB, not "8GB"'],
    ['memoryMax', 8, 'must be a size of at least 64M: 512M, 8G, 1.5GiB, not 8'],
    ['concurrency', true, `${WHOLE} 1 to 1024, or auto, not true`],
    ['concurrency', Number.POSITIVE_INFINITY, `${WHOLE} 1 to 1024, or auto, not Infinity`],
    ['retries', 101, `${WHOLE} 0 to 100, not 101`],
    ['rowsPerQuery', 0, `${WHOLE} 1 to 1000000000, not 0`],
    ['limit', 0, `${WHOLE} 1 to 1000000000, not 0`],
    ['timeout', '30', 'must be a duration with a unit: 500ms, 30s, 5m or 2h, not "30"'],
    ['timeout', 30, 'must be a duration with a unit: 500ms, 30s, 5m or 2h, not 30'],
    ['maxOutage', '1d', 'must be a duration with a unit: 500ms, 30s, 5m or 2h, not "1d"'],
    ['halt', 'errors', `must be ${HALT_FORMS}, not "errors"`],
    ['halt', 5, `must be ${HALT_FORMS}, not 5`],
    ['shard', '3/2', 'must be i/n with 1 <= i <= n, such as 2/8, not "3/2"'],
    ['shard', '0/2', 'must be i/n with 1 <= i <= n, such as 2/8, not "0/2"'],
    ['shard', '1', 'must be i/n with 1 <= i <= n, such as 2/8, not "1"'],
    ['rerun', 'some', 'must be errors, all or none, not "some"'],
    ['allowPlaceholders', 'yes', `${ALLOWED}, not "yes"`],
    ['allowPlaceholders', ['__X__', 'yes'], `${ALLOWED}, not "yes"`],
    ['allowPlaceholders', 1, `${ALLOWED}, not 1`],
    ['allowPlaceholders', '__A__,__B__', `${ALLOWED}, not "__A__,__B__"`],
    ['setup', 1, 'must be true or false, not 1'],
    ['include', [1], 'must be a string, not 1'],
    ['include', [''], 'must not be empty, not ""'],
    ['include', '', 'must not be empty, not ""'],
    ['include', { a: 1 }, 'must be a string or a list of strings, not a table'],
    ['settings', 'a=1', 'must be a table of names and values, not a string'],
  ])('%s = %j is named', (key, value, message) => {
    const [problem, ...others] = problems({ flags: { [key]: value } });
    expect(others).toEqual([]);
    expect(problem).toBe(`${flagName(key)}: ${message}`);
  });

  it('is named with the place where it stands', () => {
    const toml = { settings: { max_threads: [4], ok: 1 }, include: ['a', 2] };
    const [settings, include] = problems({ toml });
    expect(settings).toBe(
      `${FILE}: settings.max_threads: must be a string, a number or true/false (a date as a string), not a list`,
    );
    expect(include).toBe(`${FILE}: include.1: must be a string, not 2`);
    expect(problems({ env: { QRUN_RETRIES: 'x' } })[0]).toMatch(/^QRUN_RETRIES: must be a whole number/);
  });

  it('is named with all others at once, from every source', () => {
    const given = {
      toml: { nothing: 1, concurrency: 0, password: 'secret-1' },
      env: { QRUN_RETRIES: 'x', QRUN_HALT: 'y' },
      flags: { shard: 'z' },
    };
    const found = problems(given).map(problem => problem.split(': ').slice(0, -1).join(': '));
    expect(found.map(label => label.replace(`${FILE}: `, '').split(':')[0])).toEqual([
      'nothing',
      'concurrency',
      'password',
      'QRUN_RETRIES',
      'QRUN_HALT',
      '--shard',
    ]);
  });

  it('is named by the flag as it is written', () => {
    expect(problems({ flags: { settings: 1, parameters: 1 } })).toEqual([
      expect.stringMatching(/^--param: /),
      expect.stringMatching(/^--set: /),
    ]);
  });

  it('is named by its key where a program gives it', () => {
    expect(() => resolveConfig({ toml: undefined, env: {}, options: { rowsPerQuery: 0 } })).toThrow(
      expect.objectContaining({ details: [expect.stringMatching(/^rowsPerQuery: must be /)] }),
    );
  });
});

describe('secrets', () => {
  const SECRET = 'hunter2-hunter2';

  it.each<[string, Given]>([
    ['a password in qrun.toml', { toml: { password: SECRET } }],
    ['a key that nobody knows', { toml: { passwrd: SECRET } }],
    ['a URL that is no text', { toml: { url: { a: `http://me:${SECRET}@h` } } }],
    ['a list of URLs in one text', { env: { CLICKHOUSE_URL: `http://me:${SECRET}@h, http://i` } }],
    ['a URL in another place', { toml: { engine: `http://me:${SECRET}@h:8123` } }],
    ['a URL in the environment', { env: { QRUN_TIMEOUT: `https://me:${SECRET}@h/?password=${SECRET}` } }],
    ['a URL with a query', { flags: { halt: `http://h:8123/?user=me&password=${SECRET}` } }],
    ['a setting beside a bad one', { toml: { settings: { s3_secret: SECRET, bad: [1] } } }],
    ['a setting that is a list', { toml: { settings: { s3_secret: [SECRET] } } }],
    ['a parameter that is a table', { toml: { parameters: { token: { value: SECRET } } } }],
    ['settings that are a text', { flags: { settings: `token=${SECRET}` } }],
  ])('are not repeated: %s', (_, given) => {
    expect(JSON.stringify(problems(given))).not.toContain('hunter2');
  });

  it('stand where passwords belong', () => {
    expect(problems({ toml: { password: SECRET } })).toEqual([
      `${FILE}: password: passwords do not belong in this file; use CLICKHOUSE_PASSWORD, .env or password_file`,
    ]);
  });
});

it('trust is in the keys that the table marks so, and its digest has an order of its own', () => {
  const marked = keysWhere(({ tree }) => tree !== undefined).map(tomlName);
  expect([...TRUSTED_KEYS].sort()).toEqual([...marked].sort());
});
