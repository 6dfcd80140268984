import type { Parameters, Settings } from '../model.js';
import { jsonObject } from '../text/json.js';
import { shortHash, sorted } from '../unit/fingerprint.js';

/** One setup file of a chain, outermost first: its path (for people) and the hash of its content. */
export interface ChainFile {
  /** Relative to the sweep root. */
  readonly file: string;
  /** Of its bytes. */
  readonly fingerprint: string;
}

/** Everything that decides which data a chain of setup files makes in the embedded engine. */
export interface DataInputs {
  readonly chain: readonly ChainFile[];
  /** Only the parameters that the chain uses. */
  readonly parameters: Parameters;
  /** The settings that can change a result, including the database and the time zone. */
  readonly settings: Settings;
  /** The version of the engine; empty if it should not count. */
  readonly engine: string;
}

/** What a data directory says about itself, in a file inside it. */
export interface DataNote extends DataInputs {
  readonly version: typeof DATA_VERSION;
  readonly identity: string;
  /** Different each time the chain ran: a copy belongs to exactly the data that it was made from. */
  readonly build: string;
  /** Whether the data is still there after the engine was closed; tables in memory are not. */
  readonly lasting: boolean;
  /** ISO 8601, UTC. */
  readonly made_at: string;
}

/** The version of how qrun lays out and describes embedded data. Data of another version is never used. */
const DATA_VERSION = 1;

/**
 * Returns the name of the data that a chain makes: 16 hex digits of a hash over the content of the files, in their
 * order, and everything else that decides it. Where the files are and what they are called does not count. Without
 * setup files nothing decides, so all such data has one name.
 */
export function dataIdentity({ chain, parameters, settings, engine }: DataInputs): string {
  const decided =
    chain.length === 0
      ? []
      : [chain.map(({ fingerprint }) => fingerprint), sorted(parameters), sorted(settings), engine];
  return shortHash(JSON.stringify(['qrun data', DATA_VERSION, ...decided]));
}

/** Returns the note as the content of its file. */
export function encodeDataNote(note: DataNote): string {
  return `${JSON.stringify(note, null, 2)}\n`;
}

/** Returns a note from the content of its file; `undefined` if it is not a note, or of another version. */
export function decodeDataNote(text: string): DataNote | undefined {
  const note = jsonObject<DataNote>(text);
  const whole =
    note?.version === DATA_VERSION &&
    [note.identity, note.build, note.made_at, note.engine].every(value => typeof value === 'string') &&
    typeof note.lasting === 'boolean' &&
    Array.isArray(note.chain);
  return whole ? (note as DataNote) : undefined;
}

/** Returns whether two chains have the same content in the same order. */
export function sameChain(a: readonly ChainFile[], b: readonly ChainFile[]): boolean {
  return a.length === b.length && a.every(({ fingerprint }, index) => fingerprint === b[index]?.fingerprint);
}
