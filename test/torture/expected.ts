import { createHash } from 'node:crypto';

/** How large the results of a trial are. */
export interface Shape {
  readonly rows: number;
  readonly rowBytes: number;
}

/** The name of the n-th query; its number decides its outcome, see {@link kindOf}. */
export function queryName(n: number): string {
  return `q${String(n).padStart(5, '0')}`;
}

/** The names of `count` queries. */
export function queryNames(count: number): string[] {
  return Array.from({ length: count }, (_, n) => queryName(n));
}

/** What a query ends with, so that every log holds all three outcomes. */
export function kindOf(name: string): 'normal' | 'skipped' | 'error' {
  const n = Number(name.slice(1));
  return n % 11 === 5 ? 'skipped' : n % 11 === 7 ? 'error' : 'normal';
}

/**
 * The rows of a query, without newlines: the same wherever they are asked for, and different in every byte
 * range from those of any other query, so that a byte in the wrong place is seen.
 */
export function rowsOf(name: string, shape: Shape): string[] {
  if (kindOf(name) !== 'normal') return [];
  return Array.from({ length: shape.rows }, (_, i) => {
    const digest = createHash('sha256').update(`${name}:${i}`).digest('hex');
    const pad = digest.repeat(Math.ceil(shape.rowBytes / digest.length)).slice(0, shape.rowBytes);
    return JSON.stringify({ q: name, i, pad });
  });
}

/** A fingerprint for trials without SQL. */
export function fingerprintOf(name: string): string {
  return createHash('sha256').update(`sql of ${name}`).digest('hex').slice(0, 16);
}

/** The SQL of a query for the answering server of the tests. */
export function sqlOf(name: string, shape: Shape): string {
  return `SELECT torture('${name}', ${shape.rows}, ${shape.rowBytes})\n`;
}

/** Name and shape in SQL of {@link sqlOf}; `undefined` for any other. */
export function parseSql(sql: string): { name: string; shape: Shape } | undefined {
  const match = /SELECT torture\('(q\d+)', (\d+), (\d+)\)/.exec(sql);
  if (match === null) return undefined;
  return { name: match[1] ?? '', shape: { rows: Number(match[2]), rowBytes: Number(match[3]) } };
}
