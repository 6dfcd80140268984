import type { Config } from '../config/table.js';
import { QrunError } from '../errors.js';

/** A machine of `[[hosts]]`, with what is missing filled in. */
export type Host = Config['hosts'][number];

/**
 * Returns the hosts with these names, in the order of the configuration; all of them without names.
 *
 * Errors: QrunError `USAGE` for a name that is none of theirs; `CONFIG` if there are no hosts at all.
 */
export function chooseHosts(hosts: readonly Host[], names: readonly string[], file: string): readonly Host[] {
  if (hosts.length === 0) {
    throw new QrunError('CONFIG', `${file} names no hosts`, {
      hint: 'add them: [[hosts]] with name, ssh and root; see docs/scale.md',
    });
  }
  const unknown = names.filter(name => hosts.every(host => host.name !== name));
  if (unknown.length > 0) {
    throw new QrunError('USAGE', `there is no host ${unknown.join(', ')} in ${file}`, {
      hint: `known are ${hosts.map(({ name }) => name).join(', ')}`,
    });
  }
  return names.length === 0 ? hosts : hosts.filter(({ name }) => names.includes(name));
}
