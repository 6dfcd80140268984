import { QrunError } from '../../core/errors.js';
import type { JobSize } from '../../core/machine/sizing.js';
import { parseSize, SIZE_EXAMPLES } from '../../core/text/bytes.js';
import type { Flags } from '../command.js';

/** Returns what one job takes, from `--memory-per-job` and `--cores-per-job`. Errors: QrunError `USAGE`. */
export function jobSize(flags: Flags, memoryMaxBytes: number | undefined): JobSize {
  return {
    memoryBytes: sizeFlag('--memory-per-job', flags.memoryPerJob) ?? memoryMaxBytes,
    cores: coresFlag(flags.coresPerJob),
  };
}

function sizeFlag(name: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  const bytes = parseSize(String(value));
  if (bytes === undefined || bytes === 0) {
    throw new QrunError('USAGE', `${name} ${value}: must be a size: ${SIZE_EXAMPLES}`);
  }
  return bytes;
}

function coresFlag(value: unknown): number {
  if (value === undefined) return 1;
  const cores = /^\d{1,4}(\.\d+)?$/.test(String(value)) ? Number(value) : 0;
  if (cores <= 0) {
    throw new QrunError('USAGE', `--cores-per-job ${value}: must be a number above 0, such as 2 or 0.5`);
  }
  return cores;
}
