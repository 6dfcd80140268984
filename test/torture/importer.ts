/** What the importer program does. */
export interface ImporterConfig {
  readonly log: string;
  readonly unit: string;
  /** The queries that the unit has. */
  readonly queries: readonly string[];
  readonly sources: readonly {
    readonly path: string;
    /** Queries that it settles: once it is imported, they are acknowledged. */
    readonly settled: readonly string[];
  }[];
  /** Outside the file system under test. */
  readonly journal: string;
}
