import { describe, expect, it } from 'vitest';
import { renderError } from '../../../src/cli/terminal/error.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { QrunError } from '../../../src/core/errors.js';

const style = createStyle({ color: false, unicode: true, columns: 80 });

describe('renderError of a QrunError', () => {
  it('is the message, the details and the hint, without a stack', () => {
    const error = new QrunError('CONFIG', '2 problems in /sweep/qrun.toml', {
      details: ['line 3: unknown key "paralel"', 'line 9: timeout must be positive, not 0'],
      hint: 'qrun config lists all keys',
      cause: new Error('not shown'),
    });
    expect(renderError(error, style)).toBe(
      [
        'qrun: 2 problems in /sweep/qrun.toml',
        '  line 3: unknown key "paralel"',
        '  line 9: timeout must be positive, not 0',
        'hint: qrun config lists all keys',
        '',
      ].join('\n'),
    );
  });

  it('is the message alone where there is no more', () => {
    expect(renderError(new QrunError('USAGE', 'no unit given'), style)).toBe('qrun: no unit given\n');
  });

  it.each([
    [20, 20, undefined],
    [21, 20, '  ... and 1 more'],
    [500, 20, '  ... and 480 more'],
  ])('of %i details shows %i', (count, shown, rest) => {
    const details = Array.from({ length: count }, (_, index) => `detail ${index}`);
    const lines = renderError(new QrunError('USAGE', 'm', { details, hint: 'h' }), style)
      .trimEnd()
      .split('\n');
    expect(lines.filter(line => line.startsWith('  detail'))).toHaveLength(shown);
    expect(lines.find(line => line.includes('more'))).toBe(rest);
    expect(lines.at(-1)).toBe('hint: h');
  });

  it('aligns further lines and escapes what could drive a terminal', () => {
    const error = new QrunError('LOG_DAMAGED', 'first\nsecond \x1b[2J', {
      details: ['a\r\nb\tc'],
      hint: 'x\ny',
    });
    expect(renderError(error, style)).toBe(
      'qrun: first\n    | second \\x1b[2J\n  a\n  b    c\nhint: x\n      y\n',
    );
  });

  it('keeps long lines whole, so that commands in them can be copied', () => {
    const hint = `run ${'x'.repeat(200)}`;
    expect(renderError(new QrunError('USAGE', 'm', { hint }), style)).toContain(`hint: ${hint}\n`);
  });

  it('colours only its labels', () => {
    const colored = createStyle({ color: true, unicode: true });
    expect(renderError(new QrunError('USAGE', 'm', { hint: 'h' }), colored)).toBe(
      '\x1b[31mqrun: \x1b[39mm\n\x1b[36mhint: \x1b[39mh\n',
    );
  });
});

describe('renderError of a bug', () => {
  it('is the stack, those of its causes, and the request to report it', () => {
    const text = renderError(new TypeError('x is not a function', { cause: new Error('the cause') }), style);
    expect(text).toMatch(/^qrun: this is a bug in qrun\n\n {2}TypeError: x is not a function\n {6}at /);
    expect(text).toMatch(/\n {2}caused by: Error: the cause\n {6}at /);
    expect(text).toMatch(/\n\nhint: please report it with the text above\n$/);
  });

  it('shows no properties, which could hold anything', () => {
    const error = Object.assign(new Error('request failed'), {
      headers: { authorization: 'Basic c2VjcmV0' },
    });
    expect(renderError(error, style)).not.toContain('c2VjcmV0');
    expect(renderError({ password: 'c2VjcmV0' }, style)).toContain('[object Object] with keys password');
    expect(renderError({ password: 'c2VjcmV0' }, style)).not.toContain('c2VjcmV0');
  });

  it('shows what an AggregateError holds', () => {
    const text = renderError(new AggregateError([new Error('one'), 'two'], 'both failed'), style);
    expect(text).toContain('AggregateError: both failed');
    expect(text).toContain('one of: Error: one');
    expect(text).toContain("one of: thrown: 'two'");
  });

  it('ends for causes in a ring', () => {
    const error = new Error('round');
    error.cause = error;
    expect(renderError(error, style).match(/Error: round/g)).toHaveLength(5);
  });

  const withoutStack = new Error('no stack');
  withoutStack.stack = undefined as unknown as string;
  const hostile = new Error('hostile');
  Object.defineProperty(hostile, 'stack', {
    get() {
      throw new Error('from the getter');
    },
  });
  it.each<[string, unknown, string]>([
    ['a string', 'plain text', "thrown: 'plain text'"],
    ['undefined', undefined, 'thrown: undefined'],
    ['null', null, 'thrown: null'],
    ['a symbol', Symbol('s'), 'thrown: Symbol(s)'],
    ['an object without prototype', Object.create(null), 'thrown: [object Object] with keys'],
    ['an error without a stack', withoutStack, 'Error: no stack'],
    ['an error that throws when looked at', hostile, 'thrown: a value that cannot be shown'],
    ['control characters', new Error('a\x1b[2Jb'), 'a\\x1b[2Jb'],
  ])('shows %s', (_title, thrown, wanted) => {
    const text = renderError(thrown, style);
    expect(text).toContain(wanted);
    expect(text).toContain('please report it');
    expect(text).not.toMatch(/[^\P{Cc}\n]/u);
  });
});
