import { QrunError } from '../../../src/core/errors.js';

/** The QrunError that `run` throws; any other error is passed on, and none at all is an error too. */
export function refusalOf(run: () => unknown): QrunError {
  try {
    run();
  } catch (error) {
    if (error instanceof QrunError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}
