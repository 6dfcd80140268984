// What a system call says when the machine or this process has too little of something that comes back: too few
// file descriptors (of the process, of the machine), memory, buffers.
const SHORT: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);
// Causes can form a ring.
const MAX_CAUSES = 5;

/** The code of a shortage of this process or machine that an error, or one that caused it, stands for. */
export function shortageCode(error: unknown): string | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth += 1) {
    const { code, syscall } = current as NodeJS.ErrnoException;
    if (typeof code === 'string' && SHORT.has(code)) return code;
    // Of a fork: no process or thread more. Elsewhere it means "not now" and is nobody's shortage.
    if (code === 'EAGAIN' && syscall?.startsWith('spawn')) return code;
    current = current.cause;
  }
  return undefined;
}

/** What to do about a shortage. */
export function shortageHint(code: string): string {
  if (code === 'EMFILE') {
    return 'this process has no file descriptor left: raise its limit (ulimit -n, LimitNOFILE=), or lower -P';
  }
  if (code === 'ENFILE')
    return 'the machine has no file descriptor left (sysctl fs.file-max): end other programs';
  if (code === 'ENOSPC') return 'free space there, lower -P, or choose another place with --log-dir';
  if (code === 'EADDRNOTAVAIL') return 'the machine has no local port left: lower -P, or end other programs';
  if (code === 'EAGAIN') return 'no process or thread more may start: raise the limit (ulimit -u, TasksMax=)';
  return 'the machine is short of memory: lower -P, or end other programs';
}

// ErrnoException only: in the text of any other exception the words may be data.
const ENGINE_SHORTAGE = /^Code: \d+\. DB::ErrnoException: .*, errno: (12|23|24), strerror: /s;
const OF_ERRNO: Readonly<Record<string, string>> = { 12: 'ENOMEM', 23: 'ENFILE', 24: 'EMFILE' };

/** The same for the text of an error of ClickHouse: what the process it runs in had too little of. */
export function engineShortage(message: string): string | undefined {
  const errno = ENGINE_SHORTAGE.exec(message)?.[1];
  return errno === undefined ? undefined : OF_ERRNO[errno];
}
