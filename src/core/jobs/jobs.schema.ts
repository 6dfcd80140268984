export { jobsSchema as schema } from './file-schema.js';

/** Marks the schema of a file that people write. */
export const isInput = true;
