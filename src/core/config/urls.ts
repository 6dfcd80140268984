// A comma or blanks, followed by the scheme of another URL. A URL alone may contain a comma.
const BETWEEN = /(?<![\s,])[\s,]+(?=[a-z][a-z\d+.-]*:\/\/)/i;

/**
 * Returns the URLs that one string names: itself, or several with commas or blanks between them, as in an environment
 * variable. A string with an `@` counts as one URL, because what looks like a separator may be part of a password; see
 * {@link namesSeveralWithUsers}.
 */
export function urlsIn(text: string): string[] {
  const trimmed = text.trim();
  return trimmed.includes('@') ? [trimmed] : trimmed.split(BETWEEN);
}

/** Returns whether a string looks like several URLs, some of them with users: it cannot be split safely. */
export function namesSeveralWithUsers(text: string): boolean {
  return text.includes('@') && BETWEEN.test(text.trim());
}

/**
 * Returns the one string that stands for the URLs of a tree: a URL as it is, or several as JSON. Different lists have
 * different strings, because no URL begins with a bracket.
 */
export function urlsText(urls: readonly string[]): string {
  return urls.length === 1 ? (urls[0] as string) : JSON.stringify(urls);
}

/** Returns the URLs that {@link urlsText} stands for. */
export function urlsOfText(text: string): readonly string[] {
  if (!text.startsWith('[')) return [text];
  try {
    const urls: unknown = JSON.parse(text);
    if (Array.isArray(urls)) return urls.map(String);
  } catch {
    // Not written by urlsText: one string, which is no URL.
  }
  return [text];
}
