import type { ErrorCode, QrunError } from '../errors.js';

/** An error of the qrun on a host. */
export interface HostRefusal {
  readonly code: ErrorCode;
  readonly says: string;
  readonly details: readonly string[];
  readonly hint: string | null;
}

/** Returns what a host says about an error. */
export function refusalOf({ code, message, details, hint }: QrunError): HostRefusal {
  return { code, says: message, details, hint: hint ?? null };
}
