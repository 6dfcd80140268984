/**
 * `SET a = '1', b = '2'`, which ClickHouse of the last years takes for settings of every type. `numbers`: integers
 * bare, as versions before 20.7 want them.
 */
export function setStatement(settings: ReadonlyMap<string, string>, numbers = false): string {
  const items = Array.from(settings, ([name, value]) => {
    const isNumber = numbers && /^-?\d+$/.test(value);
    return `${identifier(name)} = ${isNumber ? value : literal(value)}`;
  });
  return `SET ${items.join(', ')}`;
}

/** A text as a string of ClickHouse's SQL. */
export function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function identifier(text: string): string {
  return `\`${text.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
