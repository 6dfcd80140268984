import fc from 'fast-check';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { QrunError } from '../../../src/core/errors.js';
import {
  decodeResolved,
  encodeResolved,
  jobFiles,
  jobVariables,
  parseJobsFile,
  type ResolvedJobs,
  resolvedName,
  resolveJobs,
} from '../../../src/core/jobs/jobs-file.js';
import { looksSecret } from '../../../src/core/text/secret-names.js';

const PLACES = { directory: '/sweep', results: '/sweep/results' };
const TOML = `
name = "features"
command = ["python3", "job.py", "--symbol={symbol}", "{threshold}", "{{symbol}}", '{"a":{}}']
memory_max = "4G"
[matrix]
symbol = ["BTCUSDT", "ETHUSDT"]
threshold = [250, 0.5]
[env]
WINDOW = 30
`;

function resolved(toml: string): ResolvedJobs {
  return resolveJobs(parseJobsFile(parse(toml), 'jobs.toml'), PLACES);
}

/** The problems that a jobs.toml is refused with. */
function problems(toml: string): readonly string[] {
  try {
    resolved(toml);
  } catch (error) {
    if (error instanceof QrunError) {
      expect(error.code).toBe('CONFIG');
      return error.details;
    }
    throw error;
  }
  return [];
}

describe('a jobs.toml', () => {
  it('gives a job for each combination, with the values in its command', () => {
    const { jobs, memory_max, env, sweep } = resolved(TOML);
    expect({ sweep, memory_max, env }).toEqual({
      sweep: 'features',
      memory_max: '4G',
      env: { WINDOW: '30' },
    });
    expect(jobs.map(job => job.name)).toEqual([
      'features@symbol=BTCUSDT,threshold=250',
      'features@symbol=BTCUSDT,threshold=0.5',
      'features@symbol=ETHUSDT,threshold=250',
      'features@symbol=ETHUSDT,threshold=0.5',
    ]);
    expect(jobs[1]?.command).toEqual([
      'python3',
      'job.py',
      '--symbol=BTCUSDT',
      '0.5',
      '{symbol}',
      '{"a":{}}',
    ]);
  });

  it('has one job without a matrix', () => {
    const { jobs } = resolved('name = "one"\ncommand = ["true"]\n');
    expect(jobs.map(({ name, parameters }) => [name, parameters])).toEqual([['one', {}]]);
  });

  it('is refused with all its problems at once', () => {
    const wrong = `
name = "a b"
command = ["run", "{nothing}", "--api-key=x"]
[matrix]
"1x" = [1]
x = ["a", "a"]
X = [2]
[env]
QRUN_JOB = "x"
DB_PASSWORD = "hunter2"
URL = "http://me:hunter2@host/"
`;
    const found = problems(wrong);
    expect(found).toHaveLength(9);
    for (const start of [
      'name: ',
      'command[2]: {nothing} has no parameter',
      'command[3]: every user of the machine',
      'matrix.1x: must be named',
      'matrix.x: has "a" twice',
      'matrix.X: is QRUN_PARAM_X, and so is matrix.x',
      'env.QRUN_JOB: is set by qrun',
      'env.DB_PASSWORD: looks like a secret',
      'env.URL: looks like a secret',
    ]) {
      expect(
        found.filter(line => line.startsWith(start)),
        start,
      ).toHaveLength(1);
    }
    // Where secrets belong is said, and none is repeated.
    expect(found.join('\n')).toContain('.env beside jobs.toml');
    expect(found.join('\n')).not.toContain('hunter2');
  });

  it.each([
    ['', ['name: must be a string (it is missing)', /^command: must be a list.* \(it is missing\)$/]],
    ['name = "x"\ncommand = []', [/^command: must name a program/]],
    ['name = "x"\ncommand = "true"', [/^command: must be a list.* of its own$/]],
    ['name = "x"\ncommand = ["true"]\nfoo = 1', [/^foo: unknown key; known are name, command/]],
    ['name = "x"\ncommand = ["true"]\nmemory_max = "4GB"', [/^memory_max: must be a size/]],
    ['name = 5\ncommand = ["true"]', ['name: must be a string']],
    ['name = "x"\ncommand = ["true"]\nmemory_max = 4', [/^memory_max: must be a size .*"4G"$/]],
    ['name = "x"\ncommand = ["true"]\n[matrix]\na = []', [/^matrix\.a: must have a value/]],
    ['name = "x"\ncommand = ["true"]\n[matrix]\na = 1', [/^matrix\.a: must be a list/]],
    ['name = "x"\ncommand = ["true"]\n[matrix]\na = [2026-01-31]', [/^matrix\.a\[1\]: must be a string/]],
    ['name = "x"\ncommand = ["true"]\n[matrix]\na = ["b\\n"]', [/^matrix\.a\[1\]: .*control/]],
  ] as const)('%j is refused', (toml, expected) => {
    const found = problems(toml);
    expect(found).toHaveLength(expected.length);
    expected.forEach((pattern, index) => {
      if (typeof pattern === 'string') expect(found[index]).toBe(pattern);
      else expect(found[index]).toMatch(pattern);
    });
  });

  it('is refused whatever a table without a prototype calls its constructor', () => {
    const table = (entries: object): object => Object.assign(Object.create(null), entries);
    const env = { a: table({ constructor: table({ name: table({}) }) }) };
    expect(() => parseJobsFile({ name: 'x', command: ['true'], env }, 'f')).toThrow('f is not usable');
  });

  it('refuses jobs whose files would be one on a disk that does not tell case apart', () => {
    expect(problems('name = "x"\ncommand = ["true"]\n[matrix]\na = ["b", "B"]')).toEqual(['x@a=b and x@a=B']);
  });

  it('takes parameters whose names are no secrets, and refuses secrets', () => {
    const file = (name: string): string => `name = "x"\ncommand = ["true"]\n[matrix]\n${name} = ["a"]`;
    for (const name of ['token', 'base_token', 'key', 'pass']) expect(problems(file(name)), name).toEqual([]);
    for (const name of ['api_key', 'github_token']) {
      expect(problems(file(name)).join(), name).toContain(`matrix.${name}: parameters are part of labels`);
    }
  });
  it('refuses a matrix that nobody can mean', () => {
    const values = `[${Array.from({ length: 400 }, (_, n) => n).join(',')}]`;
    const found = problems(`name = "x"\ncommand = ["true"]\n[matrix]\na = ${values}\nb = ${values}`);
    expect(found).toEqual(['matrix: has 160000 combinations; the limit is 100000']);
  });

  it.each([
    ['a long word', `command = ["true", "${'x'.repeat(4000)}"]`, ''],
    ['a parameter many times', `command = ["true", "${'{b}'.repeat(4000)}"]`, ''],
    ['a long value', 'command = ["true"]', `c = ["${'x'.repeat(4000)}"]`],
    ['a long variable', 'command = ["true"]', `[env]\nA = "${'x'.repeat(4000)}"`],
  ])('refuses jobs that would take all memory: %s', (_what, command, more) => {
    const values = `[${Array.from({ length: 200 }, (_, n) => n).join(',')}]`;
    const found = problems(`name = "x"\n${command}\n[matrix]\na = ${values}\nb = ${values}\n${more}`);
    expect(found).toEqual([
      expect.stringMatching(
        /^command, matrix, env: all jobs have up to \d+ characters .*; the limit is 67108864$/,
      ),
    ]);
  });

  it('looks for equal values in a time that grows as their number', () => {
    const matrix = { a: Array.from({ length: 100_000 }, (_, n) => `v${n}`) };
    const before = process.cpuUsage();
    parseJobsFile({ name: 'x', command: ['true'], matrix }, 'f');
    // 40 ms; with a search for each of them 10 s and more.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000);
  });
});

describe('the files of a job', () => {
  it('carry every parameter, so that no two jobs share one', () => {
    const value = fc.string({ minLength: 1, unit: 'grapheme' }).filter(text => !/\p{Cc}/u.test(text));
    const parameters = fc.dictionary(fc.constantFrom('symbol', 'threshold', 'side'), value);
    const same = (a: object, b: object): boolean =>
      JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
    fc.assert(
      fc.property(parameters, parameters, (a, b) => {
        const [first, second] = [a, b].map(values => {
          const matrix = Object.fromEntries(Object.entries(values).map(([name, one]) => [name, [one]]));
          const file = { name: 'n', command: ['true'], matrix, env: {} };
          const [job] = resolveJobs(parseJobsFile(file, 'f'), PLACES).jobs;
          return Object.values(jobFiles(job?.name ?? ''));
        });
        const shared = first?.filter(name => second?.includes(name)) ?? [];
        expect(shared).toHaveLength(same(a, b) ? 3 : 0);
      }),
    );
  });

  it('name checkpoint, log and state after the job', () => {
    const base = 'features@symbol=BTC%2FUSDT,threshold=250'.replace('%2F', '__');
    expect(jobFiles('features@symbol=BTC/USDT,threshold=250')).toEqual({
      log: `${base}.log`,
      checkpoint: `${base}.checkpoint.json`,
      state: `${base}.runs`,
    });
  });
});

describe('a fingerprint', () => {
  const print = (toml: string): string | undefined => resolved(toml).jobs[0]?.fingerprint;

  it('changes with command, parameters and environment, and with nothing else', () => {
    const base = print(TOML);
    expect(print(TOML.replace('job.py', 'other.py'))).not.toBe(base);
    expect(print(TOML.replace('"BTCUSDT"', '"SOLUSDT"'))).not.toBe(base);
    expect(print(TOML.replace('WINDOW = 30', 'WINDOW = 31'))).not.toBe(base);
    // The same words, cut elsewhere.
    expect(print(TOML.replace('"python3", "job.py"', '"python3 job.py"'))).not.toBe(base);
    expect(print(TOML.replace('"4G"', '"8G"').replace('"ETHUSDT"', '"SOLUSDT"'))).toBe(base);
  });
});

describe('the environment of a job', () => {
  it('names each parameter, the job and its checkpoint', () => {
    const [job] = resolved(TOML).jobs;
    if (job === undefined) throw new Error('no job');
    expect(jobVariables(job, '/r/c.json')).toEqual({
      QRUN_PARAM_SYMBOL: 'BTCUSDT',
      QRUN_PARAM_THRESHOLD: '250',
      QRUN_JOB: 'features@symbol=BTCUSDT,threshold=250',
      QRUN_CHECKPOINT: '/r/c.json',
    });
  });
});

describe('resolved jobs', () => {
  it('are read as they were stored, and have another name with other content', () => {
    const jobs = resolved(TOML);
    const content = encodeResolved(jobs);
    expect(decodeResolved(content)).toEqual(jobs);
    expect(resolvedName(content)).not.toBe(resolvedName(encodeResolved(resolved(TOML.replace('30', '31')))));
    for (const other of ['', 'null', '{}', '{"schema":2,"jobs":[]}']) {
      expect(decodeResolved(other)).toBeUndefined();
    }
  });
});

it.each([
  'DB_PASSWORD',
  'passwd',
  'API_KEY',
  'GITHUB_TOKEN',
  'clientSecret',
  'AWS_SECRET_ACCESS_KEY',
  'api-key',
  'MYSQL_PWD',
])('%s looks like a secret', name => expect(looksSecret(name)).toBe(true));

it.each([
  'PASSWORD_FILE',
  'TOKEN_PATH',
  'MAX_TOKENS',
  'TOKENIZER',
  'KEY',
  'PRIMARY_KEY',
  'PWD',
  'symbol',
  'SECRETARY',
])('%s does not look like a secret', name => expect(looksSecret(name)).toBe(false));
