import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { afterEach, describe, expect, it } from 'vitest';
import { parsePairs } from '../../src/cli/options.js';
import { resolveConfig } from '../../src/core/config/config.js';
import { parseJobsFile } from '../../src/core/jobs/jobs-file.js';
import { sweepProblems } from '../../src/core/sweep/units.js';
import { commandHoldsSecret, parameterProblem } from '../../src/core/text/secret-names.js';
import { shownArguments, shownUrl, withoutOptionValue } from '../../src/core/text/shown-urls.js';
import { endAll, qrun, records, removeTree, tree } from '../integration/qrun.js';

const roots: string[] = [];
afterEach(() => {
  endAll();
  for (const root of roots.splice(0)) removeTree(root);
});

const place = (files: Readonly<Record<string, string>>): string => {
  const root = tree(files);
  roots.push(root);
  return root;
};

function problemsOf(toml: string): readonly string[] {
  try {
    resolveConfig({ toml: { file: 'qrun.toml', values: parse(toml) }, env: {}, flags: {} });
    return [];
  } catch (error) {
    return (error as { details: readonly string[] }).details;
  }
}

// Names that every object of JavaScript has.
const WORDS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'valueOf',
  '__defineGetter__',
];

describe.each(WORDS)('the name %s is kept or refused, and never lost', word => {
  const keptOrRefused = (refused: boolean, kept: boolean): void => expect(refused || kept).toBe(true);

  it.each(['--param', '--set'])('in %s', option => {
    let pairs: Record<string, string> = {};
    let refused = false;
    try {
      pairs = parsePairs(option, [`${word}=1`]);
    } catch {
      refused = true;
    }
    keptOrRefused(
      refused,
      Object.entries(pairs).some(([k, v]) => k === word && v === '1'),
    );
  });

  it.each(['settings', 'parameters'])('in [%s]', table => {
    const values = parse(`[${table}]\n${word} = "1"`);
    let given: object = {};
    let refused = false;
    try {
      const { config } = resolveConfig({ toml: { file: 'qrun.toml', values }, env: {}, flags: {} });
      given = config[table as 'settings'];
    } catch {
      refused = true;
    }
    keptOrRefused(
      refused,
      Object.entries(given).some(([k, v]) => k === word && v === '1'),
    );
  });

  it('as a key of its own in qrun.toml', () => expect(problemsOf(`${word} = 1`)).not.toEqual([]));

  it.each([
    `[sweep.matrix]\n${word} = ["1"]`,
    `[sweep]\nepochs = [{ ${word} = "1" }]`,
    `[sweep]\n${word} = 1`,
  ])('in %s', toml => {
    const problems = sweepProblems('sweep', parse(toml).sweep);
    if (word === '__proto__') expect(problems).not.toEqual([]);
    else expect(problems.length > 0).toBe(toml.startsWith('[sweep]\n') && !toml.includes('epochs'));
  });

  it.each(['matrix', 'env'])('in jobs.toml: [%s]', table => {
    const value = table === 'matrix' ? '["1"]' : '"1"';
    const values = parse(`name = "n"\ncommand = ["true"]\n[${table}]\n${word} = ${value}`);
    let given: object = {};
    let refused = false;
    try {
      given = parseJobsFile(values, 'jobs.toml')[table as 'env'];
    } catch {
      refused = true;
    }
    keptOrRefused(refused, Object.keys(given).includes(word));
  });
});

// Files whose names begin with `_` are no queries.
it('units and queries with such names are recorded, and found complete', async () => {
  const root = place(
    Object.fromEntries(
      WORDS.flatMap(unit => WORDS.map(name => [`s/${unit}/${name}.sql`, `SELECT '${name}' AS ${name}`])),
    ),
  );
  for (const unit of WORDS.slice(0, 2)) {
    const ended = await qrun(['unit', `s/${unit}`, '-q'], { cwd: root });
    expect([ended.code, ended.stderr]).toEqual([0, '']);
    const results = join(root, 'results');
    const name = readdirSync(results).find(
      file => file.endsWith('.ndjson') && file.includes(unit.replace(/_/g, '')),
    );
    const log = records(readFileSync(join(results, name ?? ''), 'utf8'));
    expect(log.map(({ query }) => query).sort()).toEqual(WORDS.filter(word => !word.startsWith('_')).sort());
    expect((await qrun(['audit', `s/${unit}`], { cwd: root })).code).toBe(0);
  }
});

describe('a parameter with the name of a secret', () => {
  it.each(['db_password', 'api_key', 'secret', 'access_token', 'GithubToken'])(
    '%s is refused wherever it is given',
    async name => {
      const root = place({ 'u/a.sql': `SELECT {${name}:String} AS v` });
      const ended = await qrun(['unit', 'u', '--param', `${name}=VALUE-1`], { cwd: root });
      expect(ended.code).toBe(2);
      expect(ended.stderr).toContain('looks like a secret');
      expect(ended.stderr).not.toContain('VALUE-1');
      expect(problemsOf(`[parameters]\n${name} = "VALUE-1"`).join()).toContain('looks like a secret');
      expect(problemsOf(`[sweep.matrix]\n${name} = ["VALUE-1"]`).join()).toContain('looks like a secret');
      expect(problemsOf(`[sweep]\nepochs = [{ ${name} = "VALUE-1" }]`).join()).toContain(
        'looks like a secret',
      );
    },
  );
  it.each([
    ...['token', 'token_count', 'max_tokens', 'key', 'symbol', 'primary_key', 'password_file'],
    ...['base_token', 'quoteToken', 'sell_token', 'token_in', 'token_address', 'stop_token', 'next_token'],
    ...[
      'pass',
      'passes',
      'passengers',
      'author',
      'auth',
      'keys',
      'symbol_key',
      'partition_key',
      'public_key',
    ],
    ...['api', 'api_version', 'access', 'signature', 'salt', 'user', 'secretary', 'tokenizer', 'tokens'],
  ])('%s is none', name => expect(parameterProblem(name)).toBeUndefined());
});

it.each([
  ['deploy --password=x', true],
  ['deploy --token x', true],
  ['DB_PASSWORD=x deploy', true],
  ['curl https://me:pw@h/x', true],
  ['deploy --password-file x', false],
  ['deploy --password=$PW', false],
  ['DB_PASSWORD="$(cat f)" deploy', false],
  ['clickhouse-client -q "OPTIMIZE TABLE t FINAL"', false],
  ['notify --key main', false],
])('--then %s holds a secret: %s', (command, expected) => expect(commandHoldsSecret(command)).toBe(expected));

it.each([
  ['http://h:8123/?user=a&password=PW@REST', 'http://***'],
  ['http://h:8123/?password=PW', 'http://h:8123/?...'],
  ['http://u:p?w@h:8123', 'http://***'],
  ['http://u:pw@h:8123', 'http://***@h:8123'],
  ['http://h:8123', 'http://h:8123'],
])('%s is shown as %s', (url, shown) => {
  expect(shownUrl(url)).toBe(shown);
  expect(shownArguments([`--url=${url}`])).toEqual([`--url=${shown}`]);
});

it.each(['-pSECRET', '-p=SECRET', '--pasword=SECRET', "-pSEC'SECRET"])(
  '%s is named without its value',
  word => {
    expect(withoutOptionValue(`error: unknown option '${word}'`)).not.toMatch(/SEC/);
  },
);

it('a password that is given in place of its file is not repeated', async () => {
  const root = place({ 'u/a.sql': 'SELECT 1 AS v' });
  for (const name of ['TopSecret-1', 'x'.repeat(300)]) {
    const ended = await qrun(['unit', 'u', '--url', 'http://127.0.0.1:1', '--password-file', name], {
      cwd: root,
    });
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining('no such password file')]);
    expect(ended.stderr).not.toContain(name);
  }
});

describe('has a limit with a clear message:', () => {
  it.each([
    [
      'parameters',
      `[parameters]\n${Array.from({ length: 101 }, (_, n) => `p${n} = "1"`).join('\n')}`,
      'the limit is 100',
    ],
    ['a value', `[parameters]\np = "${'x'.repeat(70_000)}"`, 'the limit is 65536'],
    ['globs', `include = [${'"a",'.repeat(1001)}]`, 'more than 1000 globs'],
    ['a glob', `include = ["${'a'.repeat(3000)}"]`, 'longer than 2000'],
    ['regular expressions', 'include = ["+(*)b"]', 'must not hold ( )'],
    ['units', '[sweep]\nunits = ["(a+)+x"]', 'must not hold ( )'],
  ])('%s', (_, toml, message) => {
    const [first = '', ...others] = problemsOf(toml);
    expect(others).toEqual([]);
    expect(first).toContain(message);
    expect(first.length).toBeLessThan(400);
  });

  it('the units of a sweep', async () => {
    const values = Array.from({ length: 300 }, (_, n) => n).join();
    const root = place({
      'a/q.sql': 'SELECT 1',
      'b/q.sql': 'SELECT 1',
      'qrun.toml': `[sweep.matrix]\nx = [${values}]\ny = [${values}]`,
    });
    const ended = await qrun(['status', '.'], { cwd: root });
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining('the limit is 100000')]);
  });
});
