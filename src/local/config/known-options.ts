import { keysWhere } from '../../core/config/keys.js';
import { checkOptions, type OptionKinds } from '../../core/options.js';

/**
 * Checks the options of a function of the library that also takes the keys of the configuration, whose values are
 * checked with it. `not` says, for keys that it does not accept, what to do instead.
 *
 * Errors: QrunError `CONFIG`, listing the known options.
 */
export function checkOpening(
  name: string,
  options: unknown,
  kinds: OptionKinds,
  not: Readonly<Record<string, string>> = {},
): void {
  const keys = keysWhere(({ flag }) => flag !== undefined);
  checkOptions(name, options, kinds, { known: keys.filter(key => !Object.hasOwn(not, key)), not });
}
