import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ROOT } from '../built.js';

/**
 * The mise of this machine, or the one that `npm run test:all` puts into the project's own cache; `undefined`
 * without one.
 */
export function misePath(): string | undefined {
  const folders = [
    join(ROOT, '.cache', 'tools', 'node_modules', '.bin'),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  return folders
    .map(folder => join(folder, 'mise'))
    .find(path => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}
