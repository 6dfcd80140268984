import { QrunError } from '../errors.js';
import { RECORD_SCHEMA_VERSION } from './record.js';
import type { OtherLines } from './scan/index.js';

// How much of a damaged line a hint shows.
const SHOWN_BYTES = 400;

/**
 * Returns the handlers that refuse a log to which a run must not append, for the scan that reads it. Each method throws
 * QrunError: `LOG_FOREIGN` for a record of another unit, `LOG_SCHEMA` for one of a later version, `LOG_DAMAGED` for a
 * line that is not JSON. Lines of JSON that belong to no unit are ignored.
 */
export function refusals(path: string, unit: string): OtherLines {
  return {
    foreign(offset, other) {
      if (other === undefined) return;
      throw new QrunError(
        'LOG_FOREIGN',
        `${path} holds records of the unit ${JSON.stringify(other)} (byte ${offset}), not of ${JSON.stringify(unit)}`,
        { hint: 'name another log with --log or --log-dir' },
      );
    },
    newer(offset, schema) {
      throw new QrunError(
        'LOG_SCHEMA',
        `${path} holds records of schema ${schema} (byte ${offset}); this qrun knows ${RECORD_SCHEMA_VERSION}`,
        { hint: 'update qrun, or name another log with --log' },
      );
    },
    unreadable(offset, bytes) {
      throw new QrunError(
        'LOG_DAMAGED',
        `${path} is damaged: the line at byte ${offset} (${bytes} bytes) is not a record`,
        {
          hint:
            `look at it with: tail -c +${offset + 1} ${path} | head -c ${Math.min(bytes, SHOWN_BYTES)}; ` +
            'qrun repairs only the end of a log, never its middle',
        },
      );
    },
  };
}

// The first key of a record.
const LOG_START = Buffer.from('{"unit":');

/** How many bytes {@link refuseOther} looks at. */
export const LOG_START_BYTES = LOG_START.length;

/**
 * Refuses a file without a whole line that does not begin as a log does; `start` are its first bytes. Zeros are what
 * a crash of the machine may leave of any file.
 *
 * Errors: QrunError `LOG_UNUSABLE`.
 */
export function refuseOther(path: string, start: Buffer): void {
  if (start.every((byte, at) => byte === 0 || byte === LOG_START[at])) return;
  throw new QrunError('LOG_UNUSABLE', `${path} is not a log of qrun: it holds no record`, {
    hint: 'name another file with --log; nothing was changed',
  });
}
