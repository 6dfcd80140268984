/** A number, and the target that it should reach. */
export interface Target {
  readonly what: string;
  readonly unit: string;
  readonly wanted: number;
  readonly reached: number;
  /** Whether more than wanted is better. */
  readonly atLeast: boolean;
}

/** A table: each row has a name, and numbers under their headings. */
export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly (string | number)[])[];
}

/** What a part of the bench returns. */
export interface PartResult {
  readonly part: string;
  readonly title: string;
  readonly how: string;
  readonly table: Table;
  readonly targets: readonly Target[];
}

/** What a part of the bench is given. */
export interface BenchContext {
  /** A directory for all its files; it is removed at the end. */
  readonly directory: string;
  readonly rounds: number;
  /** Divides the amount of work, to try out the bench itself. */
  readonly scale: number;
  /** Starts the server when a part first needs it. */
  readonly server: () => Promise<{
    readonly url: string;
    readonly port: number;
    readonly nativePort: number;
  }>;
  readonly tell: (text: string) => void;
}

/** Returns a number for people: at most three significant digits. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return 'n/a';
  if (Math.abs(value) >= 1000) return Math.round(Number(value.toPrecision(3))).toLocaleString('en-US');
  return String(Number(value.toPrecision(3)));
}

export function isMet({ wanted, reached, atLeast }: Target): boolean {
  return atLeast ? reached >= wanted : reached <= wanted;
}
