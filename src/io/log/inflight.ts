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
  /** The log beside which it lies, as `<log>.inflight`; whoever opens it holds the log's lease. */
  readonly logPath: string;
  readonly run: string;
  /** How many queries may be in flight at once. */
  readonly slots: number;
  /** The final state that the log has of a query, by its name. */
  readonly finalOf: (query: string) => FinalState | undefined;
  /** Called once with why the journal is of no use; the run goes on without it. */
  readonly onTrouble: (message: string) => void;
}

// 1,024 slots are the most that an engine has; what is remembered beyond this many suspects helps nobody.
const MOST_SUSPECTS = 4096;
const SPACE = Buffer.from(' ');

/**
 * A small file beside the log that says what is in flight, for the run after one whose process died: an engine inside
 * this process takes it down when a query kills it.
 *
 * It is advice and never a truth about results: the log decides what is recorded. It is not synced, because what is
 * in the page cache survives the death of a process. Nothing of it ever fails a run: where it cannot be read or
 * written, or something else has its name, `onTrouble` is called and nothing is noted.
 *
 * Opening it makes suspects of what was in flight, and replaces it whole (by a rename), so that no death counts
 * twice. Each query has a line of its own size in place, about 3 microseconds for the two writes.
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
  // The file that has the name now is the one of this run.
  #isCreated = false;
  readonly #onExit = (): void => this.clear();

  private constructor(options: InflightOptions, suspects: readonly Suspect[], isUsable: boolean) {
    this.#options = options;
    this.#path = inflightPath(options.logPath);
    this.suspects = suspects;
    this.#firstLine = 1 + suspects.length;
    for (let slot = options.slots - 1; slot >= 0; slot -= 1) this.#free.push(slot);
    if (isUsable) this.#create();
    // Whoever calls process.exit, or meets an exception that nobody catches, is not the victim of a query.
    process.once('exit', this.#onExit);
  }

  /** Reads what the last run left, and begins anew. Never throws. */
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

  /** Notes a query that is about to be sent; returns its place for {@link end}, `-1` where nothing is noted. */
  begin(query: string, fingerprint: string, alone: boolean): number {
    if (this.#fd < 0) return -1;
    const slot = this.#free.pop();
    if (slot === undefined) return -1;
    fillInflightLine(this.#line, { query, fingerprint, alone });
    this.#write(this.#line, this.#firstLine + slot);
    return slot;
  }

  /** Notes that the answer to a query is there, or that it was cancelled. */
  end(place: number): void {
    if (place < 0) return;
    this.#free.push(place);
    // A line that begins with no brace is idle.
    this.#write(SPACE, this.#firstLine + place);
  }

  /** Notes that the run was asked to stop: what ends it from now on need not be a query. */
  stopping(): void {
    this.#write(headerLine({ run: this.#options.run, boot: bootId(), stopping: true }), 0);
  }

  /** Takes everything out that is in flight, and notes nothing any more: the process is going to end. */
  clear(): void {
    for (let slot = 0; slot < this.#options.slots; slot += 1) this.#write(SPACE, this.#firstLine + slot);
    this.#closeFile();
  }

  /** Ends the journal with the run. It stays only as long as there is a suspect without a result. */
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
      // It says nothing that would mislead anybody.
    }
  }

  #create(): void {
    const { run, slots } = this.#options;
    const temporary = `${this.#path}.tmp`;
    try {
      // Of one who died here; nobody else may write now.
      rmSync(temporary, { force: true });
      this.#fd = openSync(temporary, 'wx', SHARED_MODE);
      const lines = [headerLine({ run, boot: bootId(), stopping: false }), ...this.suspects.map(suspectLine)];
      // All of it now, so that no disk is too full for it later.
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

// Nothing that has this name may be waited for, nor a link be followed.
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
