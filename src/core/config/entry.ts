import type { z } from 'zod';

// Only a type: the schemas, and zod with them, are loaded by the code that checks values, not for a help text.
type Values = typeof import('./values.js');

/** A command-line option that sets a key. */
export interface Flag {
  /** In commander's syntax: `-P, --concurrency <n>`. */
  readonly flag: string;
  /** `{default}` and `{env}` in it stand for those of the key. */
  readonly help: string;
  /** Whether it may be given several times; the value is then a list of all of them. */
  readonly repeatable?: boolean;
  readonly hidden?: boolean;
}

/** One key of the table. `S` is its schema, `D` its default. */
export interface Entry<S extends z.ZodType, D> extends Omit<Flag, 'flag'> {
  /** Missing for a key that only a qrun.toml can hold. */
  readonly flag?: string;
  /** What a value may be, and what it becomes. */
  readonly schema: (values: Values) => S;
  /** As a qrun.toml would write it; without it, a value that is not given is `undefined`. */
  readonly default?: D;
  /** What happens when no value is given, for people. */
  readonly absent?: string;
  /** What the key is for, when the help of its flag says it in terms of the command line. */
  readonly about?: string;
  /** Another option that sets the same key. */
  readonly also?: Flag;
  readonly choices?: readonly string[];
  /**
   * The environment variable, if it is not `QRUN_` and the name of the key. What is a choice for one run, or may be
   * given several times, has none.
   */
  readonly env?: string;
  /** Whether it is a choice for one run and not part of the description of a sweep; qrun.toml cannot hold it. */
  readonly perRun?: boolean;
  /** Whether it is a path. A path in qrun.toml is relative to the root. */
  readonly path?: boolean;
  /** Whether tables from several sources are merged name by name instead of replaced. Values may be secrets. */
  readonly merged?: boolean;
  /**
   * What a tree may set. `qrun trust` shows and remembers `trusted` keys, because they decide where secrets and results
   * go. `guarded` keys are trusted too, and are refused without trust.
   */
  readonly tree?: 'trusted' | 'guarded';
  /** Whether it decides which results count; an audit needs the same value as the run. */
  readonly audited?: boolean;
  /** Formats the value for people. */
  readonly show?: (value: z.output<S>) => string;
}

/** Returns the entry as it is; checks its type and keeps it exact. */
export function key<S extends z.ZodType, const D extends z.input<S> | undefined = undefined>(
  entry: Entry<S, D>,
): Entry<S, D> {
  return entry;
}
