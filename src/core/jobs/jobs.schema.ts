export { jobsSchema as schema } from './file-schema.js';

/** That it is of a file that people write. */
export const isInput = true;
