import { statfsSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

// f_type of statfs(2), from there and from linux/magic.h: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs, JFS, ReiserFS, NILFS, NTFS, FAT, exFAT, ISO 9660,
// SquashFS, EROFS, tmpfs, ramfs, overlay; APFS and HFS+ on macOS.
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x3153464a, 0x52654973, 0x3434,
  0x7366746e, 0x4d44, 0x2011bab0, 0x9660, 0x73717368, 0xe0f5e1e2, 0x01021994, 0x858458f6, 0x794c7630, 0x1a,
  0x11,
]);

/**
 * Tells which files lie on disks of this machine, by their device: on these a read answers at once or fails. One on
 * any other file system (NFS, SMB, FUSE, one that is not known here) may never answer.
 *
 * Each device is asked for once, with a call that waits for the disk itself.
 */
export class LocalDisks {
  readonly #known = new Map<number, boolean>();
  // Most files of a unit lie on one device.
  #lastDevice = -1;
  /** Whether every file that was asked about lies on such a disk. */
  allLocal = true;

  /** Notes a file, by its path and the device that stat(2) gave. */
  note(path: string, device: number): void {
    if (device === this.#lastDevice) return;
    this.#lastDevice = device;
    if (this.#known.has(device)) return;
    const isLocal = isOnLocal(path);
    this.#known.set(device, isLocal);
    this.allLocal &&= isLocal;
  }
}

/**
 * Tells, for files that are read with calls that wait, whether they can be reached now: resolves when each of them has
 * been looked at on a thread, at once where all lie on local disks. Where one lies on a disk that does not answer, it
 * does not resolve, and the process hears its signals meanwhile.
 */
export function reachable(paths: readonly string[]): () => Promise<void> {
  const disks = new LocalDisks();
  for (const path of paths) {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found !== undefined) disks.note(path, found.dev);
  }
  return async () => {
    if (!disks.allLocal) await Promise.all(paths.map(path => stat(path).catch(() => undefined)));
  };
}

function isOnLocal(path: string): boolean {
  try {
    return LOCAL.has(statfsSync(path).type);
  } catch {
    return false;
  }
}
