import { OUTCOMES, type Outcome } from '../../model.js';
import { RECORD_SCHEMA_VERSION } from '../record.js';

/**
 * The fields of a record that resume and audit need. The strings of a head that was read by position are decoded on
 * first use, which is possible only during the call that passes it.
 */
export interface RecordHead {
  readonly query: string;
  readonly part: number;
  readonly parts: number;
  readonly outcome: Outcome;
  readonly fingerprint: string;
  readonly attempt: number;
  readonly run: string;
  readonly rerun: boolean;
}

const KNOWN_OUTCOMES: ReadonlySet<unknown> = new Set(OUTCOMES);

/** What a line is that does not have the written form: still a record, one of another unit, or neither. */
export type ForeignLine =
  | { readonly kind: 'record'; readonly head: RecordHead }
  | { readonly kind: 'other_unit'; readonly unit: string }
  | { readonly kind: 'newer'; readonly schema: number }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'unreadable' };

/** Reads a line by parsing it: for records that something wrote again with other spaces or another key order. */
export function readForeignLine(text: string, unit: string): ForeignLine {
  // An exception for each of a million empty lines would take seconds.
  if (text === '') return { kind: 'unreadable' };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: 'unreadable' };
  }
  if (typeof value !== 'object' || value === null) return { kind: 'unreadable' };
  const record = value as Record<string, unknown>;
  // Records of version 1 have no such key. A later version that changes their form must write it before the unit,
  // because whatever begins like a record of version 1 is read by position.
  const { schema } = record;
  if ('unit' in record && 'query' in record && typeof schema === 'number' && schema > RECORD_SCHEMA_VERSION) {
    return { kind: 'newer', schema };
  }
  if (!isRecord(record)) return { kind: 'foreign' };
  if (record.unit !== unit) return { kind: 'other_unit', unit: record.unit };
  const { query, part, parts, outcome, fingerprint, attempt, run } = record;
  return {
    kind: 'record',
    head: { query, part, parts, outcome, fingerprint, attempt, run, rerun: record.rerun === true },
  };
}

function isRecord(
  value: Record<string, unknown>,
): value is Record<string, unknown> & RecordHead & { unit: string } {
  return (
    ['unit', 'query', 'fingerprint', 'run'].every(key => typeof value[key] === 'string') &&
    ['part', 'parts', 'attempt'].every(
      key => Number.isSafeInteger(value[key]) && (value[key] as number) >= 1,
    ) &&
    (value.part as number) <= (value.parts as number) &&
    KNOWN_OUTCOMES.has(value.outcome)
  );
}
