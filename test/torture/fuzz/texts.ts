import fc from 'fast-check';
import { escapeControls } from '../../../src/cli/terminal/controls.js';
import { clip, clipMiddle, displayWidth, padEnd, padStart, wrap } from '../../../src/cli/terminal/text.js';
import { checkedSweepName, sweepNameOf } from '../../../src/core/queue/labels.js';
import { formatSize, parseSize } from '../../../src/core/text/bytes.js';
import { formatDuration, MAX_DURATION_MS, parseDuration } from '../../../src/core/text/duration.js';
import { looksSecret } from '../../../src/core/text/secret-names.js';
import { pasteableWord, shellWord } from '../../../src/core/text/shell.js';
import { shownArguments, shownUrl, withoutOptionValue } from '../../../src/core/text/shown-urls.js';
import { formatHalt, parseHalt } from '../../../src/core/unit/halt.js';
import { logName, unitId } from '../../../src/core/unit/names.js';
import { nameMatcher } from '../../../src/core/unit/selection.js';
import { must, textOf } from './grammar.js';
import { type Target, target } from './trial.js';

const NAMES: readonly string[] = [
  'a',
  'B',
  '/',
  '__',
  '_',
  '.',
  '..',
  '@',
  '=',
  ',',
  '%',
  '%2C',
  '~',
  ' ',
  '\n',
  '\x1b[31m',
  'é',
  '\u202e',
];
const SCREEN: readonly string[] = [
  ' ',
  'a',
  '\x1b[2J',
  '\x07',
  '\x9b',
  '\u202e',
  '\u200d',
  '👩‍👩‍👧',
  '中',
  'e\u0301',
  '\ud800',
  '\r',
  '\n',
  '\t',
];
const GLOBS: readonly string[] = [
  '*',
  '**',
  '?',
  '[',
  ']',
  '[a-z]',
  '{a,b}',
  '{1..9}',
  '!',
  '(',
  ')',
  '+(',
  '@(',
  '*(',
  '|',
  '\\',
  '/',
  'a',
  'b',
  '.sql',
  '.',
  '^',
  '$',
];
const NUMBERS: readonly string[] = [
  '0',
  '1',
  '9',
  '.',
  '-',
  '+',
  'e',
  'ms',
  's',
  'm',
  'h',
  'K',
  'M',
  'G',
  'T',
  'i',
  'B',
  '%',
  ' ',
  '=',
  'same',
  'never',
  ',',
  ':',
];
const SECRETS: readonly string[] = [
  'http://',
  'u:p@',
  '@',
  '?password=',
  '#',
  '-',
  '--',
  '=',
  "unknown option '-",
  "'",
  'a',
  '/',
  ':',
];
// What a terminal acts on, or what turns the order of the text around.
const DANGEROUS = /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

/** Numbers, names, globs, words of a shell, and what is made for the terminal. */
export const TEXTS: readonly Target[] = [
  target('numbers', 1500, textOf(NUMBERS, 8), text => {
    const ms = parseDuration(text);
    must(ms === undefined || (Number.isInteger(ms) && ms >= 0 && ms <= MAX_DURATION_MS), 'no duration');
    const bytes = parseSize(text);
    must(bytes === undefined || (Number.isSafeInteger(bytes) && bytes >= 0), 'no size');
    if (ms !== undefined) formatDuration(ms);
    if (bytes !== undefined)
      must(parseSize(formatSize(bytes)) !== undefined, 'a size that cannot be read again');
    const halt = parseHalt(text);
    if (halt !== undefined)
      must(parseHalt(formatHalt(halt)) !== undefined, 'a limit that cannot be read again');
  }),
  target(
    'names',
    500,
    fc.tuple(textOf(NAMES, 10), textOf(NAMES, 10), textOf(NAMES, 4)),
    ([one, other, value]) => {
      const units = [unitId(one, { p: value }), unitId(other, { p: value }), unitId(one, { p: other })];
      const files = units.map(unit => logName(unit));
      for (const file of files)
        must(
          /^[\x21-\x7e]{1,255}$/.test(file) && !file.includes('/') && !file.startsWith('.'),
          `no file name: ${file}`,
        );
      const distinct = new Set(units.map(unit => unit.toWellFormed())).size;
      must(new Set(files).size >= distinct, 'two units have one log');
      checkedSweepName(sweepNameOf(one));
      looksSecret(one);
    },
  ),
  target(
    'globs',
    600,
    fc.tuple(textOf(GLOBS, 24), textOf(['a', 'b', '/', '.', 'ab'], 30), fc.nat(300)),
    ([glob, name, length]) => {
      const matches = nameMatcher([glob || '*'], false);
      for (const one of [name, 'a'.repeat(length), `${'a/'.repeat(length % 40)}b`])
        matches(one.slice(0, 4096));
    },
  ),
  target('screen', 800, fc.tuple(textOf(SCREEN), fc.integer({ min: 0, max: 100 })), ([text, width]) => {
    const safe = escapeControls(text);
    must(!DANGEROUS.test(safe), 'a control character is shown');
    must(!/[^\x20-\x7e]/.test(escapeControls(text, true)), 'more than ASCII is shown');
    const all = displayWidth(safe);
    must(displayWidth(clip(safe, width, '...')) <= Math.max(width, 0), 'clipped too late');
    must(
      displayWidth(clipMiddle(safe, width, '...')) <= Math.max(width, 0),
      'clipped too late in the middle',
    );
    must(displayWidth(padEnd(safe, width)) === Math.max(all, width), 'filled wrongly');
    must(displayWidth(padStart(safe, width)) === Math.max(all, width), 'filled wrongly in front');
    wrap(safe, width);
  }),
  target(
    'shell-words',
    500,
    textOf(["'", '"', '$(id)', '`id`', ';', '\n', '\\', '-', '=', 'a', '\x1b', 'é']),
    text => {
      const word = shellWord(text);
      must(/^(?:[\w@%+=:,./-]+|'[^']*'(?:\\''[^']*')*)$/.test(word), 'a word that a shell reads as more');
      must(!/\p{Cc}/u.test(pasteableWord(text)), 'a control character is pasted');
    },
  ),
  target('secrets', 800, textOf(SECRETS), text => {
    const secret = 'zqPASSWORDzq';
    must(!shownUrl(`http://u:${secret}@h/${text}`).includes(secret), 'a password is shown');
    must(
      !shownArguments([`--url=http://u:${secret}@h/${text}`])[0]?.includes(secret),
      'a password is recorded',
    );
    shownArguments([text]);
    withoutOptionValue(text);
    shownUrl(text);
  }),
];
