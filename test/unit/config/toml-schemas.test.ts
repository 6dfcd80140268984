import { readdirSync, readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../src/core/config/config.js';
import { TOML_KEYS, tomlName } from '../../../src/core/config/keys.js';
import { readTomlNumbers } from '../../../src/core/config/toml-numbers.js';
import { parseJobsFile } from '../../../src/core/jobs/jobs-file.js';
import { ROOT } from '../../built.js';

/** Each TOML in the documents, by where it stands. */
const EXAMPLES = ['README.md', ...readdirSync(`${ROOT}docs`).map(name => `docs/${name}`)]
  .filter(name => name.endsWith('.md'))
  .flatMap(name => {
    const blocks = [...readFileSync(`${ROOT}${name}`, 'utf8').matchAll(/^```toml\n([\s\S]*?)^```/gm)];
    return blocks.map(([, text = ''], index) => [`${name}, example ${index + 1}`, text] as const);
  });

const FILES = {
  'qrun.toml': {
    schema: 'qrun',
    read: (values: Record<string, unknown>) =>
      void resolveConfig({ toml: { file: 'qrun.toml', values }, env: {} }),
  },
  'jobs.toml': {
    schema: 'jobs',
    read: (values: Record<string, unknown>) => void parseJobsFile(values, 'jobs.toml'),
  },
} as const;

const ajv = new Ajv({ strict: true, allowUnionTypes: true, allErrors: true });
const validators = new Map(
  Object.values(FILES).map(({ schema }) => [
    schema,
    ajv.compile(JSON.parse(readFileSync(`${ROOT}schema/${schema}.schema.json`, 'utf8'))),
  ]),
);

/** Where the schema finds mistakes in a TOML; the problems of qrun itself are asked for beside them. */
function mistakes(
  file: keyof typeof FILES,
  text: string,
): { readonly schema: string[]; readonly qrun: boolean } {
  const { schema, read } = FILES[file];
  const validate = validators.get(schema);
  validate?.(parse(text));
  const { values } = readTomlNumbers(
    text,
    source => parse(source, { integersAsBigInt: true }),
    () => 'number',
  );
  let refused = false;
  try {
    read(values);
  } catch {
    refused = true;
  }
  return { schema: (validate?.errors ?? []).map(({ instancePath }) => instancePath), qrun: refused };
}

const fileOf = (text: string): keyof typeof FILES => (/^command\b/m.test(text) ? 'jobs.toml' : 'qrun.toml');

describe('the schemas of the files that people write', () => {
  it('are named in every example of the documents, and take it', () => {
    expect(EXAMPLES.length).toBeGreaterThan(2);
    for (const [where, text] of EXAMPLES) {
      const file = fileOf(text);
      const line = `#:schema ./node_modules/qrun/schema/${FILES[file].schema}.schema.json`;
      expect(text.split('\n')[0], where).toBe(line);
      expect(mistakes(file, text), where).toEqual({ schema: [], qrun: false });
    }
  });

  it('know each key', () => {
    const { properties } = JSON.parse(readFileSync(`${ROOT}schema/qrun.schema.json`, 'utf8')) as {
      properties: Record<string, { description: string }>;
    };
    expect(Object.keys(properties)).toEqual([...TOML_KEYS.map(tomlName), 'sweep']);
    for (const [key, { description }] of Object.entries(properties)) {
      expect(description, key).toMatch(/^[^{}]{5,}$|\{name:Type\}/);
    }
  });

  it.each([
    ['qrun.toml', ''],
    ['qrun.toml', 'concurrency = "auto"\nretries = "3"\ntimeout = "1.5m"\nhalt = "errors=5%,same=off"'],
    ['qrun.toml', 'memory_max = "1.5GiB"\nmax_result = "4g"\numask = "0077"\nskip_bad = true'],
    ['qrun.toml', 'memory_max = "67108864"\nmax_result = "1024b"\nhalt = "same=7,errors=0.5%"'],
    ['qrun.toml', 'memory_max = "65536k"\nmax_result = "0.5M"\nhalt = "errors=010"'],
    ['qrun.toml', 'memory_max = "0.5G"\nmax_result = "1KiB"\nhalt = "same=off"'],
    ['qrun.toml', 'include = "a*"\nexclude = ["b", "c/**"]\nallow_placeholders = ["__X__"]'],
    ['qrun.toml', '[settings]\nfinal = true\nmax_threads = 2\n[parameters]\nday = "2026-01-31"\nx = 1.5'],
    [
      'qrun.toml',
      '[sweep]\nparallel = "auto"\nepochs = [{ a = 1 }]\n[sweep.matrix]\nb = 1\nc = ["x", 2, true]',
    ],
    ['jobs.toml', 'name = "x"\ncommand = ["true"]\nmemory_max = "4G"\n[matrix]\na = [1, "b"]\n[env]\nC = 3'],
  ] as const)('take, as qrun does, in %s: %s', (file, text) => {
    expect(mistakes(file, text)).toEqual({ schema: [], qrun: false });
  });

  it.each([
    ['qrun.toml', 'concurency = 4', ''],
    ['qrun.toml', 'password = "x"', ''],
    ['qrun.toml', 'setup = true', ''],
    ['qrun.toml', 'concurrency = 0', '/concurrency'],
    ['qrun.toml', 'concurrency = "many"', '/concurrency'],
    ['qrun.toml', 'engine = "duckdb"', '/engine'],
    ['qrun.toml', 'url = ""', '/url'],
    ['qrun.toml', 'timeout = 30', '/timeout'],
    ['qrun.toml', 'timeout = "30"', '/timeout'],
    ['qrun.toml', 'memory_max = "8GB"', '/memory_max'],
    ['qrun.toml', 'memory_max = "4"', '/memory_max'],
    ['qrun.toml', 'memory_max = "512K"', '/memory_max'],
    ['qrun.toml', 'max_result = "8"', '/max_result'],
    ['qrun.toml', 'halt = "never"', '/halt'],
    ['qrun.toml', 'halt = "errors=0"', '/halt'],
    ['qrun.toml', 'halt = "same=5,same=6"', '/halt'],
    ['qrun.toml', 'umask = "0777"', '/umask'],
    ['qrun.toml', 'redact = "no"', '/redact'],
    ['qrun.toml', 'allow_placeholders = ["X"]', '/allow_placeholders/0'],
    ['qrun.toml', 'include = [1]', '/include/0'],
    ['qrun.toml', '[settings]\nx = [1]', '/settings/x'],
    ['qrun.toml', '[sweep]\nparalel = 4', '/sweep'],
    ['qrun.toml', '[sweep]\nparallel = 0', '/sweep/parallel'],
    ['qrun.toml', '[sweep]\nunits = []', '/sweep/units'],
    ['jobs.toml', 'name = "x"', ''],
    ['jobs.toml', 'name = "x"\ncommand = "true"', '/command'],
    ['jobs.toml', 'name = "x"\ncommand = ["true"]\nmemory_max = 4', '/memory_max'],
    ['jobs.toml', 'name = "x"\ncommand = ["true"]\nmemory_max = "0"', '/memory_max'],
    ['jobs.toml', 'name = "x"\ncommand = ["true"]\n[matrix]\na = 1', '/matrix/a'],
    ['jobs.toml', 'name = "x"\ncommand = ["true"]\nretries = 1', ''],
  ] as const)('refuse, as qrun does, in %s: %s', (file, text, at) => {
    const found = mistakes(file, text);
    expect(found.qrun).toBe(true);
    expect(found.schema).toContain(at);
  });
});
