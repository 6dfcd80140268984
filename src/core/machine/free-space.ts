/** Less free space than this is used up within one unit. */
export const LITTLE_SPACE_BYTES = 1e9;

/** A disk with less free space than this cannot hold a batch of large results. */
export const NO_SPACE_BYTES = 64e6;
