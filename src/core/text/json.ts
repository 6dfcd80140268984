// Characters that JSON.stringify leaves as they are, although terminals act on them or they reorder the text around
// them: DEL and C1, line and paragraph separators, directional marks and overrides, the byte order mark.
const ACTS = /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;
// `##[command]` and `##vso[...]`: build servers obey them anywhere in a line.
const COMMAND = /##(?=\w{0,20}\[)/g;

// Each kill may leave one. No run leaves more than this, and each costs an exception: 64 MiB of them would take
// minutes.
const MAX_UNREADABLE = 10_000;

/**
 * Returns JSON with the same meaning, but with everything that could drive a terminal or a build server as `\uXXXX`.
 */
export function quietJson(json: string): string {
  return json
    .replace(ACTS, one => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(COMMAND, '#\\u0023');
}

/**
 * Returns a value as one line of JSON for programs, with a newline; `T` is the type of its schema, in which nothing is
 * `undefined`. See {@link quietJson} for the characters in it.
 */
export function jsonLine<T = never>(value: NoInfer<T>): string {
  return `${quietJson(JSON.stringify(value))}\n`;
}

/**
 * Returns the object, of any keys, that a text of JSON is; `undefined` for other values and for other text. `T` says
 * which keys it has if it is what the caller expects, which must still be checked.
 */
export function jsonObject<T = Record<string, unknown>>(text: string): Partial<T> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Returns what `read` returns for the last line of a text for which it returns something; `undefined` if there is none.
 * For what a program prints behind a greeting of a login.
 */
export function lastLine<T>(text: string, read: (line: string) => T | undefined): T | undefined {
  for (const line of text.trimEnd().split('\n').reverse()) {
    const found = read(line);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * Returns what `parse` returns for the lines of a string, in order, without empty lines and those that it cannot read
 * (`undefined`). Returns `undefined` if more than ten thousand lines cannot be read: it is then not such a file.
 */
export function entriesOf<T>(text: string, parse: (line: string) => T | undefined): T[] | undefined {
  const entries: T[] = [];
  let unreadable = 0;
  for (let from = 0; from < text.length; ) {
    const newline = text.indexOf('\n', from);
    const end = newline === -1 ? text.length : newline;
    if (end > from) {
      const entry = parse(text.slice(from, end));
      if (entry !== undefined) entries.push(entry);
      else unreadable += 1;
      if (unreadable > MAX_UNREADABLE) return undefined;
    }
    from = end + 1;
  }
  return entries;
}
