import { CONFIG_KEYS } from '../../core/config/keys.js';
import { QrunError } from '../../core/errors.js';

/**
 * Refuses options that a function of the library does not accept. `others` are its options that are not configuration
 * keys. `not` says, for keys that it does not accept, what to do instead.
 *
 * Errors: QrunError `CONFIG`, listing the known options.
 */
export function refuseUnknown(
  opener: string,
  values: object,
  others: readonly string[],
  not: Readonly<Record<string, string>> = {},
): void {
  const known: readonly string[] = CONFIG_KEYS.filter(key => !Object.hasOwn(not, key));
  const unknown = Object.keys(values).filter(name => !known.includes(name));
  if (unknown.length === 0) return;
  const instead = unknown.flatMap(name => (Object.hasOwn(not, name) ? [not[name]] : []))[0];
  throw new QrunError('CONFIG', `${opener} has no option ${unknown.join(', ')}`, {
    hint: instead ?? `known are ${[...known, ...others].join(', ')}`,
  });
}
