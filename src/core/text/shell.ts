const SAFE = /^(?!=)[\w@%+=:,./-]+$/;

/**
 * Returns a string as one word of a POSIX shell, for a command that is run and not shown: control characters stay
 * raw.
 */
export function shellWord(text: string): string {
  return SAFE.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Returns a command line for `sh -c` that replaces the shell by one program, so that its exit status and its signals
 * are the task's own. The program gets no input, because a queue may give a task a pipe as stdin that stays open
 * forever.
 */
export function shellCommand(args: readonly string[]): string {
  return `exec ${args.map(shellWord).join(' ')} </dev/null`;
}

/**
 * Returns a command line with which ssh starts a program on another host, so that it gets exactly these words. ssh
 * passes one string to the login shell of the user there, whichever that is: sh, bash, zsh, ksh, dash, fish, csh and
 * tcsh all take it as it is meant. Backslashes and apostrophes stand outside of the quotes, because fish acts on them
 * inside; so do exclamation marks, on which csh acts everywhere.
 *
 * Throws for NUL, which no argument can hold, and for line ends, which csh cannot quote: callers refuse them before.
 */
export function remoteCommand(words: readonly string[]): string {
  return words.map(remoteWord).join(' ');
}

function remoteWord(word: string): string {
  if (/[\0\n\r]/.test(word)) throw new Error(`${JSON.stringify(word)} cannot be a word of a remote command`);
  if (word !== '' && SAFE.test(word) && !/[%=]/.test(word)) return word;
  const parts = word.match(/[\\'!]|[^\\'!]+/g) ?? [''];
  return parts.map(part => (/^[\\'!]$/.test(part) ? `\\${part}` : `'${part}'`)).join('');
}

// What a terminal may act on, what is invisible, and what reorders the text around it.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/u;
const NOT_ASCII = /[^\x20-\x7e]/u;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\\': '\\\\',
  "'": "\\'",
};

/**
 * Returns a string as one word of a command that a person copies from the screen into bash, zsh or ksh. It is on one
 * line; everything invisible is written as bytes in `$'...'`, which the shell turns into the same string again. With
 * `asciiOnly`, so is what a terminal that is not UTF-8 would not show.
 */
export function pasteableWord(text: string, asciiOnly = false): string {
  const hidden = asciiOnly ? NOT_ASCII : UNSEEN;
  if (!hidden.test(text)) return shellWord(text);
  const inner = [...text].map(character => {
    const short = SHORT_ESCAPES[character];
    return short ?? (hidden.test(character) ? octalBytes(character) : character);
  });
  return `$'${inner.join('')}'`;
}

/** Returns a command as a person copies it from the screen; see {@link pasteableWord}. */
export function pasteableCommand(words: readonly string[], asciiOnly = false): string {
  return words.map(word => pasteableWord(word, asciiOnly)).join(' ');
}

/**
 * Returns the same as {@link pasteableWord} for a path among options: one that begins with `-` is prefixed with `./`.
 */
export function pasteablePath(path: string, asciiOnly = false): string {
  return pasteableWord(path.startsWith('-') ? `./${path}` : path, asciiOnly);
}

// Three digits each, so that a following digit is never taken for part of it.
function octalBytes(character: string): string {
  return [...new TextEncoder().encode(character)]
    .map(byte => `\\${byte.toString(8).padStart(3, '0')}`)
    .join('');
}
