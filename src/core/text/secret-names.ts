/**
 * Returns whether a variable, a parameter or an option has a name like those of secrets. Names of files that hold a
 * secret do not count: `DB_PASSWORD` and `--api-key` do, `PASSWORD_FILE`, `MAX_TOKENS` and `KEY` do not.
 */
export function looksSecret(name: string): boolean {
  const words = wordsOf(name);
  const last = words.at(-1) ?? '';
  if (/^(file|path|dir)$/.test(last)) return false;
  if (words.some(word => /passw(or)?d|passphrase|^secrets?$|^credentials?$/.test(word))) return true;
  if (last === 'token') return !OTHER_TOKEN.test(words.at(-2) ?? '');
  if (/^(apikey|apitoken|accesskey|secretkey|privatekey)$/.test(last)) return true;
  if (last === 'pwd') return words.length > 1;
  return last === 'key' && /^(api|access|private|secret|signing|encryption)$/.test(words.at(-2) ?? '');
}

// What is traded, and parts of a text, are tokens too: `base_token`, `sell_token`, `stop_token`.
const OTHER_TOKEN =
  /^(?:base|quote|in|out|input|output|sell|buy|sold|bought|from|to|src|dst|source|target|pool|pair|lp|swap|fee|gas|reward|collateral|debt|borrow|lend|supply|stake|staking|asset|native|wrapped|stable|underlying|governance|nft|erc\d*|other|first|last|next|prev|previous|start|end|stop|pad|mask|eos|bos|unk|sep|cls|max|min|per|each|every|left|right|long|short|num|n)$/;

/** Returns whether a text contains a URL with a password. */
export function holdsPassword(text: string): boolean {
  return /[a-z\d+.-]:\/\/[^/\s:@]*:[^/\s@]+@/i.test(text);
}

/**
 * Returns why a parameter of a unit cannot have its name, or `undefined`. Parameters are part of unit ids, file names,
 * labels and records. `token` alone is allowed, because a sweep may be about tokens.
 */
export function parameterProblem(name: string): string | undefined {
  if (!looksSecret(name) || name.toLowerCase() === 'token') return undefined;
  return 'looks like a secret, and parameters are part of unit ids, file names, labels and records; put secrets into a named collection of the server, or give it another name';
}

/**
 * Returns whether a shell command line gives a secret in clear text: an option or variable with the name of one, or a
 * URL with a password. What the shell inserts (`$NAME`) and names of files do not count.
 */
export function commandHoldsSecret(command: string): boolean {
  if (holdsPassword(command)) return true;
  const words = command.split(/[\s;|&]+/);
  return words.some((word, index) => {
    const [, dashes = '', name = '', mark, value = ''] =
      /^["']?(-{0,2})([\w-]{1,100})(=)?(.*)$/s.exec(word) ?? [];
    if (name === '' || !looksSecret(name)) return false;
    const given = mark === '=' ? value : dashes === '' ? '' : (words[index + 1] ?? '');
    return given !== '' && !/^["']?[$`-]/.test(given);
  });
}

// In SQL and in URLs a wrong guess only hides part of a message, so more names count there.
const HIDDEN_WORD =
  /^(?:passw(?:or)?ds?|passphrase|pass|pwd|pw|pat|secrets?|tokens?|credentials?|auth|authorization|bearer|cookie|signature|sig|sas|salt|apikey|apitoken|accesskey|secretkey|privatekey|sharedaccesssignature|accountkey)$/;
const KEY_OF = /^(?:api|access|account|private|secret|signing|encryption|security|master|shared|sas)$/;

/**
 * Returns whether the value after a name in SQL, in a header or in a URL is hidden in messages: all names that
 * {@link looksSecret} accepts, access keys with their ids, tokens, signatures, headers of authentication.
 */
export function namesHiddenValue(name: string): boolean {
  if (name.length > LONGEST_NAME) return false;
  const words = wordsOf(name);
  if (/^(file|path|dir|type|method)$/.test(words.at(-1) ?? '')) return false;
  return words.some(
    (word, index) =>
      HIDDEN_WORD.test(word) ||
      /passw(?:or)?d|secret/.test(word) ||
      (word === 'key' && KEY_OF.test(words[index - 1] ?? '')),
  );
}

// Longer than any name of a setting, column or header; what is examined again and again must be short.
const LONGEST_NAME = 200;

function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z\d])(?=[A-Z])/g, '$1_')
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter(word => word !== '');
}
