// What terminals act on or what reorders the text around it, as far as JSON.stringify leaves it as it is: DEL and C1,
// line and paragraph separators, directional marks and overrides, the byte order mark.
const ACTS = /[\u007f-\u009f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;
// `##[command]` and `##vso[...]`: build servers obey them anywhere in a line.
const COMMAND = /##(?=\w{0,20}\[)/g;

/** JSON with the same meaning in which nothing can drive a terminal or a build server, as `\uXXXX`. */
export function quietJson(json: string): string {
  return json
    .replace(ACTS, one => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .replace(COMMAND, '#\\u0023');
}

/**
 * A value as one line of JSON for programs, with a newline. What is not known is `null` and never left out, so that
 * the same output always has the same keys; they are in snake_case, but for names that users gave. See
 * {@link quietJson} for the characters in it.
 */
export function jsonLine(value: unknown): string {
  return `${quietJson(JSON.stringify(value, (_, one: unknown) => (one === undefined ? null : one)))}\n`;
}
