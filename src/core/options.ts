import { CONFIG_KEYS } from './config/keys.js';
import { QrunError } from './errors.js';
import { QUEUE_NAMES } from './queue/names.js';

// What a value must be, in words, and whether it is.
const KINDS = {
  string: ['a string', value => typeof value === 'string'],
  boolean: ['true or false', value => typeof value === 'boolean'],
  function: ['a function', value => typeof value === 'function'],
  signal: ['an AbortSignal', value => value instanceof AbortSignal],
  strings: ['a list of strings', isListOfStrings],
  integer: ['a whole number', Number.isSafeInteger],
  count: ['a whole number from 1', isCount],
  slots: ["a whole number from 1, or 'auto'", value => value === 'auto' || isCount(value)],
  all: ["'all'", value => value === 'all'],
  queue: [QUEUE_NAMES.join(' or '), value => QUEUE_NAMES.some(name => name === value)],
  environment: ['an object of variables', isObject],
} satisfies Record<string, readonly [what: string, is: (value: unknown) => boolean]>;

/** What an option of the library must be. */
export type OptionKind = keyof typeof KINDS;

/** The options of a function of the library, and what each must be. */
export type OptionKinds = Readonly<Record<string, OptionKind>>;

/** What else is known about the options of a function. */
export interface OtherOptions {
  /** Whether the keys of the configuration are options too, whose values are checked with it. */
  readonly config?: boolean;
  /** For options that it does not accept: what to do instead. */
  readonly not?: Readonly<Record<string, string>>;
}

/**
 * Checks the options that a program gave to a function of the library. One that is `undefined` counts as not given.
 *
 * Errors: QrunError `CONFIG`, with every option that does not exist or is not what it must be.
 */
export function checkOptions(
  name: string,
  options: unknown,
  kinds: OptionKinds,
  { config = false, not = {} }: OtherOptions = {},
): void {
  if (!isObject(options)) throw new QrunError('CONFIG', `${name}: the options must be an object`);
  const keys = config ? CONFIG_KEYS.filter(key => !Object.hasOwn(not, key)) : [];
  const all = [...keys, ...Object.keys(kinds)];
  const unknown = Object.keys(options).filter(key => !all.includes(key));
  const wrong = Object.entries(kinds).flatMap(([key, kind]) => {
    const value = Object.hasOwn(options, key) ? options[key] : undefined;
    return value === undefined ? [] : problemOf(`${name}: ${key}`, value, kind);
  });
  const instead = unknown.flatMap(key => (Object.hasOwn(not, key) ? [not[key]] : []))[0];
  const problems = [
    ...(unknown.length === 0 ? [] : [`${name} has no option ${unknown.join(', ')}`]),
    ...wrong,
  ];
  refuse(name, problems, unknown.length === 0 ? undefined : (instead ?? `known are ${all.join(', ')}`));
}

/** Checks an argument that is not an option; `what` describes it. Errors: QrunError `CONFIG`. */
export function checkArgument(name: string, what: string, value: unknown, kind: OptionKind): void {
  refuse(name, problemOf(`${name}: ${what}`, value, kind));
}

function problemOf(what: string, value: unknown, kind: OptionKind): string[] {
  const [expected, is] = KINDS[kind];
  return is(value) ? [] : [`${what} must be ${expected}`];
}

function refuse(name: string, problems: readonly string[], hint?: string): void {
  const [only] = problems;
  if (only === undefined) return;
  const more = hint === undefined ? {} : { hint };
  if (problems.length === 1) throw new QrunError('CONFIG', only, more);
  throw new QrunError('CONFIG', `${name}: ${problems.length} problems`, { details: problems, ...more });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isListOfStrings(value: unknown): boolean {
  return Array.isArray(value) && value.every(one => typeof one === 'string');
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
