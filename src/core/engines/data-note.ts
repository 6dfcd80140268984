import type { Parameters, Settings } from '../model.js';
import { shortHash } from '../unit/fingerprint.js';

/** One setup file of a chain, outermost first: where it lies (for people) and what is in it. */
export interface ChainFile {
  /** Relative to the sweep root. */
  readonly file: string;
  /** Of its bytes. */
  readonly fingerprint: string;
}

/** Everything that decides which data a chain of setup files makes in the embedded engine. */
export interface DataInputs {
  readonly chain: readonly ChainFile[];
  /** The parameters that the chain uses, and no others. */
  readonly parameters: Parameters;
  /** The settings that can change a result, the database and the time zone among them. */
  readonly settings: Settings;
  /** The version of the engine; empty where it is not to count. */
  readonly engine: string;
}

/** What a data directory says about itself, in a file inside it. */
export interface DataNote extends DataInputs {
  readonly version: typeof DATA_VERSION;
  readonly identity: string;
  /** Different for each time that the chain ran: a copy belongs to the very data that it was made of. */
  readonly build: string;
  /** Whether the data is there after the engine was closed; tables in memory are not. */
  readonly lasting: boolean;
  /** ISO 8601, UTC. */
  readonly made_at: string;
}

/** How qrun lays out and notes embedded data: data of another version is never used. */
const DATA_VERSION = 1;

/**
 * The name of the data that a chain makes: 16 hex digits of a hash over what is in the files, in their order, and
 * all else that decides it. Where the files lie and what they are called does not count. Without setup files there is
 * nothing that could decide: all such data has one name.
 */
export function dataIdentity({ chain, parameters, settings, engine }: DataInputs): string {
  const decided =
    chain.length === 0
      ? []
      : [chain.map(({ fingerprint }) => fingerprint), sorted(parameters), sorted(settings), engine];
  return shortHash(JSON.stringify(['qrun data', DATA_VERSION, ...decided]));
}

/** The note as the text of its file. */
export function encodeDataNote(note: DataNote): string {
  return `${JSON.stringify(note, null, 2)}\n`;
}

/** A note from its text; `undefined` for what is none, or of another version. */
export function decodeDataNote(text: string): DataNote | undefined {
  let note: Partial<DataNote> | null;
  try {
    note = JSON.parse(text) as Partial<DataNote> | null;
  } catch {
    return undefined;
  }
  const whole =
    note?.version === DATA_VERSION &&
    [note.identity, note.build, note.made_at, note.engine].every(value => typeof value === 'string') &&
    typeof note.lasting === 'boolean' &&
    Array.isArray(note.chain);
  return whole ? (note as DataNote) : undefined;
}

/** Whether two chains have the same content in the same order. */
export function sameChain(a: readonly ChainFile[], b: readonly ChainFile[]): boolean {
  return a.length === b.length && a.every(({ fingerprint }, index) => fingerprint === b[index]?.fingerprint);
}

function sorted(values: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
}
