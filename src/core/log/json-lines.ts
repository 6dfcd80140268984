// Each kill may leave one. More come from no run, and each costs an exception: 64 MiB of them would take minutes.
const MAX_UNREADABLE = 10_000;

/**
 * Returns what `parse` makes of the lines of a text, in order, without those that it cannot read (`undefined`) and
 * empty ones; `undefined` for a text with more than ten thousand lines that cannot be read, which is no such file.
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
