/** Returns the words of a text as a set; blanks and line ends separate them. */
export function wordSet(text: string): ReadonlySet<string> {
  return new Set(text.split(/\s+/).filter(Boolean));
}
