import fc from 'fast-check';
import { parse } from 'smol-toml';
import { parsePairs } from '../../../src/cli/options.js';
import { resolveConfig } from '../../../src/core/config/config.js';
import { TOML_KEYS, tomlName } from '../../../src/core/config/keys.js';
import { readTomlNumbers } from '../../../src/core/config/toml-numbers.js';
import { decodeDataNote } from '../../../src/core/engines/data-note.js';
import { QrunError } from '../../../src/core/errors.js';
import { decodeResolved, parseJobsFile, resolveJobs } from '../../../src/core/jobs/jobs-file.js';
import { judgeJob, parseJobEntry } from '../../../src/core/jobs/state.js';
import { nameOfTask, sweepInLabel, taskLabel, tasksByName } from '../../../src/core/queue/labels.js';
import { chooseUnits, parameterSets, parseSweepTable } from '../../../src/core/sweep/units.js';
import { entriesOf } from '../../../src/core/text/json.js';
import { parseGroups, parseState } from '../../../src/io/queue/pueue/status.js';
import { anyValueOf, must, mutated, reshaped, tableOf, textOf } from './grammar.js';
import { type Target, target } from './trial.js';

const word = fc.constantFrom('a', 'b', 'sql', '2down/*', '*', 'é', '', '__proto__', 'x'.repeat(300), '\x1b');
const scalar = fc.oneof(word, fc.integer(), fc.double(), fc.boolean());
const TOML_PIECES: readonly string[] = [
  ...'\n"\'=[]{},.#\\-+_ \t\r\0',
  ...[
    '"""',
    "'''",
    '[[',
    ']]',
    '[sweep]\n',
    '[sweep.matrix]\n',
    '[parameters]\n',
    '[settings]\n',
    'url = "http://h:8123"\n',
  ],
  ...[
    '1_000',
    '0x1F',
    '1.10',
    '18446744073709551615',
    'inf',
    '-nan',
    '1979-05-27T07:32:00Z',
    'true',
    '__proto__',
    '\\u0000',
  ],
];
const TOML = fc.constantFrom(
  'url = "http://h:8123"\nuser = "u"\nconcurrency = 8\ntimeout = "30s"\ninclude = ["a*", "b/*"]\n\n[settings]\nmax_threads = 4\nx = 1.50\n\n[parameters]\nt = 18446744073709551615\n',
  '[sweep]\nname = "s"\nunits = ["2down/*"]\nparallel = "auto"\nepochs = [{ from = "2020-01-01" }, { from = 2021 }]\n\n[sweep.matrix]\nthreshold = [250, 500.0, 1_000]\nsymbol = """BTC\nUSD"""\n',
  "command = ['sh', '-c', 'echo {x}']\nname = 'jobs'\nmemory_max = '4G'\n[matrix]\nx = [1, 2]\n[env]\nA = 'b'\n",
);
const toml = fc.oneof(
  { weight: 4, arbitrary: mutated(TOML, TOML_PIECES) },
  { weight: 2, arbitrary: textOf(TOML_PIECES) },
);

const configTable = tableOf(
  Object.fromEntries(
    TOML_KEYS.map(key => [
      tomlName(key),
      fc.oneof(scalar, fc.array(word, { maxLength: 3 }), fc.dictionary(word, scalar, { maxKeys: 3 })),
    ]),
  ),
);
const environment = fc.dictionary(
  fc.constantFrom(
    'CLICKHOUSE_URL',
    'CLICKHOUSE_USER',
    'QRUN_CONCURRENCY',
    'QRUN_TIMEOUT',
    'QRUN_HALT',
    'QRUN_MEMORY_MAX',
    'QRUN_RETRIES',
  ),
  textOf(['1', 's', 'auto', 'http://', '-', '%', ':', ' ', '8G'], 5),
  { maxKeys: 4 },
);
const list = fc.oneof(fc.array(scalar, { maxLength: 12 }), scalar);
const sweepTable = tableOf({
  name: word,
  group: word,
  parallel: fc.oneof(fc.constant('auto'), fc.integer()),
  priority: fc.integer(),
  units: fc.array(textOf(['a', 'b', '*', '/', '[', '{', '!', '(', '**'], 6), { maxLength: 3 }),
  epochs: fc.array(fc.dictionary(word, scalar, { maxKeys: 3 }), { maxLength: 12 }),
  matrix: fc.dictionary(word, list, { maxKeys: 8 }),
});
const jobsTable = tableOf({
  name: word,
  command: fc.array(textOf(['{x}', '{{x}}', '{', '}', 'a', ' ', '\n'], 6), { maxLength: 4 }),
  memory_max: fc.constantFrom('4G', '0', 'x', 1),
  results: word,
  matrix: fc.dictionary(fc.constantFrom('x', 'y', 'PASSWORD', '__proto__'), list, { maxKeys: 6 }),
  env: fc.dictionary(fc.constantFrom('A', 'DB_PASSWORD', 'QRUN_JOB', 'PATH', ''), scalar, { maxKeys: 3 }),
});
const directories = fc.array(
  fc.record({
    path: fc.constantFrom('', 'a', 'a/b', 'b', 'a(b', '[a]'),
    files: fc.nat(3),
    above: fc.boolean(),
  }),
  { maxLength: 6 },
);

const TASKS = [
  '{"id":0,"group":"g","label":"qrun:s:a","path":"/p","original_command":"exec /x/qrun.cjs job a","created_at":"2026-01-31T12:00:00Z","status":{"Done":{"start":"2026-01-31T12:00:00Z","end":"x","result":{"Failed":1}}}}',
  '{"id":1,"group":"g","label":null,"path":"/p","original_command":"true","created_at":"","status":{"Queued":{"enqueued_at":"x"}}}',
];
const PUEUE = TASKS.flatMap(one =>
  TASKS.map(
    other => `{"tasks":{"0":${one},"1":${other}},"groups":{"g":{"status":"Running","parallel_tasks":2}}}`,
  ),
);
const pueueJson = fc.oneof(
  reshaped(PUEUE),
  mutated(fc.constantFrom(...PUEUE), [
    ...'{}[],:"0',
    '"Done":',
    '"Success"',
    'null',
    '"toString"',
    '"__proto__":{}',
    '"constructor":',
    '1e999',
    '"groups":',
    '"status":',
  ]),
);
const ENTRIES = [
  '{"event":"start","run":"r","at":"2026-01-31T12:00:00.000Z","fingerprint":"f","log_from":0}',
  '{"event":"end","run":"r","at":"x","duration_ms":1,"exit_code":0,"signal":null,"killed_at_cap":false,"stopped_by":null,"log_to":9}',
];
const entry = fc.oneof(
  reshaped(ENTRIES),
  mutated(fc.constantFrom(...ENTRIES), [...'{}[],:"', 'null', '"event":', '1e999', '"run":[]']),
);

// A problem that names a key must not name what stands in it: it may be a secret that somebody put there by mistake.
function resolve(values: Record<string, unknown>, env: Record<string, string>): void {
  resolveConfig({ toml: { file: 'qrun.toml', values }, env, flags: {} });
}

/** Configuration, sweeps, jobs and labels. */
export const SETTINGS: readonly Target[] = [
  target('toml', 1000, toml, text => {
    let values: Record<string, unknown>;
    try {
      ({ values } = readTomlNumbers(
        text,
        source => parse(source, { integersAsBigInt: true }),
        path => (path[0] === 'parameters' ? 'parameter' : 'number'),
      ));
    } catch (error) {
      // The contract of readTomlNumbers: what the parser throws, and a limit of its own.
      if (error instanceof QrunError) return;
      if ((error as Error).name === 'TomlError' || (error as Error).message.startsWith('Invalid TOML'))
        return;
      throw error;
    }
    parseSweepTable('qrun.toml', values.sweep);
    resolve(values, {});
  }),
  target('config', 400, fc.tuple(configTable, environment, configTable), ([table, env, flags]) => {
    const asTable = (value: unknown): Record<string, unknown> =>
      typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
    resolveConfig({ toml: { file: 'f', values: asTable(table) }, env, flags: knownOf(asTable(flags)) });
  }),
  target('flags', 500, fc.array(textOf(['=', 'a', '__proto__', '-', ' '], 5), { maxLength: 4 }), texts => {
    const pairs = parsePairs('--set', texts);
    must(
      Object.getPrototypeOf(pairs) === Object.prototype || Object.getPrototypeOf(pairs) === null,
      'a flag has changed what all objects have',
    );
    resolveConfig({
      toml: undefined,
      env: {},
      flags: {
        settings: pairs,
        include: texts,
        timeout: texts[0],
        halt: texts[0],
        shard: texts[0],
        memoryMax: texts[0],
      },
    });
  }),
  target('sweeps', 800, fc.tuple(sweepTable, directories), ([table, found]) => {
    const sweep = parseSweepTable('f', table);
    must(parameterSets(sweep).length <= 100_000, 'more sets of parameters than the limit');
    chooseUnits(found, sweep.units);
  }),
  target('jobs', 600, jobsTable, table => {
    const values = typeof table === 'object' && table !== null ? table : {};
    const { jobs } = resolveJobs(parseJobsFile(values as Record<string, unknown>, 'jobs.toml'), {
      directory: '/d',
      results: '/r',
    });
    must(new Set(jobs.map(({ name }) => name)).size === jobs.length, 'two jobs have one name');
  }),
  target(
    'stored-jobs',
    500,
    fc.oneof(entry, textOf(['{', '}', '"jobs":[]', '"schema":1', ',', '[]'])),
    text => {
      decodeResolved(text);
      decodeDataNote(text);
      const entries = entriesOf(text, parseJobEntry) ?? [];
      judgeJob(entries, 'f');
    },
  ),
  target(
    'labels',
    800,
    fc.tuple(pueueJson, textOf(['qrun', 'qrun-job', ':', 's', '#audit', '/'], 8)),
    ([json, label]) => {
      sweepInLabel(label);
      nameOfTask('unit', 's', { label, command: label });
      must(
        nameOfTask('job', 's', { label: taskLabel('job', 's', label), command: '' }) === label,
        'a label names another job',
      );
      const { tasks } = parseState(json);
      tasksByName('unit', tasks, 's');
      parseGroups(json);
    },
  ),
  target('values', 300, anyValueOf(['sweep', 'units', 'jobs']), value => {
    parseSweepTable('f', value);
  }),
];

function knownOf(flags: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(TOML_KEYS.map(key => [key, flags[tomlName(key)]]));
}
