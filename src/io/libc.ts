import { platform } from 'node:os';

/** Functions of the C library that Node does not offer. */
export interface Libc {
  /** flock(2): 0, or -1 with `errno`. */
  readonly flock: (fd: number, operation: number) => number;
  /** Of the call before, on this thread. */
  readonly errno: () => number;
  /** Gives a signal back its default action. */
  readonly defaultSignal: (signal: number) => void;
}

// A pointer in the type of signal(2); this one is the number 0 everywhere.
const SIG_DFL = 0;

let loaded: Promise<Libc | undefined> | undefined;

/** The C library by koffi; `undefined` where that has no binary for this platform. Loaded once. */
export function loadLibc(): Promise<Libc | undefined> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<Libc | undefined> {
  try {
    const { default: koffi } = await import('koffi');
    const names = platform() === 'darwin' ? ['libSystem.B.dylib'] : ['libc.so.6', 'libc.so'];
    for (const name of names) {
      try {
        const library = koffi.load(name);
        const flock = library.func('int flock(int fd, int operation)');
        return {
          flock,
          errno: () => koffi.errno(),
          defaultSignal: signal =>
            void library.func('intptr_t signal(int signum, intptr_t handler)')(signal, SIG_DFL),
        };
      } catch {
        // The next name.
      }
    }
  } catch {
    // No prebuilt binary for this platform.
  }
  return undefined;
}
