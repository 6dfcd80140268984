// The one name that JavaScript does not keep as a key of every object: a value under it would be lost silently.
const LOST = '__proto__';
// Tables of qrun.toml and jobs.toml nest three deep.
const MAX_DEPTH = 4;

/** Returns the problem of a parameter, setting or key name that no table can hold; `undefined` for all others. */
export function nameProblem(name: string): string | undefined {
  return name === LOST ? `nothing can be called ${LOST}` : undefined;
}

/** Returns the problems of all keys of a table and of the tables in it, one line each. */
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
 * How zod reports what is wrong with a value. Each issue holds the part of the value that it is about. The message for a
 * wrong type, when the schema has none of its own, names the type that is wanted: zod's own message names the type of
 * the value by its `constructor`, which can be any key and value in a table that somebody wrote.
 */
export const REPORT = {
  reportInput: true,
  error: ({ code, expected }: { readonly code?: unknown; readonly expected?: unknown }) =>
    code === 'invalid_type' ? `must be of the type ${String(expected)}` : undefined,
} as const;
