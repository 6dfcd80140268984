import { QrunError } from '../errors.js';

/**
 * Returns a URL as it may be shown: without user and password, which end at its last `@`, and without its parameters,
 * which may contain a password too. Strings that are not URLs are treated in the same way.
 */
export function shownUrl(url: string): string {
  const [scheme = ''] = /^[a-z][a-z\d+.-]*:\/\//i.exec(url) ?? [];
  const at = url.lastIndexOf('@');
  const query = url.search(/[?#]/);
  // An @ after a `?` may belong to a password on either side of it.
  if (query !== -1 && query < at) return `${scheme}***`;
  const host = at === -1 ? url.slice(scheme.length) : `***@${url.slice(at + 1)}`;
  return scheme + host.replace(/[?#].*$/s, '?...');
}

/** Returns a command line as it may be recorded: each URL in it as by {@link shownUrl}. Linear in its length. */
export function shownArguments(args: readonly string[]): string[] {
  return args.map(arg => {
    const mark = arg.indexOf('://');
    if (mark === -1) return arg;
    // The scheme is searched for from the mark backwards, because an expression for both takes quadratic time.
    let at = mark;
    while (at > 0 && /[a-z\d+.-]/i.test(arg.charAt(at - 1))) at -= 1;
    while (at < mark && !/[a-z]/i.test(arg.charAt(at))) at += 1;
    return arg.slice(0, at) + shownUrl(arg.slice(at));
  });
}

/**
 * Returns the message about an unknown option without the value: `--pasword=secret` and `-psecret` are typing
 * mistakes.
 */
export function withoutOptionValue(message: string): string {
  return message
    .replace(/(unknown option '-[^'=\s]*=).*'/s, "$1...'")
    .replace(/(unknown option '-[^-'\s])[^'\s=].*'/s, "$1...'");
}

/** Refuses a URL that contains a password, before it is written anywhere. Errors: QrunError `CONFIG`. */
export function refusePasswordInUrl(url: string): void {
  // `http:me:secret@host` is a URL with a password too.
  const isParsed = URL.canParse(url) && new URL(url).password !== '';
  if (!isParsed && !/^[a-z][a-z\d+.-]*:\/\/[^/]*:.*@/i.test(url)) return;
  throw new QrunError('CONFIG', `the ClickHouse URL "${shownUrl(url)}" holds a password`, {
    hint: 'give it in CLICKHOUSE_PASSWORD in .env or in a password file',
  });
}
