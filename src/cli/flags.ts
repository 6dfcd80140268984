import { QrunError } from '../core/errors.js';
import type { JobSize } from '../core/machine/sizing.js';
import { MAX_PRIORITY } from '../core/sweep/units.js';
import { parseSize, SIZE_EXAMPLES } from '../core/text/bytes.js';
import { DURATION_EXAMPLES, parseDuration } from '../core/text/duration.js';
import type { Flags } from './command.js';

/**
 * Returns what `parse` makes of the value of a flag, such as `--memory-per-job`; `undefined` without the flag. Errors:
 * QrunError `USAGE`, which says what it must be, where `parse` returns `undefined`.
 */
export function parsedFlag<T>(
  flags: Flags,
  flag: `--${string}`,
  must: string,
  parse: (text: string) => T | undefined,
): T | undefined {
  const value = flags[flag.slice(2).replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())];
  if (value === undefined) return undefined;
  const parsed = parse(String(value));
  if (parsed === undefined) throw new QrunError('USAGE', `${flag} ${value}: must be ${must}`);
  return parsed;
}

/** Bounds of `--priority`; the audit takes one less. */
export const UNIT_PRIORITY = { min: -MAX_PRIORITY, max: MAX_PRIORITY };
export const AUDIT_PRIORITY = { min: -MAX_PRIORITY - 1, max: MAX_PRIORITY };

/** Bounds of `--parallel`. */
export const PARALLEL = { min: 1, max: 10_000 };

/** Returns the number of a flag. Errors: QrunError `USAGE`. */
export function wholeNumberFlag(
  flags: Flags,
  flag: `--${string}`,
  { min, max }: { readonly min: number; readonly max: number },
): number | undefined {
  return parsedFlag(flags, flag, `a whole number from ${min} to ${max}`, text => {
    const number = /^-?\d{1,12}$/.test(text) ? Number(text) : Number.NaN;
    return number >= min && number <= max ? number : undefined;
  });
}

/** Returns the milliseconds of `--interval`; `least` is a duration, too. Errors: QrunError `USAGE`. */
export function intervalFlag(flags: Flags, least: string): number | undefined {
  return parsedFlag(flags, '--interval', `a duration of at least ${least}: ${DURATION_EXAMPLES}`, text => {
    const ms = parseDuration(text);
    return ms === undefined || ms < (parseDuration(least) ?? 0) ? undefined : ms;
  });
}

/** Returns the values of a flag that may be given several times. */
export function stringsFlag(flags: Flags, name: string): string[] {
  return (flags[name] as string[] | undefined) ?? [];
}

/** Returns what one job takes, from `--memory-per-job` and `--cores-per-job`. Errors: QrunError `USAGE`. */
export function jobSize(flags: Flags, memoryMaxBytes: number | undefined): JobSize {
  const memoryBytes = parsedFlag(
    flags,
    '--memory-per-job',
    `a size: ${SIZE_EXAMPLES}`,
    text => parseSize(text) || undefined,
  );
  const cores = parsedFlag(flags, '--cores-per-job', 'a number above 0, such as 2 or 0.5', text => {
    const number = /^\d{1,4}(\.\d+)?$/.test(text) ? Number(text) : 0;
    return number > 0 ? number : undefined;
  });
  return { memoryBytes: memoryBytes ?? memoryMaxBytes, cores: cores ?? 1 };
}
