// The one name that JavaScript does not keep as a key of every object: what is given under it would be lost without a
// word.
const LOST = '__proto__';
// Tables of qrun.toml and jobs.toml lie three deep.
const MAX_DEPTH = 4;

/** The problem of a name of a parameter, a setting or a key that no table can hold; `undefined` for all others. */
export function nameProblem(name: string): string | undefined {
  return name === LOST ? `nothing can be called ${LOST}` : undefined;
}

/** The problems of all keys of a table, and of tables in it, one line each. */
export function keyProblems(label: string, value: unknown, depth = 0): string[] {
  if (typeof value !== 'object' || value === null || depth > MAX_DEPTH) return [];
  return Object.keys(value).flatMap(key => {
    const at = `${label}.${key}`;
    const problem = nameProblem(key);
    if (problem !== undefined) return [`${at}: ${problem}`];
    return keyProblems(at, (value as Record<string, unknown>)[key], depth + 1);
  });
}

/**
 * How a check of zod words a wrong type that its schema has no words for: by the type that is wanted. Zod's own words
 * name the type of the value by its `constructor`, which in a table that somebody wrote may be any key and value.
 */
export const WRONG_TYPE = {
  error: ({ code, expected }: { readonly code?: unknown; readonly expected?: unknown }) =>
    code === 'invalid_type' ? `must be of the type ${String(expected)}` : undefined,
} as const;
