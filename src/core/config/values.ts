import { z } from 'zod';
import { MAX_CONCURRENCY } from '../machine/sizing.js';
import { parseSize, SIZE_EXAMPLES, sizePattern } from '../text/bytes.js';
import { parseDuration } from '../text/duration.js';
import { globProblem } from '../text/glob.js';
import { HALT_FORMS, parseHalt } from '../unit/halt.js';
import type { AllowedPlaceholders } from '../unit/judge.js';
import type { Shard } from '../unit/selection.js';
import { namesSeveralWithUsers, urlsIn } from './urls.js';

// The kinds of configuration values: one function per kind that makes its schema, for the entries of the table of
// configuration. A schema is made only when it is asked for, because zod takes a tenth of a millisecond for each. The
// input of a schema is what TOML, JSON, the environment and the command line can hold (strings in the last two). Its
// output is what the code works with. `meta` states in JSON Schema what a parser checks.

/** Returns a function that makes a schema on its first call and returns the same one afterwards. */
export function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

/** A non-empty string. */
export const text = once(() => z.string('must be a string').min(1, 'must not be empty'));

/** One of a few words. */
export function oneOf<const T extends readonly string[]>(words: T) {
  const [last, ...others] = [...words].reverse() as [string, ...string[]];
  return z.enum(words, `must be ${others.reverse().join(', ')} or ${last}`);
}

/** True or false; a string in the environment. */
export const flag = once(() =>
  z.union(
    [z.boolean(), z.enum(['1', 'true', '0', 'false']).transform(word => word === '1' || word === 'true')],
    'must be true or false',
  ),
);

/** A whole number within bounds; decimal digits if it is a string. */
export function wholeNumber(
  min: number,
  max: number,
  message = `must be a whole number from ${min} to ${max}`,
) {
  const number = z.int(message).min(min, message).max(max, message);
  return z.union(
    [
      number,
      z
        .string()
        .regex(/^\d{1,15}$/, message)
        .transform(Number)
        .pipe(number),
    ],
    message,
  );
}

const CONCURRENCY = `must be a whole number from 1 to ${MAX_CONCURRENCY}, or auto`;

/** How many queries run at a time; `auto` is what is recommended when the run starts. */
export const concurrency = once(() =>
  z.union([z.literal('auto'), wholeNumber(1, MAX_CONCURRENCY, CONCURRENCY)], CONCURRENCY),
);

function parsed<T>(parse: (value: string) => T | undefined, message: string, pattern: string) {
  return z
    .string(message)
    .meta({ pattern })
    .transform((value, context) => {
      const result = parse(value);
      if (result !== undefined) return result;
      context.addIssue({ code: 'custom', message });
      return z.NEVER;
    });
}

/** A duration with its unit, in milliseconds. */
export const duration = once(() =>
  parsed(
    parseDuration,
    'must be a duration with a unit: 500ms, 30s, 5m or 2h',
    String.raw`^\d+(\.\d+)?(ms|s|m|h)$`,
  ),
);

/** A size of at least `least`, in bytes. */
export function size(least: string) {
  const leastBytes = parseSize(least) as number;
  return parsed(
    value => {
      const bytes = parseSize(value);
      return bytes !== undefined && bytes >= leastBytes ? bytes : undefined;
    },
    `must be a size of at least ${least}: ${SIZE_EXAMPLES}`,
    sizePattern(leastBytes),
  );
}

const HALT_ERRORS = String.raw`errors=(?=[\d.]*[1-9])(\d+|\d+(\.\d+)?%)`;
const HALT_SAME = String.raw`same=(0*[1-9]\d*|off)`;
const HALT = `^(${HALT_ERRORS}(,${HALT_SAME})?|${HALT_SAME}(,${HALT_ERRORS})?)$`;

/** When a run stops by policy. */
export const halt = once(() => parsed(parseHalt, `must be ${HALT_FORMS}`, HALT));

/** Permissions as mkdir(1) and the shell write them. The owner's are never removed, because qrun itself needs them. */
export const umask = once(() =>
  parsed(
    value => (/^0{0,2}[0-7]{2}$/.test(value) ? Number.parseInt(value, 8) : undefined),
    'must be a umask in octal digits that leaves the owner all rights, such as 0077',
    '^0{0,2}[0-7]{2}$',
  ),
);

/** One part of several. */
export const shard = once(() =>
  parsed(parseShard, 'must be i/n with 1 <= i <= n, such as 2/8', String.raw`^\d{1,6}/\d{1,6}$`),
);

function parseShard(value: string): Shard | undefined {
  const match = /^(\d{1,6})\/(\d{1,6})$/.exec(value);
  const [index, count] = [Number(match?.[1]), Number(match?.[2])];
  return match !== null && index >= 1 && index <= count ? { index, count } : undefined;
}

// More names than this in one list are a mistake.
const MAX_GLOBS = 1000;

/** A glob. */
export const glob = once(() =>
  text().superRefine((value, context) => {
    const message = globProblem(value);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  }),
);

/** A glob, or a list of them. */
export const globs = once(() =>
  z
    .union(
      [
        z.string(),
        // The list is checked below, so that each of its problems gets its own path.
        z
          .custom<readonly string[]>(Array.isArray)
          .meta({ type: 'array', items: { type: 'string', minLength: 1 }, maxItems: MAX_GLOBS }),
      ],
      'must be a string or a list of strings',
    )
    .transform((value): unknown => (typeof value === 'string' ? [value] : value))
    .pipe(z.array(glob()).max(MAX_GLOBS, `must not have more than ${MAX_GLOBS} globs`)),
);

// A cluster has fewer replicas.
const MAX_URLS = 64;
const URLS = 'must be a URL or a list of URLs';

const url = once(() =>
  text().superRefine((value, context) => {
    if (!namesSeveralWithUsers(value)) return;
    const message = 'must not name users when it names several servers: give the user with --user';
    context.addIssue({ code: 'custom', message });
  }),
);

/** The URLs of one or more servers: a string with one or several of them, or a list of such strings. */
export const urls = once(() =>
  z
    .union(
      [
        z.string().min(1, 'must not be empty'),
        // The list is checked below, so that each of its problems gets its own path.
        z
          .custom<readonly string[]>(Array.isArray)
          .meta({ type: 'array', items: { type: 'string', minLength: 1 }, minItems: 1, maxItems: MAX_URLS }),
      ],
      URLS,
    )
    .transform((value): unknown => (typeof value === 'string' ? [value] : value))
    .pipe(
      z
        .array(url())
        .min(1, 'must not be empty')
        .transform(values => values.flatMap(urlsIn))
        .refine(values => values.length <= MAX_URLS, `must not name more than ${MAX_URLS} servers`),
    ),
);

const ALLOWED = 'must be true, false or placeholders as they stand in the SQL, such as __WORD__';
// The forms that CodeScanner finds (src/core/sql/lexer/code-scanner.ts), exactly one.
const placeholder = () =>
  z.string(ALLOWED).regex(/^\s*(?:__\w+__|\$\{[^{}]+\}|\{\{[^{}]+\}\}|\{%[^{}]+%\})\s*$/, ALLOWED);

/** The placeholders that are allowed: all, none, one, or those of a list. */
export const placeholders = once(() =>
  z
    .union([flag(), placeholder(), z.array(placeholder())], ALLOWED)
    .transform((value): AllowedPlaceholders => (typeof value === 'string' ? [value] : value)),
);

/** A value in a table whose values become strings. */
export const scalar = once(() =>
  z.union(
    [z.string(), z.number(), z.boolean()],
    'must be a string, a number or true/false (a date as a string)',
  ),
);

/** Returns a value as a string; true and false become 1 and 0. */
export function scalarText(value: string | number | boolean): string {
  return typeof value === 'boolean' ? (value ? '1' : '0') : String(value);
}

/** Names and their values, as strings. */
export const pairs = once(() =>
  z
    .record(z.string(), scalar(), 'must be a table of names and values')
    .transform(values => Object.fromEntries(Object.entries(values).map(([k, v]) => [k, scalarText(v)]))),
);

const HOST_NAME = 'must be 1 to 64 letters, digits, ".", "_" or "-", and begin with a letter or digit';
// What ssh and rsync take as one destination, whatever stands around it: no option, no path, no second word.
const DESTINATION =
  'must be HOST or USER@HOST as ssh takes it, without a port (that belongs in ~/.ssh/config)';
const HOST_ROOT = 'must be an absolute path on that host, without control characters';
const HOST_QRUN =
  'must be the command there, as one program or a list of words, such as ["/opt/node/bin/node", "/opt/qrun/bin/qrun.cjs"]';
// As in `[sweep]`: more are a mistake.
const MAX_SLOTS = 10_000;
// More machines than this are not reached by one person's ssh.
const MAX_HOSTS = 500;

const host = once(() => {
  const word = z.string(HOST_QRUN).regex(/^[^\s-][^\p{Cc}\p{Zl}\p{Zp}]*$/u, HOST_QRUN);
  const words = z
    .array(z.string(HOST_QRUN).regex(/^[^\p{Cc}\p{Zl}\p{Zp}]*$/u, HOST_QRUN))
    .refine(([program]) => word.safeParse(program).success, HOST_QRUN)
    .meta({ minItems: 1 });
  return z
    .strictObject(
      {
        name: z
          .string(HOST_NAME)
          .regex(/^[A-Za-z0-9][\w.-]{0,63}$/, HOST_NAME)
          .describe('Its name in tables, and of its directory in results/.from.'),
        ssh: z
          .string(DESTINATION)
          .regex(/^(?:[A-Za-z0-9_][\w.+-]*@)?[A-Za-z0-9_][\w.-]*$/, DESTINATION)
          .describe('Where ssh connects to; the name if it is missing.')
          .optional(),
        root: z
          .string(HOST_ROOT)
          .regex(/^\/[^/\p{Cc}\p{Zl}\p{Zp}][^\p{Cc}\p{Zl}\p{Zp}]*$/u, HOST_ROOT)
          .describe('The root of the sweep there.'),
        slots: wholeNumber(1, MAX_SLOTS)
          .describe(
            'Units that run there at a time; its share of the units follows from it. 1 if it is missing.',
          )
          .optional(),
        qrun: z
          .union([word, words], HOST_QRUN)
          .describe('The qrun there: a program, or a list of words; qrun if it is missing.')
          .optional(),
      },
      {
        error: ({ code }) =>
          code === 'unrecognized_keys'
            ? 'unknown key; known are name, ssh, root, slots, qrun'
            : 'must be a table with name, ssh and root',
      },
    )
    .transform(({ name, ssh = name, root, slots = 1, qrun = 'qrun' }) => ({
      name,
      ssh,
      root: root.replace(/(?<!\/)\/+$/, ''),
      slots,
      qrun: typeof qrun === 'string' ? [qrun] : qrun,
    }));
});

/** The machines of a sweep, with what is missing filled in. Their names are distinct, also where case is folded. */
export const hosts = once(() =>
  z
    .array(host(), 'must be a list of tables: [[hosts]]')
    .max(MAX_HOSTS, `must not have more than ${MAX_HOSTS} hosts`)
    .superRefine((all, context) => {
      const seen = new Set<string>();
      all.forEach(({ name }, index) => {
        const folded = name.toLowerCase();
        if (seen.has(folded)) {
          const message = 'must differ from the names of the other hosts';
          context.addIssue({ code: 'custom', message, path: [index, 'name'] });
        }
        seen.add(folded);
      });
    }),
);
