import { QrunError } from '../core/errors.js';

/**
 * A URL as it may be shown: without user and password, which end at its last `@`, and without its parameters,
 * which may hold a password too. Texts that are no URL are treated alike.
 */
export function shownUrl(url: string): string {
  return url.replace(/^([a-z][a-z\d+.-]*:\/\/)?.*@/is, '$1***@').replace(/[?#].*$/s, '?...');
}

/** A command line as it may be recorded: every URL in it as {@link shownUrl} shows it. */
export function shownArguments(args: readonly string[]): string[] {
  return args.map(arg => {
    const at = /[a-z][a-z\d+.-]*:\/\//i.exec(arg)?.index;
    return at === undefined ? arg : arg.slice(0, at) + shownUrl(arg.slice(at));
  });
}

/** The message about an option that does not exist, without the value: `--pasword=secret` is a mistyped one. */
export function withoutOptionValue(message: string): string {
  return message.replace(/(unknown option '-[^'=\s]*=).*'/s, "$1...'");
}

/** Refuses a URL that holds a password, before it is written anywhere. Errors: QrunError `CONFIG`. */
export function refusePasswordInUrl(url: string): void {
  if (!/^[a-z][a-z\d+.-]*:\/\/[^/]*:.*@/i.test(url)) return;
  throw new QrunError('CONFIG', `the ClickHouse URL "${shownUrl(url)}" holds a password`, {
    hint: 'give it in CLICKHOUSE_PASSWORD in .env or in a password file',
  });
}
