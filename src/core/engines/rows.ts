/** Returns the rows of a small result, one JSON object per line. Throws for other text; proven results are JSON. */
export function rowsOf(bytes: Uint8Array): Record<string, unknown>[] {
  const lines = Buffer.from(bytes).toString('utf8').split('\n').filter(Boolean);
  return lines.map(line => JSON.parse(line));
}
