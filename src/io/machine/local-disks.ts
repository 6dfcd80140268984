import { statfsSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

// Values of f_type of statfs(2), from its manual page and linux/magic.h: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs,
// JFS, ReiserFS, NILFS, NTFS, FAT, exFAT, ISO 9660, SquashFS, EROFS, tmpfs, ramfs, overlay; APFS and HFS+ on macOS.
const LOCAL: ReadonlySet<number> = new Set([
  0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e, 0x3153464a, 0x52654973, 0x3434,
  0x7366746e, 0x4d44, 0x2011bab0, 0x9660, 0x73717368, 0xe0f5e1e2, 0x01021994, 0x858458f6, 0x794c7630, 0x1a,
  0x11,
]);

/**
 * Tells whether files are on disks of this machine, by their device. There a read succeeds or fails at once. On any
 * other file system (NFS, SMB, FUSE, one that is not known here) it may never return.
 *
 * Each device is looked up once, with a call that itself waits for the disk.
 */
export class LocalDisks {
  readonly #known = new Map<number, boolean>();
  // Most files of a unit are on one device.
  #lastDevice = -1;
  /** Whether all files noted so far are on such disks. */
  allLocal = true;

  /** Notes a file, by its path and the device that stat(2) returned. */
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
 * Returns a function that waits until files can be reached; to be called before they are read synchronously. It
 * resolves when each of them has been looked at on a thread, or at once if all are on local disks. While the disk of
 * one of them does not answer, it stays pending, and the process still hears signals.
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
