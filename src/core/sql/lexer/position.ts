import { QrunError } from '../../errors.js';

/** A place in a text as editors show it: both counted from 1, the column in UTF-16 units. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Returns the line and column of a UTF-16 offset. Only line feeds end a line, as in ClickHouse. */
export function positionOf(text: string, offset: number): Position {
  let line = 1;
  let lineStart = 0;
  for (;;) {
    const lineFeed = text.indexOf('\n', lineStart);
    if (lineFeed === -1 || lineFeed >= offset) return { line, column: offset - lineStart + 1 };
    line += 1;
    lineStart = lineFeed + 1;
  }
}

/**
 * Returns a {@link QrunError} `SQL_INVALID` whose message begins with `line:column: `. If the caller puts the file name
 * and a colon before it, editors and terminals open the place on a click.
 */
export function sqlInvalid(text: string, offset: number, message: string, hint?: string): QrunError {
  const { line, column } = positionOf(text, offset);
  return new QrunError('SQL_INVALID', `${line}:${column}: ${message}`, hint === undefined ? {} : { hint });
}

/** What to do about a file that holds more than can be kept of it. */
export const SPLIT_HINT = 'split the file, or load the data in another way (INSERT ... FORMAT)';
