import { fileURLToPath } from 'node:url';

/** Returns the command that starts this very qrun: Node and the executable, both as absolute paths. */
export function ownCommand(): string[] {
  return [process.execPath, fileURLToPath(new URL('../../../bin/qrun.cjs', import.meta.url))];
}
