import { createHash, hash } from 'node:crypto';
import { CUTTING_NAMES } from '../engines/engine-settings.js';
import { FINGERPRINT_DIGITS } from '../log/record.js';
import type { Parameters, Settings } from '../model.js';

// Up to this size, copying the bytes is faster than making a hash object.
const ONE_CALL_BYTES = 64 * 1024;

/** What decides a query's result besides its SQL. */
export interface FingerprintInputs {
  readonly parameters: Parameters;
  /** Only the settings that can change a result, and the database under the name `database`. */
  readonly settings: Settings;
  /** All other settings. They count only for a query whose own text names a setting that lets limits cut results. */
  readonly limits?: Settings;
}

/**
 * Returns a function from the bytes of a query file to its fingerprint: the first 16 hex digits of SHA-256 over the
 * bytes, the sorted parameters and the sorted settings (with the limits, for SQL that may let them cut a result).
 * Equal fingerprints mean that a recorded result is still the result of this query on the same data.
 */
export function fingerprinter(inputs: FingerprintInputs): (sql: Uint8Array) => string {
  // A query file cannot contain a NUL (it is refused), so no SQL can imitate what follows it.
  const { parameters, settings, limits = {} } = inputs;
  const suffixOf = (counted: Settings): Buffer =>
    Buffer.from(`\0${JSON.stringify([sorted(parameters), sorted(counted), ...meaning(parameters)])}`);
  const plain = suffixOf(settings);
  const hasLimits = Object.keys(limits).length > 0;
  const cutting = hasLimits ? suffixOf({ ...settings, ...limits }) : plain;
  return sql => {
    const suffix = hasLimits && mayCut(sql) ? cutting : plain;
    const digest =
      sql.length <= ONE_CALL_BYTES
        ? hash('sha256', Buffer.concat([sql, suffix]), 'buffer')
        : createHash('sha256').update(sql).update(suffix).digest();
    // Not a slice of all 64 digits, which would keep them in memory for as long as the fingerprint.
    return digest.toString('hex', 0, FINGERPRINT_DIGITS / 2);
  };
}

// One pattern over one string takes 0.1 microseconds for a small query; searching the bytes for each name takes 0.4.
const CUTTING = new RegExp(CUTTING_NAMES.join('|'));

// Wherever the name is, even in a comment or a string: at worst the query runs again after a limit was changed.
function mayCut(sql: Uint8Array): boolean {
  return CUTTING.test(Buffer.from(sql.buffer, sql.byteOffset, sql.byteLength).toString('latin1'));
}

/** Returns the first 16 hex digits of the SHA-256 of a string; for names and for choosing shards, never for secrets. */
export function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, FINGERPRINT_DIGITS);
}

// A backslash in a parameter used to stand for itself and now begins an escape, so earlier results answer another
// question. All other parameters keep their fingerprint.
function meaning(parameters: Parameters): string[] {
  return Object.values(parameters).some(value => value.includes('\\')) ? ['escapes'] : [];
}

/** Returns the names and values of a table in the order of their names, as every hash takes them. */
export function sorted(values: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A digest of queries: equal ones mean the same names with the same fingerprints, in the same order. */
export class QueriesDigest {
  readonly #hash = createHash('sha256');

  /** A name holds no NUL, and all fingerprints have the same length. */
  add(name: string, fingerprint: string): void {
    this.#hash.update(`${fingerprint}${name}\0`);
  }

  /** To be called once, after the last query. */
  digest(): string {
    return this.#hash.digest('hex').slice(0, FINGERPRINT_DIGITS);
  }
}
