import type { z } from 'zod';
import { keyProblems, REPORT } from '../config/problems.js';
import { QrunError } from '../errors.js';
import type { Parameters } from '../model.js';
import { checkedSweepName } from '../queue/labels.js';
import type { Output } from '../schema.js';
import {
  countCharacters,
  countCombinations,
  expandMatrix,
  lengthOf,
  MAX_CHARACTERS,
  MAX_COMBINATIONS,
} from '../sweep/matrix.js';
import { SIZE_EXAMPLES } from '../text/bytes.js';
import { jsonObject } from '../text/json.js';
import { holdsPassword, looksSecret, parameterProblem } from '../text/secret-names.js';
import { shortHash, sorted } from '../unit/fingerprint.js';
import { logName, ownersOfOneFile, unitId } from '../unit/names.js';
import { isSize, jobsSchema } from './file-schema.js';

/** The content of a jobs.toml, checked. Values of the matrix and of `env` are strings. */
export interface JobsFile extends Output<typeof jobsSchema> {}

/** One combination of the matrix: a command with its parameters filled in. */
export interface Job {
  /** `<name>@k=v,...`: the job's name everywhere, in the labels of tasks and in every file name. */
  readonly name: string;
  readonly parameters: Parameters;
  readonly command: readonly string[];
  /** Hash of command, parameters and `env`. It decides whether a recorded end still counts. */
  readonly fingerprint: string;
}

/** All jobs of a jobs.toml with everything that they need, independent of the file that they came from. */
export interface ResolvedJobs {
  readonly schema: 1;
  readonly sweep: string;
  /** Absolute; where every command starts. */
  readonly directory: string;
  /** Absolute; where logs, checkpoints and states are. */
  readonly results: string;
  readonly memory_max: string | null;
  readonly env: Readonly<Record<string, string>>;
  readonly jobs: readonly Job[];
}

/** The files of a job. They belong to no other job. */
export interface JobFiles {
  /** The output of its runs. */
  readonly log: string;
  readonly checkpoint: string;
  /** Its runs: who, when, how they ended. */
  readonly state: string;
}

const NAME = /^[A-Za-z_]\w*$/;
const OWN_VARIABLE = /^QRUN_(PARAM_.*|JOB|CHECKPOINT|COMMAND_ID)$/;

/**
 * Returns the checked content of a jobs.toml; `file` is its name in messages.
 *
 * Errors: QrunError `CONFIG` with all problems at once: unknown keys, wrong values, `{x}` without a parameter, jobs
 * that would share a name, and everything that looks like a secret. The value of a secret is not repeated.
 */
export function parseJobsFile(values: Readonly<Record<string, unknown>>, file: string): JobsFile {
  const result = jobsSchema.safeParse(values, REPORT);
  const problems = [
    ...Object.entries(values).flatMap(([key, value]) => keyProblems(key, value)),
    ...(result.success ? [] : result.error.issues.flatMap(issueLines)),
  ];
  if (result.success) problems.push(...meaningProblems(result.data));
  if (!result.success || problems.length > 0) {
    throw new QrunError('CONFIG', `${file} is not usable`, {
      details: problems,
      hint: 'correct each line above; docs/process-jobs.md has a whole example',
    });
  }
  return result.data;
}

/**
 * Returns the jobs of a checked file, in the order of the matrix. Paths are absolute. Same inputs, same result.
 *
 * Errors: QrunError `CONFIG` when two jobs would share a name or a file (also on a disk that does not distinguish upper
 * from lower case), or when `memoryMax`, which overrides that of the file, is not a size.
 */
export function resolveJobs(
  file: JobsFile,
  places: { readonly directory: string; readonly results: string; readonly memoryMax?: string | undefined },
): ResolvedJobs {
  const env = Object.fromEntries(sorted(file.env));
  if (places.memoryMax !== undefined && !isSize(places.memoryMax)) {
    throw new QrunError('CONFIG', `--memory-max ${places.memoryMax}: must be a size: ${SIZE_EXAMPLES}`);
  }
  const resolved: ResolvedJobs = {
    schema: 1,
    sweep: file.name,
    directory: places.directory,
    results: places.results,
    memory_max: places.memoryMax ?? file.memory_max ?? null,
    env,
    jobs: expandMatrix(file.matrix).map(parameters => {
      const command = file.command.map(word => withValues(word, parameters));
      const inputs = [command, sorted(parameters), Object.entries(env)];
      return {
        name: unitId(file.name, parameters),
        parameters,
        command,
        fingerprint: shortHash(JSON.stringify(inputs)),
      };
    }),
  };
  refuseCollisions(resolved.jobs);
  return resolved;
}

// On any disk: the file may be used on another machine.
function refuseCollisions(jobs: readonly Job[]): void {
  const files = jobs.map(({ name }) => [name, jobFiles(name).log] as const);
  const problems = ownersOfOneFile(files, true).map(([one, other]) => `${one} and ${other}`);
  if (problems.length === 0) return;
  throw new QrunError('CONFIG', 'jobs would share their log, state and checkpoint', {
    details: problems,
    hint: 'give them values that differ in more than case',
  });
}

/** Returns the names of a job's files; each contains every parameter. */
export function jobFiles(job: string): JobFiles {
  const base = logName(job).replace(/\.ndjson$/, '');
  return { log: `${base}.log`, checkpoint: `${base}.checkpoint.json`, state: `${base}.runs` };
}

/** Returns what a job's command finds in its environment besides `env`; `checkpoint` is an absolute path. */
export function jobVariables(job: Job, checkpoint: string): Record<string, string> {
  const parameters = Object.entries(job.parameters).map(([name, value]) => [parameterVariable(name), value]);
  return { ...Object.fromEntries(parameters), QRUN_JOB: job.name, QRUN_CHECKPOINT: checkpoint };
}

/**
 * Returns the file name of resolved jobs, made from their content. Other content has another name, so that what a
 * queued task was given can never change.
 */
export function resolvedName(content: string): string {
  return `${shortHash(content)}.json`;
}

/** Returns resolved jobs as they are stored. */
export function encodeResolved(jobs: ResolvedJobs): string {
  return `${JSON.stringify(jobs)}\n`;
}

/** Reads what {@link encodeResolved} returned; `undefined` for anything else. */
export function decodeResolved(content: string): ResolvedJobs | undefined {
  const jobs = jsonObject<ResolvedJobs>(content);
  return jobs?.schema === 1 && Array.isArray(jobs.jobs) ? (jobs as ResolvedJobs) : undefined;
}

const PLACEHOLDER = /\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}/g;

// `{{x}}` stands for `{x}` itself.
function withValues(word: string, parameters: Parameters): string {
  return word.replace(PLACEHOLDER, (whole, literal?: string, name?: string) =>
    literal !== undefined ? `{${literal}}` : (parameters[name ?? ''] ?? whole),
  );
}

function parameterVariable(name: string): string {
  return `QRUN_PARAM_${name.toUpperCase()}`;
}

function issueLines(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      key => `${key}: unknown key; known are ${Object.keys(jobsSchema.shape).join(', ')}${misplaced(key)}`,
    );
  }
  const at = issue.path
    .map(step => (typeof step === 'number' ? `[${step + 1}]` : `.${String(step)}`))
    .join('');
  const missing = issue.code === 'invalid_type' && issue.input === undefined && issue.path.length === 1;
  return [`${at.replace(/^\./, '')}: ${missing ? `${issue.message} (it is missing)` : issue.message}`];
}

// In TOML, everything after a table header belongs to that table, so this is the usual mistake.
function misplaced(key: string): string {
  return key.startsWith('QRUN_') || looksSecret(key) ? ' (variables are for [env])' : '';
}

/** Returns what is wrong with values that have the right shape. */
function meaningProblems(file: JobsFile): string[] {
  const { name, command, matrix } = file;
  const problems: string[] = [];
  try {
    checkedSweepName(name);
  } catch (error) {
    problems.push(`name: ${(error as Error).message}: letters, digits, "_", "." and "-", at most 64`);
  }
  problems.push(...matrixProblems(file), ...lengthProblems(file), ...envProblems(file));
  command.forEach((word, index) => {
    for (const [, literal, parameter] of word.matchAll(PLACEHOLDER)) {
      if (literal !== undefined || Object.hasOwn(matrix, parameter ?? '')) continue;
      problems.push(
        `command[${index + 1}]: {${parameter}} has no parameter in [matrix]; for the text itself write {{${parameter}}}`,
      );
    }
    const option = /^--?([\w-]+)/.exec(word)?.[1];
    if ((option !== undefined && looksSecret(option)) || holdsPassword(word)) {
      problems.push(`command[${index + 1}]: every user of the machine can see command lines; ${SECRETS}`);
    }
  });
  return problems;
}

const SECRETS = 'put secrets in .env beside jobs.toml (read when a job starts), or in a file';

function repeated(values: readonly string[]): Set<string> {
  const seen = new Set<string>();
  return new Set(values.filter(value => seen.has(value) || !seen.add(value)));
}

// Checked before the jobs are made: each has its own command, in which any parameter may occur any number of times, and
// a fingerprint over command and environment.
function lengthProblems({ command, matrix, env }: JobsFile): string[] {
  const longest = (name: string): number =>
    (matrix[name] ?? []).reduce((most, { length }) => Math.max(most, length), 0);
  const lengths = new Map(Object.keys(matrix).map(name => [name, longest(name)]));
  const inserted = command.flatMap(word =>
    Array.from(word.matchAll(PLACEHOLDER), ([, , name]) => lengths.get(name ?? '') ?? 0),
  );
  const each =
    lengthOf(command) + lengthOf(Object.values(env)) + inserted.reduce((total, length) => total + length, 0);
  const characters = countCombinations(matrix) * each + countCharacters(matrix);
  // Too many combinations have already been reported.
  if (characters <= MAX_CHARACTERS || countCombinations(matrix) > MAX_COMBINATIONS) return [];
  return [
    `command, matrix, env: all jobs have up to ${characters} characters together; the limit is ${MAX_CHARACTERS}`,
  ];
}

function matrixProblems({ matrix }: JobsFile): string[] {
  const problems: string[] = [];
  const variables = new Map<string, string>();
  for (const [key, values] of Object.entries(matrix)) {
    if (!NAME.test(key)) {
      problems.push(
        `matrix.${key}: must be named by letters, digits and "_", because it becomes ${parameterVariable('NAME')}`,
      );
    }
    const other = variables.get(parameterVariable(key));
    if (other !== undefined)
      problems.push(`matrix.${key}: is ${parameterVariable(key)}, and so is matrix.${other}`);
    variables.set(parameterVariable(key), key);
    for (const value of repeated(values)) {
      problems.push(
        `matrix.${key}: has ${JSON.stringify(value)} twice: two jobs would share their name and files`,
      );
    }
    if (parameterProblem(key) !== undefined)
      problems.push(`matrix.${key}: parameters are part of labels and file names; ${SECRETS}`);
  }
  const count = countCombinations(matrix);
  if (count > MAX_COMBINATIONS) {
    problems.push(`matrix: has ${count} combinations; the limit is ${MAX_COMBINATIONS}`);
  }
  return problems;
}

function envProblems({ env }: JobsFile): string[] {
  return Object.entries(env).flatMap(([name, value]) => {
    if (!NAME.test(name)) return [`env.${name}: must be named by letters, digits and "_"`];
    if (OWN_VARIABLE.test(name)) return [`env.${name}: is set by qrun itself`];
    if (looksSecret(name) || holdsPassword(value)) return [`env.${name}: looks like a secret; ${SECRETS}`];
    return [];
  });
}
