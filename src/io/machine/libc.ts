import { platform } from 'node:os';

/** The functions of the C library that Node does not offer, called through koffi. */
export interface Libc {
  /** flock(2); -1 on failure, with `errno`. */
  flock(fd: number, operation: number): number;
  /** The errno of the last call that failed. */
  errno(): number;
  /** _exit(2): ends the process at once, whatever its threads wait for; no more of its code runs. */
  exit(code: number): void;
  /** Restores the default action of a signal. */
  defaultSignal(signal: number): void;
}

// A pointer by the type of signal(2), but the number 0 everywhere.
const SIG_DFL = 0;

let loading: Promise<Libc | undefined> | undefined;
let loaded: Libc | undefined;

/** The C library, loaded once; `undefined` if koffi has no binary for this platform. */
export function loadLibc(): Promise<Libc | undefined> {
  loading ??= load();
  return loading;
}

/** The C library, if it has been loaded. */
export function loadedLibc(): Libc | undefined {
  return loaded;
}

async function load(): Promise<Libc | undefined> {
  // Without a prebuilt binary the caller has another way.
  const koffi = (await import('koffi').catch(() => undefined))?.default;
  const names = platform() === 'darwin' ? ['libSystem.B.dylib'] : ['libc.so.6', 'libc.so'];
  if (koffi === undefined) return undefined;
  for (const name of names) {
    try {
      const library = koffi.load(name);
      loaded = {
        flock: library.func('int flock(int fd, int operation)'),
        errno: () => koffi.errno(),
        exit: library.func('void _exit(int code)'),
        defaultSignal: signal =>
          void library.func('intptr_t signal(int signum, intptr_t handler)')(signal, SIG_DFL),
      };
      return loaded;
    } catch {
      // It has another name here.
    }
  }
  return undefined;
}
