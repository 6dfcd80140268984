import { CONTROL_ESCAPES } from '../engines/engine-settings.js';
import type { Failure } from '../engines/failure.js';
import type { Parameters, Settings } from '../model.js';
import { literalValue, secretPlaces } from '../sql/guard/secrets.js';
import { CLOSING } from '../sql/lexer/loose-tokens.js';
import type { ParsedQuery } from '../sql/statement.js';
import { looksSecret, namesHiddenValue } from './secret-names.js';

/** What replaces a secret in a message. */
const HIDDEN = "'...'";

/** What a failed query was sent with. */
export interface Sent {
  readonly query: Pick<ParsedQuery, 'statements'>;
  readonly parameters: Parameters;
  readonly settings: Settings;
}

/**
 * Returns the failure as it may be shown and recorded: {@link HIDDEN} replaces the credentials that its message
 * repeats.
 *
 * It hides the credentials of the query that failed (see {@link secretPlaces}), including the values of parameters in
 * such places and of parameters and settings with names of secrets, in each form in which servers write them, also cut
 * off. It also hides what is in such a place of the message itself, and strings that have the form of keys (see
 * {@link withoutKeys}). Linear in the length of query and message; called for failures only.
 */
export function redactFailure(failure: Failure, sent: Sent): Failure {
  const message = redactMessage(failure.message, sent);
  return message === failure.message ? failure : { ...failure, message };
}

/** Returns a message redacted as by {@link redactFailure}. */
export function redactMessage(message: string, sent: Sent): string {
  const secrets = secretsOf(sent, message.length);
  if (secrets === undefined)
    return `${HEAD.exec(message)?.[0] ?? ''}... (hidden: the query holds too many secrets)`;
  let text = message;
  for (const secret of secrets.values()) text = withoutSecret(text, secret);
  return redactText(text);
}

/** Returns a text from any source without what looks like a credential in it, by its place or by its form. */
export function redactText(text: string): string {
  return withoutKeys(withoutPlaces(text));
}

// How ClickHouse begins its messages.
const HEAD = /^Code: \d{1,9}(?:\. DB::Exception: )?/;
// Each one is searched for in the whole message. No file that people write has this many.
const MOST_SECRETS = 200;
// Shorter strings than these occur in messages for other reasons too.
const LONG = 8;
const SHORT = 4;

interface Secret {
  readonly forms: readonly string[];
  /** What can come before it where a server repeats it. */
  readonly leads: string;
}

const QUOTES = Object.keys(CLOSING).join('');
const LEADS = `${QUOTES}$`;

// Keyed by what is written; `undefined` if there are too many.
function secretsOf({ query, parameters, settings }: Sent, longest: number): Map<string, Secret> | undefined {
  const secrets = new Map<string, Secret>();
  const add = (written: string, leads: string): void => {
    if (written === '' || written === '...') return;
    // If it is longer than the message, the message can only contain the beginning of it.
    const shown = written.slice(0, longest + 1);
    if (!secrets.has(shown)) secrets.set(shown, { forms: formsOf(shown), leads });
  };
  for (const { text } of query.statements) {
    for (const { token, parameter } of secretPlaces(text, { prose: false })) {
      const written =
        parameter === undefined ? token.text : Object.hasOwn(parameters, parameter) && parameters[parameter];
      if (typeof written !== 'string') continue;
      add(written, LEADS);
      // `Bearer x`: of a header, the token alone is the secret.
      const [, credentials] = /^(?:bearer|basic|token|digest|apikey)\s+(\S+)$/i.exec(written) ?? [];
      if (credentials !== undefined) add(credentials, `${LEADS}=`);
    }
    for (const part of partsOfUrls(text)) add(part, ':=/');
    for (const [pair] of text.matchAll(PAIR)) add(pair.slice(pair.indexOf('=') + 1), '=');
    if (secrets.size > MOST_SECRETS) return undefined;
  }
  for (const [name, value] of [...Object.entries(parameters), ...Object.entries(settings)]) {
    if (looksSecret(name) || namesHiddenValue(name)) add(value, `${QUOTES}=`);
    else for (const part of partsOfUrls(value)) add(part, ':=/');
  }
  return secrets.size > MOST_SECRETS ? undefined : secrets;
}

// A server shows a literal as it was written, or quotes it again in its own way; possibly on one line, or with other
// characters for bytes that are not UTF-8.
function formsOf(written: string): string[] {
  const value = literalValue(written);
  const escaped = value.replace(/[\\'\n\r\t\b\f\0]/g, one => CONTROL_ESCAPES[one] ?? `\\${one}`);
  const forms = new Set<string>();
  for (const form of [
    written,
    value,
    escaped,
    value.replaceAll("'", "''"),
    JSON.stringify(value).slice(1, -1),
  ]) {
    forms.add(form);
    forms.add(form.replace(/\s/g, ' '));
    forms.add(form.replace(/\s+/g, ' ').trim());
    forms.add(form.replace(LONE, '\ufffd'));
    forms.add(form.replace(LONE, one => `\\x${(one.charCodeAt(0) & 0xff).toString(16).toUpperCase()}`));
  }
  forms.delete('');
  // The longest first, because one may be the beginning of another.
  return [...forms].sort((a, b) => b.length - a.length);
}

const LONE = /\p{Cs}/gu;

function withoutSecret(message: string, { forms, leads }: Secret): string {
  let text = withoutQuoted(message, leads, forms);
  for (const form of forms) {
    if (form.length >= LONG) text = withoutText(text, form);
    else if (form.length >= SHORT) text = withoutWord(text, form);
  }
  return text;
}

// Only this much of a long form is searched for; the rest is compared, so that no text takes quadratic time.
const LOOKED_FOR = 64;

function withoutText(text: string, form: string): string {
  const start = form.slice(0, LOOKED_FOR);
  let result = '';
  let from = 0;
  for (let at = text.indexOf(start); at !== -1; at = text.indexOf(start, from)) {
    result += text.slice(from, at) + HIDDEN;
    from = at + commonLength(text, at, form);
  }
  return from === 0 ? text : result + text.slice(from);
}

// What follows a string that a server has cut off.
const CUT = /^(?:$|\s*$|\.{1,3}(?:\s|$)|\u2026|\ufffd|\s?\()/;

// Hides, after each mark of `leads`, the longest of the forms found there: the whole form, or its beginning if the
// server has cut it off.
function withoutQuoted(text: string, leads: string, forms: readonly string[]): string {
  let result = '';
  let from = 0;
  const marks = /['"`\u2018\u201c$:=/]/g;
  for (let mark = marks.exec(text); mark !== null; mark = marks.exec(text)) {
    const lead = mark[0];
    if (!leads.includes(lead)) continue;
    const start = mark.index + 1;
    let length = 0;
    let isWhole = false;
    for (const form of forms) {
      const common = commonLength(text, start, form);
      const following = text.charAt(start + common);
      const closes = common === form.length && following !== '' && (CLOSES[lead] ?? '').includes(following);
      if (closes ? isWhole && common <= length : isWhole || common <= length) continue;
      length = common;
      isWhole = closes;
    }
    let end = start + length;
    if (length === 0 || (!isWhole && length < SHORT && !CUT.test(text.slice(end, end + 6)))) continue;
    const isQuote = QUOTES.includes(lead);
    if (isWhole && isQuote) end += 1;
    result += isQuote ? text.slice(from, mark.index) + HIDDEN : `${text.slice(from, start)}...`;
    from = end;
    marks.lastIndex = end;
  }
  return from === 0 ? text : result + text.slice(from);
}

function commonLength(text: string, start: number, form: string): number {
  let length = 0;
  while (length < form.length && text.charCodeAt(start + length) === form.charCodeAt(length)) length += 1;
  return length;
}

const BEHIND_URL_PART = '@&;/?# \'"';
const CLOSES: Readonly<Record<string, string>> = {
  ...CLOSING,
  $: '$',
  ':': BEHIND_URL_PART,
  '=': BEHIND_URL_PART,
  '/': BEHIND_URL_PART,
};

const IN_WORD = /[\p{L}\p{N}_]/u;

function withoutWord(text: string, form: string): string {
  const parts = text.split(form);
  let result = parts[0] ?? '';
  let before = result;
  for (const part of parts.slice(1)) {
    const isWord =
      (IN_WORD.test(before.slice(-1)) && IN_WORD.test(form.charAt(0))) ||
      (IN_WORD.test(part.charAt(0)) && IN_WORD.test(form.slice(-1)));
    result += (isWord ? form : HIDDEN) + part;
    before = part === '' ? (isWord ? form : HIDDEN) : part;
  }
  return result;
}

// Hides what is in the message where a secret would be in SQL, including views and tables that the message repeats.
function withoutPlaces(message: string): string {
  const places = secretPlaces(message, { prose: true }).sort((a, b) => a.token.start - b.token.start);
  let text = '';
  let from = 0;
  for (const { token, parameter } of places) {
    if (parameter !== undefined || token.start < from || token.text === '...' || token.text === '') continue;
    text += message.slice(from, token.start) + HIDDEN;
    from = token.end;
  }
  return text + message.slice(from);
}

// Keys that are recognised by how they begin: AWS, GitHub, GitLab, Slack, Stripe and OpenAI, Google, JSON web tokens.
const KEY =
  /^(?:(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z\d]{8,}|gh[opsur]_\w{10,}|github_pat_\w{10,}|glpat-[\w-]{10,}|xox[abeprs]-[\w-]{10,}|[sr]k[-_](?:live|test|proj|ant)[\w-]{8,}|AIza[\w-]{20,}|npm_\w{20,}|eyJ[\w-]{6,}\.[\w.-]*)/;
// To the next end marker, or to the end of the text.
const PRIVATE_KEY =
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END(?: [A-Z ]{0,40}PRIVATE KEY-----)?|$)/g;
// `PWD=x;` of connection strings, if the value is not quoted.
const PAIR = /\b(pwd|password|accountkey|sharedaccesskey|sharedaccesssignature)=[^;&'"\s]+/gi;
const SCHEME = /\b(Bearer|Basic)\s+[\w.~+/=-]{6,}/g;

/**
 * Returns the text without what has the form of a key: access keys and tokens of the large providers, private keys in
 * PEM, the user and password of URLs, parameters of URLs with names of secrets, and tokens after `Bearer` and `Basic`.
 */
function withoutKeys(message: string): string {
  let text = message;
  if (text.includes('PRIVATE KEY-----')) text = text.replace(PRIVATE_KEY, HIDDEN);
  if (text.includes('://')) text = text.replace(/[^\s'"`<>]+/g, withoutUrlSecrets);
  return text
    .replace(PAIR, '$1=...')
    .replace(SCHEME, '$1 ...')
    .replace(/[\w.-]{12,}/g, word => word.replace(KEY, '...'));
}

function withoutUrlSecrets(word: string): string {
  const from = word.indexOf('://');
  if (from === -1) return word;
  // Everything up to the last @ may be a password.
  const at = word.lastIndexOf('@');
  const rest = at < from ? word.slice(from + 3) : `***@${word.slice(at + 1)}`;
  return (
    word.slice(0, from + 3) +
    rest.replace(/([?&;])([^?&;=]*)=([^?&;]*)/g, (whole, mark: string, name: string, value: string) =>
      value !== '' && namesHiddenValue(name) ? `${mark}${name}=...` : whole,
    )
  );
}

/** Returns the passwords of the URLs in a text, and the values of their parameters with names of secrets. */
function partsOfUrls(text: string): string[] {
  if (!text.includes('://')) return [];
  const parts: string[] = [];
  for (const [word] of text.matchAll(/[^\s'"`<>]+/g)) {
    const from = word.indexOf('://');
    if (from === -1) continue;
    const at = word.lastIndexOf('@');
    const colon = word.indexOf(':', from + 3);
    if (at > from) parts.push(word.slice(colon === -1 || colon > at ? from + 3 : colon + 1, at));
    for (const [, name = '', value = ''] of word.matchAll(/[?&;]([^?&;=]*)=([^?&;]*)/g)) {
      if (namesHiddenValue(name)) parts.push(value);
    }
  }
  return parts;
}
