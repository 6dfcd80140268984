import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAst } from 'rolldown/parseAst';
import { describe, expect, it } from 'vitest';
import { escapeControls } from '../../src/cli/terminal/controls.js';
import { clip, clipMiddle, displayWidth, wrap } from '../../src/cli/terminal/text.js';
import { parseExceptionTail, parseServerError } from '../../src/core/engines/failure.js';
import { literalValue, secretPlaces } from '../../src/core/sql/guard/secrets.js';
import { redactText } from '../../src/core/text/redact.js';
import { looksSecret, namesHiddenValue } from '../../src/core/text/secret-names.js';
import { shownArguments, shownUrl, withoutOptionValue } from '../../src/core/text/shown-urls.js';
import { failureKey } from '../../src/core/unit/halt.js';
import { ROOT } from '../built.js';

interface Found {
  readonly file: string;
  readonly pattern: string;
  readonly flags: string;
}

// Every regular expression that is written in the sources.
function expressions(): Found[] {
  const found: Found[] = [];
  for (const file of readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts') || file.endsWith('.d.ts')) continue;
    const walk = (node: unknown): void => {
      if (typeof node !== 'object' || node === null) return;
      const { regex } = node as { regex?: { pattern: string; flags: string } };
      if (regex !== undefined) found.push({ file, pattern: regex.pattern, flags: regex.flags });
      for (const value of Object.values(node)) walk(value);
    };
    walk(parseAst(readFileSync(join(ROOT, 'src', file), 'utf8'), { lang: 'ts' }));
  }
  return found;
}

// Those that would take time by the square of what they are given, and why they are never given much.
const BOUNDED: Readonly<Record<string, string>> = {
  '\\B(?=(\\d{3})+$)': 'the digits of a number',
};

/** Texts that lead expressions astray: what they look for, over and over, and then something that does not fit. */
function astray(pattern: string): string[] {
  const words = pattern.match(/[A-Za-z_]{2,}|[^\\\s]/g) ?? [];
  const units = new Set([...words, ' ', '\n', '\r', '\t', 'a', 'A', '0', '"', "'", '/', '.', '=', '\u00e9']);
  const all = [...units].flatMap(unit => [unit, `${unit} `, `${unit}a`, `a${unit}`]);
  return [...new Set(all)];
}

const SIZES = [300, 3_000, 24_000];
// What a linear expression takes for the largest text is under 2 ms; one by the square takes half a second.
const LIMIT_MS = 60;

function shortest(work: () => void): number {
  let best = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 3 && best > LIMIT_MS; n += 1) {
    const start = performance.now();
    work();
    best = Math.min(best, performance.now() - start);
  }
  return best;
}

const all = expressions();

it('finds the expressions', () => {
  expect(all.length).toBeGreaterThan(100);
});

it('no expression of the sources takes time by the square of a text', () => {
  const slow: string[] = [];
  for (const { file, pattern, flags } of all) {
    if (BOUNDED[pattern] !== undefined) continue;
    const expression = new RegExp(pattern, flags);
    const use = (text: string): void => {
      expression.lastIndex = 0;
      if (flags.includes('g')) text.replace(expression, '');
      else expression.exec(text);
    };
    for (const unit of astray(pattern)) {
      // An expression that takes time by a power shows already at a small text, and is not given the large one.
      const isSlow = SIZES.some(size => {
        const text = `${unit.repeat(Math.ceil(size / unit.length))}\u0001`;
        return shortest(() => use(text)) > LIMIT_MS;
      });
      if (!isSlow) continue;
      slow.push(`${file}: /${pattern}/${flags} on ${JSON.stringify(unit)}`);
      break;
    }
  }
  expect(slow).toEqual([]);
}, 120_000);

const TEXT_FUNCTIONS: Readonly<Record<string, (text: string) => unknown>> = {
  displayWidth,
  escapeControls,
  'escapeControls to ASCII': text => escapeControls(text, true),
  wrap: text => wrap(text, 80),
  clip: text => clip(text, 80, '...'),
  clipMiddle: text => clipMiddle(text, 80, '...'),
  shownUrl,
  shownArguments: text => shownArguments([text]),
  withoutOptionValue: text => withoutOptionValue(`unknown option '-${text}`),
  redactText,
  'redactText with a secret': text => redactText(`PASSWORD '${text}`),
  literalValue,
  secretPlaces: text => secretPlaces(`BY ${text}`, { prose: false }),
  looksSecret,
  namesHiddenValue,
  parseServerError: text => parseServerError(`Code: 62. DB::Exception: ${text}`),
  parseExceptionTail: text => parseExceptionTail(text, undefined),
  failureKey: message => failureKey({ code: 62, name: 'X', kind: 'permanent', message }),
};

const TEXTS: Readonly<Record<string, string>> = {
  letters: 'a',
  words: 'a ',
  blanks: ' ',
  'line ends': '\n',
  digits: '0',
  slashes: '/',
  urls: 'http://a:b@c/?sig=d&',
  schemes: 'a:',
  'colon slash': '://',
  at: '@',
  quotes: "'",
  'double quotes': '"',
  'escaped quotes': "\\'",
  backslashes: '\\',
  brackets: '(',
  'closed brackets': '()',
  calls: 's3(',
  arguments: "'a',",
  identified: "IDENTIFIED BY 'x' ",
  passwords: "password='x",
  by: "BY'",
  comments: '/*',
  dashes: '--',
  dollars: '$',
  heredocs: '$a$',
  'heredocs, each with a tag of its own': '$%$ ',
  pem: '-----BEGIN PRIVATE KEY-----',
  jwt: 'eyJ',
  akia: 'AKIA',
  bearer: 'Bearer ',
  equals: 'PWD=',
  markers: '__exception__\r\n',
  codes: 'Code: 1. DB::Exception: ',
  names: '(AA) (version ',
  'letters beyond ASCII': '\u00e9',
  'words beyond ASCII': '\u00e9 ',
  marks: '\u0301',
  'letters with marks': 'e\u0301',
  joined: '\u{1f468}\u200d',
  flags: '\u{1f1e9}',
  halves: '\ud800',
  controls: '\u001b',
  bidi: '\u202e',
};

const MIB = 1024 * 1024;

// `%` is another number each time.
function repeated(unit: string, count: number): string {
  if (!unit.includes('%')) return unit.repeat(count);
  return Array.from({ length: count }, (_, i) => unit.replace('%', String(i))).join('');
}

describe.each(Object.entries(TEXT_FUNCTIONS))('%s', (_, work) => {
  it('takes time by the length of a text, whatever is in it', () => {
    const slow: string[] = [];
    for (const [name, unit] of Object.entries(TEXTS)) {
      const time = (bytes: number): number => {
        const text = repeated(unit, Math.ceil(bytes / unit.length));
        const start = performance.now();
        work(text);
        return performance.now() - start;
      };
      // Eight times by the length; by the square it would be 64 times, and seconds. On a busy machine one look may be
      // wrong.
      const isSlow = (): boolean => {
        const whole = time(MIB / 4);
        return whole > 150 && whole > 24 * time(MIB / 32);
      };
      if (isSlow() && isSlow() && isSlow()) slow.push(name);
    }
    expect(slow).toEqual([]);
  }, 120_000);
});
