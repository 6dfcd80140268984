/** Time, as the run sees it. */
export interface Clock {
  /** Milliseconds since the epoch. */
  nowMs(): number;
  /** Milliseconds that never go back. */
  monotonicMs(): number;
  /** Resolves after `ms`, or at once when the signal aborts; never rejects. */
  delay(ms: number, signal: AbortSignal): Promise<void>;
}
