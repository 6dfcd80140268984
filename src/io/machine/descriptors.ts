import { readdirSync, readFileSync } from 'node:fs';
import { platform } from 'node:os';
import { shortageCode } from '../../core/engines/shortage.js';

/**
 * Returns how many file descriptors this process may open and has open; `undefined` if the system does not tell, or
 * sets no limit. Node raises the soft limit to the hard one when it starts, so this limit is the one that counts. Takes
 * 0.1 ms on Linux.
 */
export function countDescriptors(): { readonly limit: number; readonly open: number } | undefined {
  try {
    const isLinux = platform() === 'linux';
    const limit = isLinux ? openFilesLimit(readFileSync('/proc/self/limits', 'latin1')) : limitOfReport();
    if (typeof limit !== 'number') return undefined;
    // Without the one that reads the directory.
    const open = readdirSync(isLinux ? '/proc/self/fd' : '/dev/fd').length - 1;
    return { limit, open };
  } catch (error) {
    // Not even one descriptor is left to count with.
    return shortageCode(error) === 'EMFILE' ? { limit: 0, open: 0 } : undefined;
  }
}

/** Returns the soft limit of open files in the text of `/proc/<pid>/limits`; `undefined` if it is not there. */
export function openFilesLimit(limits: string | undefined): number | 'unlimited' | undefined {
  const soft = /^Max open files +(\d+|unlimited) /m.exec(limits ?? '')?.[1];
  return soft === undefined || soft === 'unlimited' ? soft : Number(soft);
}

function limitOfReport(): number | undefined {
  const report = process.report?.getReport() as
    | { userLimits?: { open_files?: { soft?: unknown } } }
    | undefined;
  const soft = report?.userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : undefined;
}
