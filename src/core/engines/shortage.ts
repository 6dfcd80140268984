/**
 * What a system call returns when the machine or this process is short of something that becomes free again: file
 * descriptors (of the process or the machine), memory, buffers.
 */
export const SHORT: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);
// Causes can form a cycle.
const MAX_CAUSES = 5;

/** Returns the code of the shortage of this process or machine behind an error or one of its causes. */
export function shortageCode(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth += 1) {
    const { code, syscall } = current as NodeJS.ErrnoException;
    if (typeof code === 'string' && SHORT.has(code)) return code;
    // From a fork: no more processes or threads. Elsewhere it means "not now" and is not a shortage.
    if (code === 'EAGAIN' && syscall?.startsWith('spawn')) return code;
    current = current.cause;
  }
  return undefined;
}

/** Returns what to do about a shortage. */
export function shortageHint(code: string): string {
  if (code === 'EMFILE') {
    return 'this process has no file descriptor left: raise its limit (ulimit -n, LimitNOFILE=), or lower -P';
  }
  if (code === 'ENFILE')
    return 'the machine has no file descriptor left (sysctl fs.file-max): end other programs';
  if (code === 'ENOSPC') return 'free space there, lower -P, or choose another place with --log-dir';
  if (code === 'EADDRNOTAVAIL') return 'the machine has no local port left: lower -P, or end other programs';
  if (code === 'EAGAIN')
    return 'no more processes or threads may start: raise the limit (ulimit -u, TasksMax=)';
  return 'the machine is short of memory: lower -P, or end other programs';
}

// ErrnoException only: in the text of any other exception the words may be data.
const ENGINE_SHORTAGE = /^Code: \d+\. DB::ErrnoException: .*, errno: (12|23|24), strerror: /s;
const OF_ERRNO: Readonly<Record<string, string>> = { 12: 'ENOMEM', 23: 'ENFILE', 24: 'EMFILE' };

/** Returns the same for an error text of ClickHouse: the shortage of the process that it runs in. */
export function engineShortage(message: string): string | undefined {
  const errno = ENGINE_SHORTAGE.exec(message)?.[1];
  return errno === undefined ? undefined : OF_ERRNO[errno];
}
