import { closeSync, openSync, readFileSync, renameSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import {
  fillInflightLine,
  headerLine,
  INFLIGHT_LINE_BYTES,
  idleLine,
  parseInflight,
  type Suspect,
  suspectLine,
  suspectsOf,
} from '../../core/unit/inflight.js';
import type { FinalState } from '../../core/unit/plan.js';
import { isMissing, reasonOf } from '../files/failures.js';
import { SHARED_MODE } from '../files/open-file.js';
import { OWN_TO_READ } from '../files/own-file.js';
import { readBytes } from '../files/read-file.js';

/** What a journal is opened with. */
export interface InflightOptions {
  /** The log that it lies beside, as `<log>.inflight`. The caller must hold the log's lease. */
  readonly logPath: string;
  readonly run: string;
  /** How many queries may be in flight at once. */
  readonly slots: number;
  /** The final state of a query in the log, by its name. */
  readonly finalOf: (query: string) => FinalState | undefined;
  /** Called once with the reason why the journal cannot be used; the run continues without it. */
  readonly onTrouble: (message: string) => void;
}

// An engine has at most 1,024 slots; remembering more suspects than this helps nobody.
const MOST_SUSPECTS = 4096;
const SPACE = Buffer.from(' ');

/**
 * A small file beside the log that says which queries are in flight. The next run reads it if this process dies: a
 * query that kills an engine inside this process kills the process too.
 *
 * It is advice, never a statement about results: the log decides what is recorded. It is not synced, because the
 * page cache survives the death of a process. It never fails a run: if it cannot be read or written, or something
 * else has its name, `onTrouble` is called and nothing is noted.
 *
 * Opening it turns what was in flight into suspects and replaces the whole file (by a rename), so that no death
 * counts twice. Each query has a line of fixed size that is overwritten in place. Cost: about 3 microseconds for the
 * two writes.
 */
export class InflightJournal {
  /** The queries that were in flight when earlier processes died. */
  readonly suspects: readonly Suspect[];
  readonly #options: InflightOptions;
  readonly #path: string;
  readonly #line = idleLine();
  readonly #free: number[] = [];
  readonly #firstLine: number;
  #fd = -1;
  // Whether the file that has the name now is the one of this run.
  #isCreated = false;
  readonly #onExit = (): void => this.clear();

  private constructor(options: InflightOptions, suspects: readonly Suspect[], isUsable: boolean) {
    this.#options = options;
    this.#path = inflightPath(options.logPath);
    this.suspects = suspects;
    this.#firstLine = 1 + suspects.length;
    for (let slot = options.slots - 1; slot >= 0; slot -= 1) this.#free.push(slot);
    if (isUsable) this.#create();
    // A process that ends by process.exit or an uncaught exception was not killed by a query.
    process.once('exit', this.#onExit);
  }

  /** Reads what the last run left and starts a new journal. Never throws. */
  static open(options: InflightOptions): InflightJournal {
    const path = inflightPath(options.logPath);
    try {
      const left = readLeft(path);
      const journal = left === undefined ? undefined : parseInflight(left);
      if (left !== undefined && journal === undefined) {
        throw new Error('it is not a journal of qrun; move it away');
      }
      if (journal === undefined || journal === 'unknown') return new InflightJournal(options, [], true);
      const suspects = suspectsOf(journal, { boot: bootId(), finalOf: options.finalOf });
      return new InflightJournal(options, suspects.slice(-MOST_SUSPECTS), true);
    } catch (error) {
      options.onTrouble(trouble(path, error));
      return new InflightJournal(options, [], false);
    }
  }

  /** Notes a query that is about to be sent; returns its place for {@link end}, or `-1` if nothing was noted. */
  begin(query: string, fingerprint: string, alone: boolean): number {
    if (this.#fd < 0) return -1;
    const slot = this.#free.pop();
    if (slot === undefined) return -1;
    fillInflightLine(this.#line, { query, fingerprint, alone });
    this.#write(this.#line, this.#firstLine + slot);
    return slot;
  }

  /** Notes that a query was answered or cancelled. */
  end(place: number): void {
    if (place < 0) return;
    this.#free.push(place);
    // A line that does not begin with a brace is idle.
    this.#write(SPACE, this.#firstLine + place);
  }

  /** Notes that the run was asked to stop: if it dies from now on, a query need not be the cause. */
  stopping(): void {
    this.#write(headerLine({ run: this.#options.run, boot: bootId(), stopping: true }), 0);
  }

  /** Clears everything in flight and stops taking notes: the process is about to end. */
  clear(): void {
    for (let slot = 0; slot < this.#options.slots; slot += 1) this.#write(SPACE, this.#firstLine + slot);
    this.#closeFile();
  }

  /** Ends the journal with the run. The file is kept only while a suspect has no result. */
  close(): void {
    process.off('exit', this.#onExit);
    this.clear();
    const { run, finalOf } = this.#options;
    const { suspects } = this;
    const left = suspectsOf(
      { run, boot: '', stopping: false, suspects, inflight: [] },
      { boot: '', finalOf },
    );
    if (!this.#isCreated || left.length > 0) return;
    try {
      unlinkSync(this.#path);
    } catch {
      // What remains of it misleads nobody.
    }
  }

  #create(): void {
    const { run, slots } = this.#options;
    const temporary = `${this.#path}.tmp`;
    try {
      // Left by a process that died here; the lease keeps out every other writer.
      rmSync(temporary, { force: true });
      this.#fd = openSync(temporary, 'wx', SHARED_MODE);
      const lines = [headerLine({ run, boot: bootId(), stopping: false }), ...this.suspects.map(suspectLine)];
      // Written in full now, so that a full disk cannot stop it later.
      const bytes = Buffer.concat([...lines, ...Array.from({ length: slots }, idleLine)]);
      for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
      renameSync(temporary, this.#path);
      this.#isCreated = true;
    } catch (error) {
      this.#closeFile();
      rmSync(temporary, { force: true, recursive: false });
      this.#options.onTrouble(trouble(this.#path, error));
    }
  }

  #write(bytes: Buffer, line: number): void {
    if (this.#fd < 0) return;
    try {
      writeSync(this.#fd, bytes, 0, bytes.length, line * INFLIGHT_LINE_BYTES);
    } catch (error) {
      this.#closeFile();
      this.#options.onTrouble(trouble(this.#path, error));
    }
  }

  #closeFile(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** Where the journal of a log lies. */
export function inflightPath(logPath: string): string {
  return `${logPath}.inflight`;
}

function trouble(path: string, error: unknown): string {
  return `what is in flight cannot be noted in ${path} (${reasonOf(error)}): should the process die, the next run will not know which query it was`;
}

// Whatever has this name, the read must not wait for it, nor follow a link.
function readLeft(path: string): Buffer | undefined {
  try {
    return readBytes(path, 'journal', OWN_TO_READ);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return '';
  }
}
