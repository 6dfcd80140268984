import { QrunError } from '../../../src/core/errors.js';
import type { LockWait } from '../../../src/io/files/flock.js';
import type { LogDisk, LogFile } from '../../../src/io/log/disk.js';
import type { LogLock } from '../../../src/io/log/result-log.js';
import type { Call } from '../ledger.js';
import type { SimProcess, World } from './world.js';

const NOTHING = Buffer.alloc(0);

interface StoredFile {
  /** What a reader sees. */
  data: Buffer;
  /** What a power loss leaves. */
  disk: Buffer;
  /** Counts the syncs that began, and the youngest of those that have ended: an older one adds nothing to it. */
  syncsBegun: number;
  syncedUpTo: number;
  /** Bytes that the kernel counts as written after a failed sync, although they are not. */
  forgotten: { from: number; to: number }[];
}

function systemError(code: 'EIO' | 'ENOSPC'): Error {
  const text = code === 'EIO' ? 'i/o error' : 'no space left on device';
  return Object.assign(new Error(`${code}: ${text}`), { code });
}

/**
 * A disk with a page cache: what is written is seen at once and is on the disk only after a sync. Appends fall
 * into pieces, between which a process can die; operations fail by chance.
 */
export class SimDisk {
  /** Every call that was made, for the ledger. */
  calls: Call[] = [];
  readonly #world: World;
  readonly #network: boolean;
  readonly #files = new Map<string, StoredFile>();

  /** `network`: counts as a network file system, where everything happens under the lock. */
  constructor(world: World, network: boolean) {
    this.#world = world;
    this.#network = network;
  }

  /** What a reader sees of a file. */
  read(path: string): Buffer {
    return this.#files.get(path)?.data ?? NOTHING;
  }

  /** Paths and contents of the side files of a log. */
  sides(log: string): { path: string; from: number; bytes: Buffer }[] {
    const prefix = `${log}.torn-`;
    return [...this.#files]
      .filter(([path]) => path.startsWith(prefix))
      .map(([path, { data }]) => ({
        path,
        from: Number(path.slice(prefix.length).split('-')[0]),
        bytes: data,
      }));
  }

  note(call: Partial<Call> & Pick<Call, 'kind' | 'path'>, pid: number): void {
    this.calls.push({ failed: false, offset: 0, data: NOTHING, ...call, pid });
  }

  /** Appends without a process: by a writer that knows no lock. */
  appendRaw(path: string, bytes: Buffer, pid: number): void {
    const file = this.#stored(path);
    this.note({ kind: 'W', path, offset: file.data.length, data: bytes }, pid);
    file.data = Buffer.concat([file.data, bytes]);
  }

  /** What a person does with a damaged log; a part that was cut off its record goes with it. */
  takeOutBadLines(path: string): void {
    const file = this.#stored(path);
    const lines = file.data.toString('utf8').split('\n').slice(0, -1);
    const kept = lines.filter(line => isJson(line)).map(line => `${line}\n`);
    file.data = Buffer.from(kept.join(''));
    file.disk = file.data;
    this.calls = [];
  }

  /** Everything that was not synced may be gone, in part or whole, or be NULs. */
  losePower(): void {
    const { random } = this.#world;
    for (const file of this.#files.values()) {
      const common = commonBytes(file.data, file.disk);
      // A cut that was not synced may be undone, and then what follows it did not happen.
      const undone = common < file.disk.length && random.chance(0.5);
      let kept = file.disk;
      if (!undone) {
        const length = random.int(Math.min(file.disk.length, common), file.data.length);
        kept = Buffer.from(file.data.subarray(0, length));
        for (const { from, to } of file.forgotten) kept.fill(0, Math.min(from, length), Math.min(to, length));
        const surely = Math.min(common, length);
        if (length > surely && random.chance(0.3)) kept.fill(0, random.int(surely, length));
      }
      file.data = kept;
      file.disk = kept;
      file.forgotten = [];
    }
    this.calls = [];
  }

  /** The disk as one process uses it. */
  for(process: SimProcess): LogDisk {
    const world = this.#world;
    return {
      open: path =>
        world.call(process, 'open', () => {
          this.#stored(path);
          this.note({ kind: 'C', path }, process.pid);
          // As the real one does.
          this.note({ kind: 'S', path: path.slice(0, path.lastIndexOf('/')) }, process.pid);
          return this.#open(path, process);
        }),
      writeNew: async (path, chunks) => {
        const pieces: Buffer[] = [];
        for await (const chunk of chunks) pieces.push(chunk);
        await world.call(process, 'create side file', () => {
          this.#stored(path);
          this.note({ kind: 'C', path }, process.pid);
        });
        const bytes = Buffer.concat(pieces);
        await this.#append(path, bytes, process);
        await this.#sync(path, process);
        await world.call(process, 'sync directory', () =>
          this.note({ kind: 'S', path: path.slice(0, path.lastIndexOf('/')) }, process.pid),
        );
      },
      isNetwork: async () => this.#network,
    };
  }

  #stored(path: string): StoredFile {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = { data: NOTHING, disk: NOTHING, syncsBegun: 0, syncedUpTo: 0, forgotten: [] };
      this.#files.set(path, file);
    }
    return file;
  }

  #open(path: string, process: SimProcess): LogFile {
    const world = this.#world;
    const file = this.#stored(path);
    return {
      sizeBytes: () => file.data.length,
      isCurrent: () => true,
      read: (buffer, length, position) =>
        world.call(process, 'read', () => {
          if (this.#fails(world.hazards.readError, `${process.pid} read`)) throw systemError('EIO');
          return file.data.copy(buffer, 0, position, Math.min(file.data.length, position + length));
        }),
      append: bytes => this.#append(path, bytes, process),
      truncate: sizeBytes => {
        if (process.dead) return;
        if (this.#fails(world.hazards.writeError / 4, `${process.pid} truncate`)) throw systemError('EIO');
        world.tell(`${process.pid} cuts ${path} to ${sizeBytes}`);
        file.data = file.data.subarray(0, sizeBytes);
        file.forgotten = file.forgotten.filter(({ from }) => from < sizeBytes);
        this.note({ kind: 'T', path, offset: sizeBytes }, process.pid);
        if (world.random.chance(world.hazards.crash)) world.kill(process, 'after truncate');
      },
      sync: () => this.#sync(path, process),
      rewrite: (from, to) =>
        world.call(process, 'rewrite', () => {
          this.note({ kind: 'W', path, offset: from, data: file.data.subarray(from, to) }, process.pid);
          file.forgotten = file.forgotten.flatMap(gap => outside(gap, from, to));
          process.betweenSyncAndRewrite = false;
          if (process.killedAfterwards !== undefined) world.kill(process, process.killedAfterwards);
        }),
      reopen: () => {},
      close: () => {},
    };
  }

  async #append(path: string, bytes: Buffer, process: SimProcess): Promise<void> {
    const world = this.#world;
    const file = this.#stored(path);
    for (let done = 0; done < bytes.length; ) {
      const step = world.random.chance(0.5) ? bytes.length - done : world.random.int(1, bytes.length - done);
      const piece = bytes.subarray(done, done + step);
      await world.call(
        process,
        'append',
        () => {
          const failing = this.#fails(world.hazards.writeError, `${process.pid} append`);
          const written = failing ? piece.subarray(0, world.random.int(0, piece.length)) : piece;
          if (written.length > 0) {
            // The writer uses its buffer again.
            const data = Buffer.from(written);
            this.note({ kind: 'W', path, offset: file.data.length, data }, process.pid);
            file.data = Buffer.concat([file.data, written]);
          }
          if (!failing) return;
          this.note({ kind: 'W', path, failed: true }, process.pid);
          throw systemError('ENOSPC');
        },
        true,
      );
      done += step;
    }
  }

  async #sync(path: string, process: SimProcess): Promise<void> {
    const world = this.#world;
    const file = this.#stored(path);
    // What others write while it runs is not part of it.
    const data = file.data;
    file.syncsBegun += 1;
    const number = file.syncsBegun;
    await world.call(process, 'sync', () => {
      const failing = this.#fails(world.hazards.syncError, `${process.pid} sync`);
      this.note({ kind: 'S', path, failed: failing }, process.pid);
      if (failing) {
        const from = commonBytes(data, file.disk);
        if (world.hazards.syncForgets && from < data.length) {
          file.forgotten.push({ from, to: data.length });
          // A side file is of no use to anybody before it is synced, and the log is not cut then.
          process.betweenSyncAndRewrite = !path.includes('.torn-');
        }
        throw systemError('EIO');
      }
      if (number < file.syncedUpTo) return;
      file.syncedUpTo = number;
      const disk = Buffer.from(data);
      for (const { from, to } of file.forgotten) {
        if (from < disk.length) disk.fill(0, from, Math.min(to, disk.length));
      }
      file.disk = disk;
    });
  }

  #fails(probability: number, what: string): boolean {
    if (probability === 0 || !this.#world.random.chance(probability)) return false;
    this.#world.faults += 1;
    this.#world.tell(`${what} fails`);
    return true;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function commonBytes(a: Buffer, b: Buffer): number {
  const shorter = Math.min(a.length, b.length);
  if (a.compare(b, 0, shorter, 0, shorter) === 0) return shorter;
  let at = 0;
  while (a[at] === b[at]) at += 1;
  return at;
}

function outside({ from, to }: { from: number; to: number }, cutFrom: number, cutTo: number) {
  return [
    { from, to: Math.min(to, cutFrom) },
    { from: Math.max(from, cutTo), to },
  ].filter(part => part.from < part.to);
}

/** A kernel lock: given in order of arrival, and free when its holder dies. */
export class SimLock {
  readonly #world: World;
  #holder: SimProcess | undefined;
  #waiting: { process: SimProcess; enter: () => void }[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  /** The lock as one process uses it. */
  for(process: SimProcess, path: string): LogLock {
    process.onDeath.push(() => this.#leave(process));
    return {
      path,
      tryAcquireNow: () => {
        if (process.dead || this.#holder !== undefined) return process.dead;
        this.#holder = process;
        return true;
      },
      acquire: wait => this.acquire(process, wait),
      release: () => this.#leave(process),
      close: () => this.#leave(process),
    };
  }

  acquire(process: SimProcess, wait: LockWait): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#holder === undefined && !process.dead) {
        this.#holder = process;
        this.#world.at(this.#world.random.next(), process, resolve);
        return;
      }
      const entry = { process, enter: () => this.#world.at(this.#world.random.next(), process, resolve) };
      this.#waiting.push(entry);
      this.#world.at(wait.limitMs, process, () => {
        if (!this.#waiting.includes(entry)) return;
        this.#waiting = this.#waiting.filter(other => other !== entry);
        reject(new QrunError('LOCK_BUSY', `the lock was not free within ${wait.limitMs / 1000} s`));
      });
    });
  }

  #leave(process: SimProcess): void {
    this.#waiting = this.#waiting.filter(entry => entry.process !== process);
    if (this.#holder !== process) return;
    this.#holder = undefined;
    const next = this.#waiting.shift();
    if (next === undefined) return;
    this.#holder = next.process;
    next.enter();
  }
}
