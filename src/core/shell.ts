const SAFE = /^[\w@%+=:,./-]+$/;

/** A text as one word of a POSIX shell. */
export function shellWord(text: string): string {
  // A `=` in front of a command would be an assignment, but no word here stands there unquoted with one.
  return SAFE.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * A command line for `sh -c` that runs one program in place of the shell, so that its exit status and its signals
 * are the task's own, and with no input: the pipe that pueue gives a task as stdin stays open for ever.
 */
export function shellCommand(args: readonly string[]): string {
  return `exec ${args.map(shellWord).join(' ')} </dev/null`;
}
