const UNITS = ['', 'K', 'M', 'G', 'T'] as const;

/** Examples of sizes, for hints and help texts. */
export const SIZE_EXAMPLES = '512M, 8G, 1.5GiB';

/**
 * Returns the whole number of bytes that a string such as `8G`, `512M` or `1.5GiB` stands for; `undefined` if it is
 * not a size, or one that a number cannot hold exactly. K, M, G and T are powers of 1024, as in systemd
 * (systemd.resource-control(5), MemoryMax=); without a unit the number is in bytes. `8GB` is refused, because
 * elsewhere it means a power of 1000.
 */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(i?B)?$/i.exec(text);
  if (match === null) return undefined;
  const [, number = '', unit = '', end = ''] = match;
  // After a letter only `iB` is allowed, without one only `B`.
  if (end !== '' && (unit === '') !== (end.length === 1)) return undefined;
  const bytes = Math.round(
    Number(number) * 1024 ** UNITS.indexOf(unit.toUpperCase() as (typeof UNITS)[number]),
  );
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/**
 * Returns what {@link parseSize} reads as a pattern for JSON Schema, without sizes that have fewer digits than
 * `leastBytes` in the same unit. A pattern cannot compare numbers: some with as many digits are smaller.
 */
export function sizePattern(leastBytes: number): string {
  const ofUnits = UNITS.map((unit, power) => {
    const digits = String(Math.floor(leastBytes / 1024 ** power)).length;
    const end = unit === '' ? '[Bb]?' : `[${unit}${unit.toLowerCase()}]([Ii][Bb])?`;
    return String.raw`\d{${digits},}(\.\d+)?${end}`;
  });
  return `^(?=.*[1-9])(${ofUnits.join('|')})$`;
}

/** Returns a size as {@link parseSize} reads it, with at most one decimal: `8G`, `1.5G`, `512M`, `19.4G`, `100B`. */
export function formatSize(sizeBytes: number): string {
  let value = Math.max(0, sizeBytes);
  let unit = 0;
  // 1023.95 and more would be printed as 1024 of the smaller unit.
  while (value >= 1023.95 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit === 0 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, '');
  return `${text}${unit === 0 ? 'B' : UNITS[unit]}`;
}
