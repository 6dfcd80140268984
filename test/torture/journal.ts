import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';

/** A query whose recording was acknowledged to somebody. */
export interface Ack {
  readonly query: string;
  /** The attempt that was recorded; `undefined` where only "it is recorded, by someone else" was said. */
  readonly recorded?: { readonly run: string; readonly attempt: number };
  /** Process that was told so. */
  readonly pid: number;
}

/** Notes acknowledgements, each durable before `add` returns, in a file outside the file system under test. */
export class AckJournal {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, 'a');
  }

  add(ack: Ack): void {
    writeSync(this.#fd, `${JSON.stringify(ack)}\n`);
    fdatasyncSync(this.#fd);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** The acknowledgements of a journal; a last line without its end was not noted before the process died. */
export function readJournal(path: string): Ack[] {
  if (!existsSync(path)) return [];
  return wholeLines(path).map(line => JSON.parse(line) as Ack);
}

/**
 * The acknowledgements in an events file of `qrun unit`. It is not synced, which does not matter where only
 * processes die.
 */
export function readEvents(path: string): Ack[] {
  if (!existsSync(path)) return [];
  const acks: Ack[] = [];
  let run = '';
  for (const line of wholeLines(path)) {
    const event = JSON.parse(line) as { type: string; run?: string; query?: string; attempt?: number };
    if (event.type === 'run_started') run = event.run ?? '';
    if (event.type !== 'query_recorded') continue;
    acks.push({ query: event.query ?? '', recorded: { run, attempt: event.attempt ?? 0 }, pid: 0 });
  }
  return acks;
}

function wholeLines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, -1);
}
