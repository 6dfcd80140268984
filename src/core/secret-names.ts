/**
 * Whether a variable, a parameter or an option is named as secrets are. Names of files that hold one are not:
 * `DB_PASSWORD` and `--api-key` are, `PASSWORD_FILE`, `MAX_TOKENS` and `KEY` are not.
 */
export function looksSecret(name: string): boolean {
  const words = wordsOf(name);
  const last = words.at(-1) ?? '';
  if (/^(file|path|dir)$/.test(last)) return false;
  if (words.some(word => /passw(or)?d|passphrase|^secrets?$|^credentials?$/.test(word))) return true;
  if (/^(token|apikey|apitoken|accesskey|secretkey|privatekey)$/.test(last)) return true;
  if (last === 'pwd') return words.length > 1;
  return last === 'key' && /^(api|access|private|secret|signing|encryption)$/.test(words.at(-2) ?? '');
}

// In SQL and in URLs a wrong guess only hides a text of a message, so that more counts there.
const HIDDEN_WORD =
  /^(?:passw(?:or)?ds?|passphrase|pass|pwd|pw|pat|secrets?|tokens?|credentials?|auth|authorization|bearer|cookie|signature|sig|sas|salt|apikey|apitoken|accesskey|secretkey|privatekey|sharedaccesssignature|accountkey)$/;
const KEY_OF = /^(?:api|access|account|private|secret|signing|encryption|security|master|shared|sas)$/;

/**
 * Whether the value that stands behind a name in SQL, in a header or in a URL is hidden in messages: all that
 * {@link looksSecret} names, access keys with their ids, tokens, signatures, headers of authentication.
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

// Longer than any name of a setting, column or header; what is looked at again and again must be short.
const LONGEST_NAME = 200;

function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z\d])(?=[A-Z])/g, '$1_')
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter(word => word !== '');
}
