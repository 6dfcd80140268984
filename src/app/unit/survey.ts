import { setImmediate } from 'node:timers/promises';
import { QrunError } from '../../core/errors.js';
import type { PresentQueries } from '../../core/log/scan/index.js';
import type { ParsedQuery } from '../../core/sql/statement.js';
import {
  type CannotRun,
  Judge,
  type Judgement,
  type JudgeRules,
  type Refusal,
  sharedLines,
} from '../../core/unit/judge.js';
import { type Selection, selectNames } from '../../core/unit/selection.js';
import type { UnitSource } from '../../io/unit/unit-files.js';

/** What decides which files of a unit are queries, and whether they can run. */
export interface SurveyOptions extends JudgeRules {
  readonly source: UnitSource;
  readonly selection: Selection;
  /** Parameters that something other than a query uses: the setup. */
  readonly usedElsewhere?: ReadonlySet<string>;
}

/** A unit's files as they are now. */
export interface Survey {
  /** How many files are selected, and how many there are. */
  readonly selected: number;
  readonly all: readonly string[];
  /** How many of the selected files are queries that cannot run. */
  readonly refused: number;
  /** Their problems, in the order of the files, followed by those of the whole unit. */
  readonly cannotRun: readonly CannotRun[];
  /** Files that hold only comments or nothing, and are not queries. */
  readonly noStatement: readonly string[];
  /** Whether any query takes parameters, which old servers do not know. */
  readonly usesParameters: boolean;
  /** Whether an unreplaced placeholder is among the problems, and whether only parameters are. */
  readonly placeholders: boolean;
  readonly onlyParameters: boolean;
}

// Reading and lexing is synchronous (the fastest way); Ctrl-C must not wait for 300,000 files.
const YIELD_AFTER_MS = 25;

/**
 * Reads and judges every selected file of a unit; `visit` is called with each that can run, in order. Plan, run and
 * audit all get their knowledge of a unit's files from here.
 *
 * Cost: about 10 microseconds for a small file in the page cache. Memory: what `visit` keeps; no file stays open or,
 * unless `source` keeps it, in memory.
 *
 * Errors: QrunError `UNIT_*` for the directory, `USAGE` when the selection is empty, `UNIT_EMPTY` when no selected
 * file holds a statement; the signal's reason when it is aborted.
 */
export async function surveyUnit(
  { source, selection, usedElsewhere, ...rules }: SurveyOptions,
  visit: (name: string, fingerprint: string, query: ParsedQuery) => void,
  signal?: AbortSignal,
): Promise<Survey> {
  const all = source.list();
  const names = selectNames(all, selection);
  if (names.length === 0) {
    throw new QrunError('USAGE', `none of the ${all.length} queries of ${source.directory} is selected`, {
      hint: 'look at --include, --exclude and --shard; globs match query names such as 2down/x (see qrun plan)',
    });
  }
  const judge = new Judge(rules);
  const cannotRun: CannotRun[] = [];
  const noStatement: string[] = [];
  let refused = 0;
  let placeholders = false;
  let onlyParameters = true;
  let yieldedAt = performance.now();
  for (const name of names) {
    const { bytes, judgement } = judgeFile(judge, source, name);
    if (judgement.kind === 'query') visit(name, judge.fingerprint(bytes as Buffer), judgement.query);
    else if (judgement.kind === 'no_statement') noStatement.push(name);
    else {
      refused += 1;
      placeholders ||= judgement.placeholders;
      onlyParameters &&= judgement.code === 'PARAMETERS';
      for (const problem of judgement.problems) cannotRun.push({ query: name, problem });
    }
    if (performance.now() - yieldedAt > YIELD_AFTER_MS) {
      await setImmediate();
      signal?.throwIfAborted();
      yieldedAt = performance.now();
    }
  }
  if (noStatement.length === names.length) throw noQueries(source, names.length);
  // A part of a unit says nothing about the other queries. Nor does a file that could not be read.
  if (names.length === all.length && (refused === 0 || onlyParameters)) {
    for (const parameter of Object.keys(rules.inputs.parameters)) {
      if (judge.usedParameters.has(parameter) || usedElsewhere?.has(parameter) === true) continue;
      cannotRun.push({ query: null, problem: `--param ${parameter}: no query uses it` });
    }
  }
  return {
    selected: names.length,
    all,
    refused,
    cannotRun,
    noStatement,
    usesParameters: judge.usesParameters,
    placeholders,
    onlyParameters,
  };
}

function noQueries(source: UnitSource, files: number): QrunError {
  const which = files === 1 ? 'the one selected file' : `each of the ${files} selected files`;
  return new QrunError(
    'UNIT_EMPTY',
    `${source.directory} holds no query: ${which} is empty or holds only comments and semicolons`,
    { hint: 'look at what wrote the files, or leave the directory out' },
  );
}

/** Reads one file and judges it. Its bytes are set unless it could not be read. */
export function judgeFile(
  judge: Judge,
  source: UnitSource,
  name: string,
): { readonly bytes: Buffer | undefined; readonly judgement: Judgement } {
  let bytes: Buffer;
  try {
    bytes = source.read(name);
  } catch (cause) {
    return { bytes: undefined, judgement: unreadable(cause as Error) };
  }
  return { bytes, judgement: judge.judge(bytes) };
}

/**
 * Returns whether a file is a query: not if it holds only comments, or nothing. A file that cannot be read may be
 * one.
 */
export function isQuery(source: UnitSource, name: string): boolean {
  const rules = { inputs: { parameters: {}, settings: {} }, allowPlaceholders: true };
  return judgeFile(new Judge(rules), source, name).judgement.kind !== 'no_statement';
}

/** Returns the judgement of a file that could not be read, with the reason. */
export function unreadable(cause: Error): Refusal {
  const problems = [`cannot be read: ${cause.message}`];
  return { kind: 'refused', code: 'UNIT_UNREADABLE', problems, placeholders: false };
}

/**
 * Returns the error for files that cannot run, with all problems; those that many files share are one line.
 * `SQL_INVALID`, or `PARAMETERS` if nothing but parameters is wrong.
 */
export function refusal({ refused, cannotRun, placeholders, onlyParameters }: Survey): QrunError {
  const details = sharedLines(cannotRun);
  if (onlyParameters) {
    return new QrunError('PARAMETERS', 'the parameters do not fit the queries', {
      details,
      hint: 'give each {name:Type} of the SQL one value: --param name=value',
    });
  }
  const leaveOut = 'correct them, or leave them out with --exclude or --skip-bad';
  return new QrunError('SQL_INVALID', `${refused} query file${refused === 1 ? '' : 's'} cannot run`, {
    details,
    hint: placeholders
      ? `${leaveOut}; --allow-placeholder NAME runs a word that only looks like a placeholder, --allow-placeholders all of them`
      : leaveOut,
  });
}

/**
 * Returns what the unit's queries are now, for an import: the names by one listing, which is made at once, and a
 * fingerprint by reading its file, once for each query that is asked for.
 *
 * Errors: QrunError `UNIT_*` for the directory.
 */
export function presentQueries(source: UnitSource, rules: JudgeRules): PresentQueries {
  const names = new Set(source.list());
  const judge = new Judge(rules);
  const known = new Map<string, string | undefined>();
  return {
    has: name => names.has(name),
    fingerprint(name) {
      if (!names.has(name)) return undefined;
      if (known.has(name)) return known.get(name);
      const { bytes, judgement } = judgeFile(judge, source, name);
      const print = judgement.kind === 'query' ? judge.fingerprint(bytes as Buffer) : undefined;
      known.set(name, print);
      return print;
    },
  };
}
