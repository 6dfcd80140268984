import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SideFile } from './checker.js';
import type { Ack } from './journal.js';

/** One call that the shim traced: Write, Sync, Truncate or Create. */
export interface Call {
  readonly kind: 'W' | 'S' | 'T' | 'C';
  readonly failed: boolean;
  readonly pid: number;
  readonly path: string;
  /** Where a write began, or the size that a truncate left. */
  readonly offset: number;
  readonly data: Buffer;
}

const HEAD_BYTES = 24;
const FIRST_BYTES = 16 * 1024;

/** The calls of a trace in the order in which they were made, over all processes. */
export function readTrace(path: string): Call[] {
  const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  const calls: Call[] = [];
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const pathBytes = bytes.readUInt16LE(at + 2);
    const dataBytes = Number(bytes.readBigUInt64LE(at + 16));
    const pathAt = at + HEAD_BYTES;
    calls.push({
      kind: String.fromCharCode(bytes[at] ?? 0) as Call['kind'],
      failed: bytes[at + 1] !== 0,
      pid: bytes.readUInt32LE(at + 4),
      path: bytes.toString('utf8', pathAt, pathAt + pathBytes),
      offset: Number(bytes.readBigUInt64LE(at + 8)),
      data: bytes.subarray(pathAt + pathBytes, pathAt + pathBytes + dataBytes),
    });
    at = pathAt + pathBytes + dataBytes;
  }
  return calls;
}

/**
 * Replays every write to a log, which held `initial` before, and gives the violations of the protocol
 * (`journal`: the traced journal of acknowledgements):
 *
 * - log and side files together hold every byte ever written, each in its place. The one exception is a batch
 *   that its own writer takes back because a write of it failed.
 * - a torn end is cut off only after its side file and the directory were synced;
 * - an acknowledgement is noted only after a sync that began behind the write of its group, and after a sync of
 *   the directory, without which a new log itself may be gone.
 */
export function checkLedger(
  calls: readonly Call[],
  log: string,
  content: Buffer,
  sides: readonly SideFile[],
  options: { readonly initial?: Buffer; readonly journal?: string } = {},
): string[] {
  const replay = new Replay(log, sides, options.initial);
  for (const [index, call] of calls.entries()) replay.add(call, index);
  const violations = [...replay.violations];
  const expected = replay.content();
  if (!expected.equals(content)) {
    violations.push(
      `the log has ${content.length} bytes, the replay of all writes ${expected.length}, or others`,
    );
  }
  if (options.journal !== undefined) {
    violations.push(...checkAcks(calls, log, expected, replay, options.journal));
  }
  return violations;
}

class Replay {
  readonly violations: string[] = [];
  readonly #log: string;
  readonly #sides: readonly SideFile[];
  #bytes: Buffer;
  #size = 0;
  // For every byte range of the log as it is now: the call that wrote it.
  #writes: { from: number; to: number; call: number; pid: number }[] = [];
  readonly #synced = new Set<string>();
  // Side files whose directory was synced after they had been made.
  readonly #entries = new Set<string>();
  // Processes whose last write to the log failed.
  readonly #refused = new Set<number>();

  constructor(log: string, sides: readonly SideFile[], initial: Buffer = Buffer.alloc(0)) {
    this.#log = log;
    this.#sides = sides;
    this.#bytes = Buffer.concat([initial, Buffer.alloc(FIRST_BYTES)]);
    this.#size = initial.length;
  }

  content(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  /** Index of the call that wrote the byte before `end`. */
  writerOf(end: number): number | undefined {
    return this.#writes.findLast(write => write.from < end && write.to >= end)?.call;
  }

  add(call: Call, index: number): void {
    const { kind, path, failed } = call;
    if (path === this.#log) {
      if (kind === 'W') this.#write(call, index);
      if (kind === 'T' && !failed) this.#truncate(call);
      return;
    }
    if (kind === 'C') this.#entries.delete(path);
    if (kind === 'C' || kind === 'W') this.#synced.delete(path);
    if (kind !== 'S' || failed) return;
    this.#synced.add(path);
    for (const side of this.#sides) if (dirname(side.path) === path) this.#entries.add(side.path);
  }

  #write({ failed, pid, offset, data }: Call, index: number): void {
    if (failed) {
      this.#refused.add(pid);
      return;
    }
    this.#refused.delete(pid);
    if (offset < this.#size) {
      // Written again in place, which changes nothing.
      if (
        this.content()
          .subarray(offset, offset + data.length)
          .equals(data)
      )
        return;
      this.violations.push(`a write at ${offset} overwrites other bytes`);
      return;
    }
    if (offset > this.#size) this.violations.push(`a write at ${offset} leaves a gap behind ${this.#size}`);
    while (this.#size + data.length > this.#bytes.length) {
      this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(this.#bytes.length)]);
    }
    data.copy(this.#bytes, this.#size);
    this.#writes.push({ from: this.#size, to: this.#size + data.length, call: index, pid });
    this.#size += data.length;
  }

  #truncate({ pid, offset: size }: Call): void {
    if (size >= this.#size) return;
    const cut = Buffer.from(this.content().subarray(size));
    const takenBack =
      this.#refused.has(pid) && this.#writes.every(write => write.to <= size || write.pid === pid);
    if (!takenBack) this.#savedAside(size, cut);
    this.#refused.delete(pid);
    this.#size = size;
    this.#writes = this.#writes
      .filter(write => write.from < size)
      .map(write => ({ ...write, to: Math.min(write.to, size) }));
  }

  #savedAside(from: number, cut: Buffer): void {
    const saved = this.#sides.filter(file => file.from === from && file.bytes.equals(cut));
    if (saved.length === 0)
      this.violations.push(`${cut.length} bytes from ${from} on were cut off and are lost`);
    else if (!saved.some(({ path }) => this.#synced.has(path) && this.#entries.has(path))) {
      this.violations.push(`${saved[0]?.path} and its directory were not synced before the cut`);
    }
  }
}

function checkAcks(
  calls: readonly Call[],
  log: string,
  content: Buffer,
  replay: Replay,
  journal: string,
): string[] {
  const ends = groupEnds(content);
  const violations: string[] = [];
  // By process: its last sync of the log so far, and whether it has synced the directory.
  const logSyncs = new Map<number, number>();
  const entrySyncs = new Set<number>();
  for (const [at, call] of calls.entries()) {
    if (call.kind === 'S' && !call.failed) {
      if (call.path === dirname(log)) entrySyncs.add(call.pid);
      if (call.path === log) logSyncs.set(call.pid, at);
    }
    if (call.path !== journal || call.kind !== 'W' || call.failed) continue;
    const { query, recorded, pid } = JSON.parse(call.data.toString()) as Ack;
    const end = ends.get(recorded === undefined ? query : `${query} ${recorded.run} ${recorded.attempt}`);
    const written = end === undefined ? undefined : replay.writerOf(end);
    // One that is not there is for the checker to find.
    if (written === undefined) continue;
    if ((logSyncs.get(pid) ?? -1) < written) {
      violations.push(`${query} was acknowledged without a sync behind its write`);
    }
    if (!entrySyncs.has(pid)) {
      violations.push(`${query} was acknowledged, and the directory of the log was never synced`);
    }
  }
  return violations;
}

// Where each group ends, by query, run and attempt; settled ones also by query alone.
function groupEnds(content: Buffer): Map<string, number> {
  const ends = new Map<string, number>();
  for (let from = 0; from < content.length; ) {
    const end = content.indexOf(10, from);
    if (end === -1) break;
    const line = content.toString('utf8', from, Math.min(end, from + 2000));
    const field = (name: string) => new RegExp(`"${name}":"?([^",]*)`).exec(line)?.[1] ?? '';
    ends.set(`${field('query')} ${field('run')} ${field('attempt')}`, end + 1);
    if (field('outcome') !== 'error') ends.set(field('query'), end + 1);
    from = end + 1;
  }
  return ends;
}
