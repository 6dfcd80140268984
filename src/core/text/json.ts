// What terminals act on or what reorders the text around it, as far as JSON.stringify leaves it as it is: DEL and C1,
// line and paragraph separators, directional marks and overrides, the byte order mark.
const ACTS = /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;
// `##[command]` and `##vso[...]`: build servers obey them anywhere in a line.
const COMMAND = /##(?=\w{0,20}\[)/g;

// Each kill may leave one. More come from no run, and each costs an exception: 64 MiB of them would take minutes.
const MAX_UNREADABLE = 10_000;

/** JSON with the same meaning in which nothing can drive a terminal or a build server, as `\uXXXX`. */
export function quietJson(json: string): string {
  return json
    .replace(ACTS, one => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(COMMAND, '#\\u0023');
}

/**
 * A value as one line of JSON for programs, with a newline; `T` is the type of its schema, in which nothing is
 * `undefined`. See {@link quietJson} for the characters in it.
 */
export function jsonLine<T = never>(value: NoInfer<T>): string {
  return `${quietJson(JSON.stringify(value))}\n`;
}

/**
 * Returns what `parse` makes of the lines of a string, in order, without those that it cannot read (`undefined`) and
 * empty ones; `undefined` for one with more than ten thousand lines that cannot be read, which is not such a file.
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
