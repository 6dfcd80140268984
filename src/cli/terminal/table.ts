import type { Paint, Style } from './style.js';
import { clip, clipMiddle, displayWidth } from './text.js';

/** One column of a table. */
export interface TableColumn {
  readonly title: string;
  /** Numbers are right-aligned; everything else is left-aligned, which is the default. */
  readonly align?: 'left' | 'right';
  /**
   * What happens if the table is wider than the terminal: `end` and `middle` cut the text there, `keep` (the default)
   * leaves the column as it is. If all columns are kept, the widest is cut at its end.
   */
  readonly shrink?: 'end' | 'middle' | 'keep';
  /** The colour of a cell, chosen by its whole text; none if omitted. */
  readonly paint?: (cell: string) => keyof Paint | undefined;
}

const GAP = 2;
// If a table is too wide, columns shrink in these steps: first those that are meant to, then any (a broken line is
// worse than a cut number); six columns still show the start of a name.
const SHRINK_STEPS = [
  { onlyWilling: true, atLeast: 6 },
  { onlyWilling: false, atLeast: 6 },
  { onlyWilling: false, atLeast: 1 },
] as const;

/**
 * Returns a table without borders, with a line for the titles and one for each row, cut to the width of the terminal.
 * No line ends in spaces, and there is no newline at the end. Cells are plain text and may come from elsewhere:
 * control characters in them are escaped. `indent` columns stay empty on the left.
 */
export function renderTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly string[])[],
  style: Style,
  indent = 0,
): string {
  const cells = rows.map(row => columns.map((_, index) => style.foreign(row[index] ?? '')));
  const widths = fitWidths(columns, cells, style.columns - indent);
  const ellipsis = style.marks.ellipsis;
  const lineOf = (texts: readonly string[], paintOf: (index: number) => (cell: string) => string): string => {
    const shown = columns.map(({ align, shrink }, index) => {
      const width = widths[index] ?? 0;
      const cut = (shrink === 'middle' ? clipMiddle : clip)(texts[index] ?? '', width, ellipsis);
      const room = ' '.repeat(Math.max(0, width - displayWidth(cut)));
      const painted = paintOf(index)(cut);
      return align === 'right' ? room + painted : painted + room;
    });
    return `${' '.repeat(indent)}${shown.join(' '.repeat(GAP))}`.trimEnd();
  };
  const titles = columns.map(({ title }) => title);
  return [
    style.paint.faint(lineOf(titles, () => text => text)),
    ...cells.map(row =>
      lineOf(row, index => {
        const color = columns[index]?.paint?.(row[index] ?? '');
        return color === undefined ? text => text : style.paint[color];
      }),
    ),
  ].join('\n');
}

/** Returns the width of each column, so that the table fits into `available` if possible. */
function fitWidths(
  columns: readonly TableColumn[],
  cells: readonly (readonly string[])[],
  available: number,
): number[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(1, displayWidth(title), ...cells.map(row => displayWidth(row[index] ?? ''))),
  );
  const excess = (): number =>
    widths.reduce((sum, width) => sum + width, 0) + GAP * (columns.length - 1) - available;
  for (const { onlyWilling, atLeast } of SHRINK_STEPS) {
    const mayShrink = (index: number): boolean =>
      (widths[index] ?? 0) > atLeast && (!onlyWilling || (columns[index]?.shrink ?? 'keep') !== 'keep');
    while (excess() > 0) {
      const widest = indexOfWidest(widths, mayShrink);
      if (widest === undefined) break;
      // One by one, so that columns of about the same width share the loss.
      widths[widest] = (widths[widest] ?? 0) - 1;
    }
  }
  return widths;
}

function indexOfWidest(widths: readonly number[], mayShrink: (index: number) => boolean): number | undefined {
  let found: number | undefined;
  widths.forEach((width, index) => {
    if (mayShrink(index) && (found === undefined || width > (widths[found] ?? 0))) found = index;
  });
  return found;
}
