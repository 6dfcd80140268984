import { QrunError } from '../../../core/errors.js';
import { parseDuration } from '../../../core/text/duration.js';
import type { AlivePipe } from '../../../io/queue/alive-pipe.js';
import type { Flags } from '../../command.js';
import { wholeNumberFlag } from '../../flags.js';
import type { Stops } from '../../terminal/signals.js';
import type { Terminal } from '../../terminal/streams.js';
import { suppliedAliveFd } from './memory-cap.js';

/** What `--alive-fd` and `--alive-limit` ask for. */
export interface AliveOptions {
  readonly fd: number;
  readonly limitMs: number | undefined;
}

// What a worker may write late by, on a busy machine.
const MIN_LIMIT_MS = 1_000;
const MAX_FD = 65_535;

/** Returns the options of the pipe on which a worker says that it is alive. Errors: QrunError `USAGE`. */
export function aliveOptions(flags: Flags, terminal: Terminal): AliveOptions | undefined {
  const given = wholeNumberFlag(flags, '--alive-fd', { min: 0, max: MAX_FD });
  const fd = suppliedAliveFd(given, terminal);
  const limit = flags.aliveLimit as string | undefined;
  if (fd === undefined) {
    if (limit === undefined) return undefined;
    throw new QrunError('USAGE', '--alive-limit: it is the limit of --alive-fd, which is not given', {
      hint: 'give both, or neither',
    });
  }
  // Those of the terminal belong to the output.
  if (fd === 1 || fd === 2) throw new QrunError('USAGE', `--alive-fd ${fd}: this descriptor is for output`);
  return { fd, limitMs: limit === undefined ? undefined : limitOf(limit) };
}

function limitOf(text: string): number {
  const limitMs = parseDuration(text);
  if (limitMs !== undefined && limitMs >= MIN_LIMIT_MS) return limitMs;
  throw new QrunError('USAGE', `--alive-limit ${text}: must be a duration from 1s, such as 60s`);
}

/** Stops a run when its worker is gone. Errors: QrunError `USAGE` for a descriptor that is no pipe. */
export async function watchAlive({ fd, limitMs }: AliveOptions, stops: Stops): Promise<AlivePipe> {
  const { watchAlivePipe } = await import('../../../io/queue/alive-pipe.js');
  return watchAlivePipe(fd, { limitMs, onLost: stops.ask });
}
