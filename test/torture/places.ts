import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A directory for one trial, and one on another file system for what must outlive its faults. */
export interface Place {
  readonly directory: string;
  /** On another file system, where there is one: journals, traces, notes of the shim. */
  readonly aside: string;
  remove(): Promise<void>;
}

/** Where trials take place. */
export interface Places {
  /** On the file system of the directory for temporary files. */
  disk(name: string): Place;
  /** In memory (tmpfs). */
  memory(name: string): Place;
  /** A tmpfs of its own with a real limit; `undefined` where it cannot be mounted (only root may). */
  small(sizeBytes: number): Promise<SmallPlace | undefined>;
  /** What lies under `disk`, for the report. */
  readonly diskType: string;
  /** Removes everything; `keep`: leaves what a trial with a violation left, and gives where that is. */
  close(options?: { readonly keep: boolean }): string | undefined;
}

/** A file system that is soon full. */
export interface SmallPlace extends Place {
  /** Makes it larger or smaller. */
  resize(sizeBytes: number): Promise<void>;
}

// f_type of statfs(2).
const TYPES: Readonly<Record<number, string>> = {
  61267: 'ext4',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
};
const MEMORY = '/dev/shm';

/** Makes the directories; they are gone when the process has ended, unless they are kept by `close`. */
export function openPlaces(): Places {
  const disk = mkdtempSync(join(tmpdir(), 'qrun-torture-'));
  const memory = isTmpfs(MEMORY) ? mkdtempSync(join(MEMORY, 'qrun-torture-')) : undefined;
  const mounts = new Set<string>();
  const unmountAll = (): void => {
    for (const path of mounts) spawnSync('umount', ['-l', path]);
    mounts.clear();
  };
  const removeAll = (): void => {
    unmountAll();
    for (const path of [disk, ...(memory === undefined ? [] : [memory])])
      rmSync(path, { recursive: true, force: true });
  };
  process.on('exit', removeAll);
  let number = 0;
  const place = (below: string, aside: string, name: string): Place => {
    number += 1;
    const directory = join(below, `${name}-${number}`);
    const asideDirectory = join(aside, `${name}-${number}-aside`);
    mkdirSync(directory, { recursive: true });
    mkdirSync(asideDirectory, { recursive: true });
    return {
      directory,
      aside: asideDirectory,
      remove: async () => {
        await rm(directory, { recursive: true, force: true });
        await rm(asideDirectory, { recursive: true, force: true });
      },
    };
  };
  return {
    diskType: TYPES[statfsSync(disk).type] ?? `type ${statfsSync(disk).type.toString(16)}`,
    disk: name => place(disk, memory ?? disk, name),
    memory: name => place(memory ?? disk, disk, name),
    small: async sizeBytes => {
      const whole = place(disk, disk, 'small');
      try {
        await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'qrun-torture', whole.directory]);
      } catch {
        await whole.remove();
        return undefined;
      }
      mounts.add(whole.directory);
      return {
        ...whole,
        resize: async size => {
          await run('mount', ['-o', `remount,size=${size}`, whole.directory]);
        },
        remove: async () => {
          await run('umount', ['-l', whole.directory]);
          mounts.delete(whole.directory);
          await whole.remove();
        },
      };
    },
    close: ({ keep } = { keep: false }) => {
      process.off('exit', removeAll);
      unmountAll();
      if (!keep) {
        removeAll();
        return undefined;
      }
      return [disk, ...(memory === undefined ? [] : [memory])].join(' and ');
    },
  };
}

function isTmpfs(path: string): boolean {
  try {
    return statfsSync(path).type === 0x01021994;
  } catch {
    return false;
  }
}
