import { randomBytes } from 'node:crypto';
import { open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../log/disk.js';
import { SHARED_MODE } from './open-file.js';

/**
 * Replaces a file so that a reader or a crash sees the old or the new content, never a mixture: a temporary file
 * of its own name beside it, fsync, rename, fsync of the directory. Of two writers at once the later one wins.
 *
 * `mode` is that of the new file, less the umask.
 *
 * Errors: those of the system; nothing is left behind then.
 */
export async function writeFileAtomic(path: string, content: string, mode = SHARED_MODE): Promise<void> {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}
