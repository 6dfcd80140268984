import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';

/** The root of the project. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** The path of the executable; throws with the build's output when it could not be built. */
export function builtQrun(): string {
  requireBuild();
  return `${ROOT}bin/qrun.cjs`;
}

/** Throws with the build's output when the program could not be built. */
export function requireBuild(): void {
  const error = inject('buildError');
  if (error !== '') throw new Error(error);
}
