import { setImmediate } from 'node:timers/promises';
import { QrunError } from '../core/errors.js';
import { type FingerprintInputs, fingerprinter } from '../core/fingerprint.js';
import type { Parameters } from '../core/model.js';
import { type FinalState, isDue, planQuery, type Rerun } from '../core/plan.js';
import { type Selection, selectNames } from '../core/selection.js';
import { decodeSql, parseQuery } from '../core/sql/parse.js';
import type { ParsedQuery } from '../core/sql/statement.js';
import type { UnitSource } from '../io/unit-files.js';
import { DueQueries, type PlannedQuery } from './due-queries.js';

/** All selected queries of a unit, checked, with what is to be done about each. */
export interface UnitPlan {
  /** In the order in which they run; those that are due and those that are not. */
  readonly queries: readonly PlannedQuery[];
  /** The ones that run, after `--limit`. */
  readonly due: readonly PlannedQuery[];
  /** Queries that are settled, and queries left as error (`--rerun none`). */
  readonly settled: number;
  readonly keptErrors: number;
  /** Whether any query takes parameters, which old servers do not know. */
  readonly usesParameters: boolean;
}

/** What one run has to do, and what it need not. */
export interface RunPlan extends Omit<UnitPlan, 'queries' | 'due'> {
  readonly due: DueQueries;
}

export interface PlanOptions {
  readonly source: UnitSource;
  readonly inputs: FingerprintInputs;
  readonly selection: Selection;
  readonly limit: number | undefined;
  readonly rerun: Rerun;
  readonly allowPlaceholders: boolean;
  /** Parameters that something else than a query uses: the setup. */
  readonly usedElsewhere?: ReadonlySet<string>;
}

// Reading and lexing is synchronous (it is the fastest way); Ctrl-C must not wait for 300,000 files.
const YIELD_AFTER_MS = 25;

/**
 * Reads and checks every selected query and compares it with the log. Nothing runs if one of them cannot.
 *
 * Cost: about 10 microseconds a small file in the page cache. Memory: name and fingerprint of each query; no file stays
 * open or, unless `source` keeps it, in memory.
 *
 * Errors: QrunError `UNIT_*` for the directory, `USAGE` when the selection is empty, `SQL_INVALID` and
 * `PARAMETERS` with one line for each bad file.
 */
export async function planUnit(
  options: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  signal?: AbortSignal,
): Promise<UnitPlan> {
  const queries: PlannedQuery[] = [];
  const counts = await readPlan(options, final, signal, query => queries.push(query));
  const due = queries.filter(query => isDue(query.reason));
  return { ...counts, queries, due: options.limit === undefined ? due : due.slice(0, options.limit) };
}

/** As {@link planUnit}, for a run, which needs only what is due. */
export async function planRun(
  options: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  signal?: AbortSignal,
): Promise<RunPlan> {
  const due = new DueQueries(options.limit);
  const counts = await readPlan(options, final, signal, query => {
    if (isDue(query.reason)) due.add(query);
  });
  return { ...counts, due };
}

async function readPlan(
  options: PlanOptions,
  final: Pick<ReadonlyMap<string, FinalState>, 'get'>,
  signal: AbortSignal | undefined,
  visit: (query: PlannedQuery) => void,
): Promise<Omit<UnitPlan, 'queries' | 'due'>> {
  const all = options.source.list();
  const names = selectNames(all, options.selection);
  if (names.length === 0) {
    throw new QrunError(
      'USAGE',
      `none of the ${all.length} queries of ${options.source.directory} is selected`,
      {
        hint: 'look at --include, --exclude and --shard; globs match query names such as 2down/x (see qrun plan)',
      },
    );
  }
  const check = new Checks(options.inputs.parameters, options.allowPlaceholders);
  const fingerprint = fingerprinter(options.inputs);
  let settled = 0;
  let keptErrors = 0;
  let yieldedAt = performance.now();
  for (const name of names) {
    const read = check.read(options.source, name);
    if (read !== undefined) {
      const print = fingerprint(read.bytes);
      const reason = planQuery(final.get(name), print, options.rerun);
      if (reason === 'settled') settled += 1;
      if (reason === 'kept_error') keptErrors += 1;
      visit({ name, fingerprint: print, reason, rows: read.query.overrides.rows });
    }
    if (performance.now() - yieldedAt > YIELD_AFTER_MS) {
      await setImmediate();
      signal?.throwIfAborted();
      yieldedAt = performance.now();
    }
  }
  check.finish(names.length === all.length, options.usedElsewhere);
  return { settled, keptErrors, usesParameters: check.usedParameters.size > 0 };
}

/** A query file that was read, with its bytes as they are fingerprinted. */
export interface ReadQuery {
  readonly bytes: Buffer;
  readonly query: ParsedQuery;
  /** These are the very bytes that the plan has read and fingerprinted. */
  readonly asPlanned?: boolean;
}

/**
 * Reads one query.
 *
 * Errors: QrunError `SQL_INVALID` (what is wrong with the SQL, and where), `UNIT_UNREADABLE`.
 */
export function readQuery(source: UnitSource, name: string): ReadQuery {
  let bytes: Buffer;
  try {
    bytes = source.read(name);
  } catch (cause) {
    throw new QrunError('UNIT_UNREADABLE', `cannot be read: ${(cause as Error).message}`, { cause });
  }
  return { bytes, query: parseQuery(decodeSql(bytes)) };
}

/** Reads a query of the plan when its turn comes: the file's present text. Errors: as {@link readQuery}. */
export function readAgain(source: UnitSource, name: string): ReadQuery {
  const bytes = source.unchanged?.(name);
  return bytes === undefined
    ? readQuery(source, name)
    : { bytes, query: parseQuery(decodeSql(bytes)), asPlanned: true };
}

class Checks {
  readonly usedParameters = new Set<string>();
  readonly #parameters: Parameters;
  readonly #allowPlaceholders: boolean;
  readonly #problems: string[] = [];
  readonly #badFiles = new Set<string>();
  #badSql = false;
  #placeholders = false;

  constructor(parameters: Parameters, allowPlaceholders: boolean) {
    this.#parameters = parameters;
    this.#allowPlaceholders = allowPlaceholders;
  }

  read(source: UnitSource, name: string): ReadQuery | undefined {
    let read: ReadQuery;
    try {
      read = readQuery(source, name);
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
      this.#badSql = true;
      this.#bad(name, error.message);
      return undefined;
    }
    const { placeholders, statements } = read.query;
    if (placeholders.length > 0 && !this.#allowPlaceholders) {
      this.#badSql = true;
      this.#placeholders = true;
      this.#bad(name, `unreplaced placeholder ${placeholders.join(', ')}`);
    }
    for (const parameter of statements.flatMap(statement => statement.parameters)) {
      this.usedParameters.add(parameter.name);
      if (Object.hasOwn(this.#parameters, parameter.name)) continue;
      this.#bad(name, `{${parameter.name}:${parameter.type}} has no value`);
    }
    return read;
  }

  finish(wholeUnit: boolean, usedElsewhere?: ReadonlySet<string>): void {
    if (this.#badSql) {
      throw new QrunError('SQL_INVALID', `${count(this.#badFiles.size, 'query file')} cannot run`, {
        details: this.#problems,
        hint: this.#placeholders
          ? 'correct them, or leave them out with --exclude; --allow-placeholders runs __PLACEHOLDER__ words as they are'
          : 'correct them, or leave them out with --exclude',
      });
    }
    const unused = wholeUnit
      ? Object.keys(this.#parameters).filter(
          name => !this.usedParameters.has(name) && usedElsewhere?.has(name) !== true,
        )
      : [];
    const details = [...this.#problems, ...unused.map(name => `--param ${name}: no query uses it`)];
    if (details.length > 0) {
      throw new QrunError('PARAMETERS', 'the parameters do not fit the queries', {
        details,
        hint: 'give each {name:Type} of the SQL one value: --param name=value',
      });
    }
  }

  #bad(name: string, problem: string): void {
    this.#badFiles.add(name);
    this.#problems.push(`${name}.sql: ${problem}`);
  }
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`;
}
