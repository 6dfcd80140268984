import { CONFIG_KEYS } from '../../core/config/keys.js';
import { QrunError } from '../../core/errors.js';

/**
 * Refuses what a function of the library does not take. `others` are its options that are no keys of the configuration.
 *
 * Errors: QrunError `CONFIG`, with what is known.
 */
export function refuseUnknown(opener: string, values: object, others: readonly string[]): void {
  const known: readonly string[] = CONFIG_KEYS;
  const unknown = Object.keys(values).filter(name => !known.includes(name));
  if (unknown.length === 0) return;
  throw new QrunError('CONFIG', `${opener} takes no option ${unknown.join(', ')}`, {
    hint: `known are ${[...known, ...others].join(', ')}`,
  });
}
