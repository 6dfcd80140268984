import type { z } from 'zod';

// A type alone: the schemas, and zod with them, are loaded by who checks values, and not for a help text.
type Values = typeof import('./values.js');

/** Where an option stands in the help of a command. */
export type Group = 'Options' | 'Engine' | 'Run' | 'Unit and log' | 'Selection' | 'Bad files';

/** An option of the command line that sets a key. */
export interface Flag {
  /** As commander takes it: `-P, --concurrency <n>`. */
  readonly flag: string;
  /** In which `{default}` and `{env}` stand for those of the key. */
  readonly help: string;
  /** Whether it may be given several times; a list of all values then. */
  readonly repeatable?: boolean;
  readonly hidden?: boolean;
}

/** One key of the table: `S` its schema, `D` its default. */
export interface Entry<S extends z.ZodType, D> extends Flag {
  /** What a value may be, and what it then is. */
  readonly schema: (values: Values) => S;
  /** As a qrun.toml would say it; without it the value is `undefined` where none is given. */
  readonly default?: D;
  /** What happens where none is given, for people. */
  readonly absent?: string;
  readonly group: Group;
  /** What the key is for, where the help of its flag says it in the words of the command line. */
  readonly about?: string;
  /** Another option that sets the same key. */
  readonly also?: Flag;
  readonly choices?: readonly string[];
  /** The environment variable. */
  readonly env?: string;
  /** Whether it is a choice of one run and no part of a description of a sweep: no qrun.toml has it. */
  readonly perRun?: boolean;
  /** Whether it is a path: one in qrun.toml is relative to the root. */
  readonly path?: boolean;
  /** Whether tables of several sources are one, name by name; everything else is replaced. Values may be secrets. */
  readonly merged?: boolean;
  /**
   * What a tree may say: `trusted` is what `qrun trust` shows and remembers, because it decides where secrets and results
   * go; `guarded` is that too, and refused without trust.
   */
  readonly tree?: 'trusted' | 'guarded';
  /** Whether it says which results count: an audit needs it to be as it was in the run. */
  readonly audited?: boolean;
  /** The value for people. */
  readonly show?: (value: z.output<S>) => string;
}

/** Checks an entry of the table, and keeps what exactly it is. */
export function key<S extends z.ZodType, const D extends z.input<S> | undefined = undefined>(
  entry: Entry<S, D>,
): Entry<S, D> {
  return entry;
}
