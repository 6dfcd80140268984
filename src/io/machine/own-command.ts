import { fileURLToPath } from 'node:url';

/** Returns how this very qrun is started by somebody else: Node and the executable, both absolute. */
export function ownCommand(): string[] {
  return [process.execPath, fileURLToPath(new URL('../../../bin/qrun.cjs', import.meta.url))];
}
