/**
 * A value as one line of JSON for programs, with a newline. What is not known is `null` and never left out, so that
 * the same output always has the same keys; they are in snake_case, but for names that users gave.
 */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value, (_, one: unknown) => (one === undefined ? null : one))}\n`;
}
