import { QrunError } from '../errors.js';
import type { Parameters } from '../model.js';
import { decodeSql, holdsNoStatement, parseQuery } from '../sql/parse.js';
import type { ParsedQuery } from '../sql/statement.js';
import { type FingerprintInputs, fingerprinter } from './fingerprint.js';

/** Placeholders that run as they are: all (`true`), none, or those named, spelt as in the SQL. */
export type AllowedPlaceholders = boolean | readonly string[];

/** The rules for judging a query file, all from one resolved configuration. */
export interface JudgeRules {
  readonly inputs: FingerprintInputs;
  readonly allowPlaceholders: AllowedPlaceholders;
  /**
   * Set in a run on this many servers that may not change data: each change would be made on any one of them, and not
   * on the others.
   */
  readonly oneOfServers?: number | undefined;
}

/** Why a file cannot run: one line for each problem, each once. */
export interface Refusal {
  readonly kind: 'refused';
  readonly code: 'SQL_INVALID' | 'PARAMETERS' | 'UNIT_UNREADABLE';
  readonly problems: readonly string[];
  /** Whether an unreplaced placeholder is among them. */
  readonly placeholders: boolean;
}

/** A query file that cannot run, with one of its problems; without a name, a problem of the unit as a whole. */
export interface CannotRun {
  readonly query: string | null;
  readonly problem: string;
}

/** What is to be done with a query file. */
export type Judgement =
  | { readonly kind: 'query'; readonly query: ParsedQuery }
  /** It contains only comments and semicolons, or nothing. It is not a query, so no result of it can be missing. */
  | { readonly kind: 'no_statement' }
  | Refusal;

const NONE: readonly string[] = [];

/**
 * The only place that decides whether a file's text runs, and under which fingerprint. Plan, run and audit ask it, so
 * that none of them counts as done what another one refuses. Pure.
 */
export class Judge {
  /** Returns the fingerprint of a file's bytes, whatever they are; see {@link fingerprinter}. */
  readonly fingerprint: (bytes: Uint8Array) => string;
  /** The names of all parameters that judged files take. */
  readonly usedParameters = new Set<string>();
  /** Whether any query that can run takes parameters. */
  usesParameters = false;
  readonly #parameters: Parameters;
  readonly #isAllowed: (placeholder: string) => boolean;
  readonly #oneOfServers: number | undefined;

  constructor({ inputs, allowPlaceholders, oneOfServers }: JudgeRules) {
    this.#oneOfServers = oneOfServers;
    this.fingerprint = fingerprinter(inputs);
    this.#parameters = inputs.parameters;
    this.#isAllowed = allowance(allowPlaceholders);
  }

  /** Judges the current bytes of a query file. */
  judge(bytes: Uint8Array): Judgement {
    let sql: string | undefined;
    let query: ParsedQuery;
    try {
      sql = decodeSql(bytes);
      query = parseQuery(sql);
    } catch (error) {
      if (!(error instanceof QrunError)) throw error;
      if (sql !== undefined && holdsNoStatement(sql)) return { kind: 'no_statement' };
      return { kind: 'refused', code: 'SQL_INVALID', problems: [error.message], placeholders: false };
    }
    const placeholders = query.placeholders.filter(placeholder => !this.#isAllowed(placeholder));
    const missing = this.#missingParameters(query);
    const changes =
      this.#oneOfServers === undefined || query.readOnly
        ? NONE
        : [`changes data, on only one of the ${this.#oneOfServers} servers (--allow-changes)`];
    if (placeholders.length === 0 && missing.length === 0 && changes.length === 0) {
      this.usesParameters ||= query.statements.some(({ parameters }) => parameters.length > 0);
      return { kind: 'query', query };
    }
    const unreplaced = placeholders.length === 0 ? [] : [`unreplaced placeholder ${placeholders.join(', ')}`];
    return {
      kind: 'refused',
      code: unreplaced.length + changes.length > 0 ? 'SQL_INVALID' : 'PARAMETERS',
      problems: [...unreplaced, ...missing, ...changes],
      placeholders: unreplaced.length > 0,
    };
  }

  #missingParameters({ statements }: ParsedQuery): readonly string[] {
    let missing: Map<string, string> | undefined;
    for (const { parameters } of statements) {
      for (const { name, type } of parameters) {
        this.usedParameters.add(name);
        if (Object.hasOwn(this.#parameters, name)) continue;
        missing ??= new Map();
        if (!missing.has(name)) missing.set(name, `{${name}:${type}} has no value`);
      }
    }
    return missing === undefined ? NONE : [...missing.values()];
  }
}

// `{{ x }}` and `{{x}}` are one placeholder.
function allowance(allowed: AllowedPlaceholders): (placeholder: string) => boolean {
  if (typeof allowed === 'boolean') return () => allowed;
  const bare = (name: string): string => name.replace(/\s+/g, '');
  const names = new Set(allowed.map(bare));
  return placeholder => names.has(bare(placeholder));
}

// How many of the files that share a problem are named.
const NAMED = 3;

/** Returns problems as lines `file.sql: problem`, in order; one line for a problem that more than three files share. */
export function sharedLines(problems: readonly CannotRun[]): string[] {
  const files = new Map<string, string[]>();
  for (const { query, problem } of problems) {
    if (query === null) continue;
    const names = files.get(problem);
    if (names === undefined) files.set(problem, [query]);
    else names.push(query);
  }
  return problems.flatMap(({ query, problem }) => {
    if (query === null) return [problem];
    const names = files.get(problem) as string[];
    if (names.length <= NAMED) return [`${query}.sql: ${problem}`];
    if (names[0] !== query) return [];
    const shown = names.slice(0, NAMED).map(name => `${name}.sql`);
    return [`${shown.join(', ')} and ${names.length - NAMED} more: ${problem}`];
  });
}
