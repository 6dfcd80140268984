import type { FlockMechanism } from '../../src/io/files/flock.js';
import type { Shape } from './expected.js';

/** What the writer program does. */
export interface WriterConfig {
  readonly log: string;
  readonly unit: string;
  readonly queries: readonly string[];
  readonly shape: Shape;
  /** Outside the file system under test. */
  readonly journal: string;
  /** How many groups wait for the log at the same time. */
  readonly parallel: number;
  /** Seed of the order; without it the order of the list. */
  readonly shuffle?: number;
  readonly lockLimitMs?: number;
  readonly mechanism?: FlockMechanism;
  /** Results above this size are spooled. */
  readonly spoolBytes?: number;
  /** Makes the run id the same each time. */
  readonly runSuffix?: string;
  /** Makes all results before it records the first, so that it does nothing but write. */
  readonly prepared?: boolean;
  /** Prints each acknowledgement. */
  readonly say?: boolean;
}
