import { inspect } from 'node:util';
import { QrunError } from '../../core/errors.js';
import type { Style } from './style.js';

const MAX_DETAILS = 20;
const INDENT = '  ';
// Causes can form a cycle.
const MAX_CAUSES = 5;

/**
 * Returns what is shown of an error that ends the process, ending with a newline. For a QrunError: its message, its
 * details (at most twenty), its hint. Anything else is a bug: its stack, those of its causes, and the request to
 * report it. Only messages and stacks are shown, never other properties, which could hold anything.
 */
export function renderError(error: unknown, style: Style): string {
  const lines = error instanceof QrunError ? qrunErrorLines(error, style) : bugLines(error, style);
  return `${lines.join('\n')}\n`;
}

// Lines are not wrapped: a hint may hold a command to copy, and logs are searched by line.
function qrunErrorLines(error: QrunError, style: Style): string[] {
  const { paint } = style;
  const lines = labelledLines('qrun: ', paint.bad, error.message, style);
  for (const detail of error.details.slice(0, MAX_DETAILS)) {
    lines.push(...safeLines(detail, style).map(line => INDENT + line));
  }
  const hidden = error.details.length - MAX_DETAILS;
  if (hidden > 0) lines.push(`${INDENT}... and ${hidden} more`);
  if (error.hint !== undefined) lines.push(...labelledLines('hint: ', paint.accent, error.hint, style, ' '));
  return lines;
}

/**
 * Returns a text with a label before its first line, and its other lines indented by the same width. These begin with
 * `bar`, so that no line of a message from elsewhere looks like one of ours; a hint, which may be copied, has none.
 */
function labelledLines(
  label: string,
  color: (text: string) => string,
  text: string,
  style: Style,
  bar = '|',
): string[] {
  const room = `${' '.repeat(label.length - 2)}${bar} `;
  return safeLines(text, style).map((line, index) => (index === 0 ? color(label) : room) + line);
}

/** Returns the lines of a text from elsewhere; only its line ends still take effect. */
function safeLines(text: string, style: Style): string[] {
  return text.split(/\r?\n/).map(line => style.foreign(line.replaceAll('\t', '    ')));
}

function bugLines(error: unknown, style: Style): string[] {
  const lines = [`${style.paint.bad('qrun: ')}this is a bug in qrun`, ''];
  let current: unknown = error;
  let depth = 0;
  // At least once: undefined can be thrown too.
  do {
    const text = stackOf(current);
    // A stack is copied into a report, so its lines are not wrapped.
    lines.push(...safeLines(depth === 0 ? text : `caused by: ${text}`, style).map(line => INDENT + line));
    current = causeOf(current);
    depth++;
  } while (current !== undefined && depth < MAX_CAUSES);
  lines.push('', `${style.paint.accent('hint: ')}please report it with the text above`);
  return lines;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function stackOf(error: unknown): string {
  // Anything can be thrown, with getters and toString methods that throw in turn.
  try {
    if (!(error instanceof Error)) return `thrown: ${describe(error)}`;
    const title = `${error.name}: ${error.message}`;
    const stack = typeof error.stack === 'string' ? error.stack : '';
    const text = stack.includes(error.message) ? stack : `${title}\n${stack}`;
    if (!(error instanceof AggregateError)) return text;
    return [text, ...error.errors.slice(0, MAX_CAUSES).map(inner => `one of: ${stackOf(inner)}`)].join('\n');
  } catch {
    return 'thrown: a value that cannot be shown';
  }
}

function describe(value: unknown): string {
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function';
  if (!isObject) return inspect(value, { maxStringLength: 500 });
  return `${Object.prototype.toString.call(value)} with keys ${Object.keys(value).slice(0, MAX_DETAILS).join(', ')}`;
}
