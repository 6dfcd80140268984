/**
 * Returns `SET a = '1', b = '2'`, which recent versions of ClickHouse accept for settings of every type. `numbers`:
 * integers are written bare, as versions before 20.7 require.
 */
export function setStatement(settings: ReadonlyMap<string, string>, numbers = false): string {
  const items = Array.from(settings, ([name, value]) => {
    const isNumber = numbers && /^-?\d+$/.test(value);
    return `${identifier(name)} = ${isNumber ? value : literal(value)}`;
  });
  return `SET ${items.join(', ')}`;
}

/** Returns a string as a string literal of ClickHouse's SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function identifier(text: string): string {
  return `\`${text.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
