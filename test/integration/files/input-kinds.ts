const MIB = 1024 ** 2;
/** A jobs.toml with one job. */
export const JOBS = 'name = "j"\ncommand = ["true"]\n[matrix]\na = ["1"]\n';

/** A file that qrun reads or writes, with a command that does. */
export interface Kind {
  readonly file: string;
  readonly args: readonly string[];
  readonly code: number;
  readonly limitBytes: number | undefined;
  /** A text as it should be, of those that people write. */
  readonly text?: string;
  /** A pipe is as good as a file. */
  readonly pipe?: true;
}

/** What each of them is, through the built command; the exit code is that of a file that is no such file. */
export const KINDS: Readonly<Record<string, Kind>> = {
  'a query': { file: 'u/q.sql', args: ['plan', 'u'], code: 2, limitBytes: 64 * MIB, text: 'SELECT 1' },
  'a setup file': {
    file: 'u/_setup.sql',
    args: ['unit', 'u'],
    code: 2,
    limitBytes: 64 * MIB,
    text: 'SELECT 1',
  },
  'qrun.toml': {
    file: 'qrun.toml',
    args: ['config', 'u'],
    code: 2,
    limitBytes: MIB,
    text: 'engine = "embedded"',
  },
  '.env': { file: '.env', args: ['config', 'u'], code: 2, limitBytes: MIB, text: 'CLICKHOUSE_USER=me' },
  'jobs.toml': {
    file: 'jobs.toml',
    args: ['checkpoint', 'path', '--jobs', 'jobs.toml', '--param', 'a=1'],
    code: 2,
    limitBytes: MIB,
    text: JOBS,
  },
  'a password file': {
    file: 'pw',
    args: ['unit', 'u', '--url', 'http://127.0.0.1:1', '--password-file', 'pw'],
    code: 2,
    limitBytes: 4096,
    pipe: true,
  },
  'a CA file': {
    file: 'ca',
    args: ['unit', 'u', '--url', 'https://127.0.0.1:1', '--ca-file', 'ca'],
    code: 2,
    limitBytes: 16 * MIB,
  },
  'the configuration of a submission': {
    file: 'job.json',
    args: ['unit', 'u', '--config', 'job.json'],
    code: 2,
    limitBytes: 256 * MIB,
  },
  'stored jobs': {
    file: 'jobs.json',
    args: ['job', '--config', 'jobs.json', '--name', 'j'],
    code: 2,
    limitBytes: 256 * MIB,
  },
  'a log that is read': { file: 'results/u.ndjson', args: ['plan', 'u'], code: 23, limitBytes: undefined },
  'a log that is written': { file: 'results/u.ndjson', args: ['unit', 'u'], code: 23, limitBytes: undefined },
  'a lock': { file: 'results/u.ndjson.lock', args: ['unit', 'u'], code: 23, limitBytes: undefined },
  'a lease': { file: 'results/u.ndjson.lease', args: ['unit', 'u'], code: 23, limitBytes: undefined },
  'a sidecar': { file: 'results/u.ndjson.runs', args: ['unit', 'u'], code: 23, limitBytes: 256 * MIB },
  'a checkpoint': {
    file: 'cp.json',
    args: ['checkpoint', 'get', '--file', 'cp.json'],
    code: 23,
    limitBytes: 64 * MIB,
  },
};
