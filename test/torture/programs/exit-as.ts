import { QrunError } from '../../../src/core/errors.js';

/** Ends this process as qrun does: with 0, or with the exit code and the code of the error. */
export function exitAs(work: Promise<void>): void {
  work.then(
    () => {
      process.exitCode = 0;
    },
    error => {
      process.stderr.write(
        error instanceof QrunError ? `${error.code}: ${error.message}\n` : `BUG: ${error?.stack}\n`,
      );
      process.exitCode = error instanceof QrunError ? error.exitCode : 1;
    },
  );
}
