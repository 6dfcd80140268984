import { fstatSync, lstatSync, readdirSync, type Stats } from 'node:fs';
import { Socket } from 'node:net';
import { QrunError } from '../../core/errors.js';

/** A pipe that is being watched. */
export interface AlivePipe {
  /** Ends the watch and closes the descriptor. */
  close(): void;
}

/** How a pipe is watched. */
export interface AliveWatch {
  /** How long nothing may come, in milliseconds, from now on; `undefined`: only the end of the pipe counts. */
  readonly limitMs: number | undefined;
  /** Called once, with the reason, when whoever holds the other end is gone. */
  readonly onLost: (reason: string) => void;
}

/**
 * Watches an inherited pipe (or socket) on which a worker says that it is alive. It is lost when the pipe ends, which
 * the kernel sees to however the worker dies, or when nothing has come for longer than the limit: the worker is
 * stopped, or has itself lost the task. What is written does not matter. The clock is the monotonic one of this host.
 *
 * The watch keeps no process alive. Errors: QrunError `USAGE` for a descriptor that cannot end.
 */
export function watchAlivePipe(fd: number, { limitMs, onLost }: AliveWatch): AlivePipe {
  checkPipe(fd);
  const pipe = new Socket({ fd, readable: true, writable: false });
  let timer: NodeJS.Timeout | undefined;
  let heard = 0;
  let isOver = false;
  const lose = (reason: string): void => {
    if (isOver) return;
    close();
    onLost(reason);
  };
  const close = (): void => {
    isOver = true;
    clearTimeout(timer);
    pipe.destroy();
  };
  const wait = (): void => {
    if (limitMs === undefined || isOver) return;
    clearTimeout(timer);
    timer = setTimeout(late, limitMs).unref();
  };
  // After this process was stopped itself, timers come before what has been waiting in the pipe.
  const late = (): void => {
    const before = heard;
    setImmediate(() => {
      if (heard === before)
        lose(`the worker is silent (nothing on the pipe of --alive-fd for ${(limitMs ?? 0) / 1000} s)`);
    });
  };
  pipe.on('data', () => {
    heard += 1;
    wait();
  });
  pipe.on('error', () => lose('the worker is gone (the pipe of --alive-fd is broken)'));
  pipe.on('close', () => lose('the worker is gone (the pipe of --alive-fd has ended)'));
  pipe.unref();
  wait();
  return { close };
}

function checkPipe(fd: number): void {
  const refused = (problem: string): QrunError =>
    new QrunError('USAGE', `--alive-fd ${fd}: ${problem}`, {
      hint: 'pass the reading end of a pipe, whose writing end only the worker holds',
    });
  let stat: Stats;
  try {
    stat = fstatSync(fd);
  } catch {
    throw refused('this descriptor is not open');
  }
  if (!stat.isFIFO() && !stat.isSocket()) throw refused('it is not a pipe');
  if (stat.isFIFO() && holdsWritingEnd(stat))
    throw refused('this process holds its writing end, so that it never ends');
}

// The permissions of a link in /proc/self/fd are those with which the file is open. Elsewhere than on Linux nothing
// tells.
function holdsWritingEnd({ dev, ino }: Stats): boolean {
  let names: string[];
  try {
    names = readdirSync('/proc/self/fd');
  } catch {
    return false;
  }
  return names.some(name => {
    try {
      const other = fstatSync(Number(name));
      return (
        other.dev === dev && other.ino === ino && (lstatSync(`/proc/self/fd/${name}`).mode & 0o200) !== 0
      );
    } catch {
      return false;
    }
  });
}
