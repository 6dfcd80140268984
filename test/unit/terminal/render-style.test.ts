import { describe, expect, it } from 'vitest';
import {
  createStyle,
  type Environment,
  usableColumns,
  wantsColor,
  wantsLive,
  wantsUnicode,
  withoutColor,
} from '../../../src/cli/terminal/style.js';
import { renderTable, type TableColumn } from '../../../src/cli/terminal/table.js';
import { displayWidth } from '../../../src/cli/terminal/text.js';

const ESC = '\x1b';

describe('wantsColor', () => {
  const cases: [title: string, env: Environment, isTTY: boolean, wanted: boolean][] = [
    ['a terminal', {}, true, true],
    ['no terminal', {}, false, false],
    ['NO_COLOR', { NO_COLOR: '1' }, true, false],
    ['an empty NO_COLOR says nothing', { NO_COLOR: '' }, true, true],
    ['NO_COLOR beats FORCE_COLOR', { NO_COLOR: '1', FORCE_COLOR: '1' }, true, false],
    ['FORCE_COLOR without a terminal', { FORCE_COLOR: '1' }, false, true],
    ['FORCE_COLOR beats TERM=dumb', { FORCE_COLOR: '3', TERM: 'dumb' }, false, true],
    ['FORCE_COLOR=0', { FORCE_COLOR: '0' }, true, false],
    ['FORCE_COLOR=false', { FORCE_COLOR: 'false' }, true, false],
    ['TERM=dumb', { TERM: 'dumb' }, true, false],
    ['CI without a terminal', { CI: 'true' }, false, true],
    ['CI=false without a terminal', { CI: 'false' }, false, false],
    ['TERM=dumb in CI', { CI: 'true', TERM: 'dumb' }, false, false],
  ];
  it.each(cases)('%s', (_title, env, isTTY, wanted) => {
    expect(wantsColor(env, isTTY)).toBe(wanted);
  });
});

describe('wantsUnicode', () => {
  const cases: [env: Environment, platform: string, wanted: boolean][] = [
    [{ LANG: 'en_US.UTF-8' }, 'linux', true],
    [{ LANG: 'C.utf8' }, 'linux', true],
    [{ LANG: 'en_US.UTF-8', LC_ALL: 'C' }, 'linux', false],
    [{ LANG: 'en_US.UTF-8', LC_ALL: '' }, 'linux', true],
    [{ LC_CTYPE: 'UTF-8' }, 'darwin', true],
    [{}, 'linux', false],
    [{}, 'darwin', true],
    [{ LANG: 'en_US.UTF-8', TERM: 'linux' }, 'linux', false],
  ];
  it.each(cases)('%j on %s: %s', (env, platform, wanted) => {
    expect(wantsUnicode(env, platform)).toBe(wanted);
  });
});

describe('wantsLive', () => {
  it.each([
    [{}, true, true],
    [{}, false, false],
    [{ TERM: 'dumb' }, true, false],
    [{ CI: '1' }, true, false],
  ] as [Environment, boolean, boolean][])('%j, terminal %s: %s', (env, isTTY, wanted) => {
    expect(wantsLive(env, isTTY)).toBe(wanted);
  });
});

describe('createStyle', () => {
  it('colours only when it is told to, whatever the environment says', () => {
    expect(createStyle({ color: true, unicode: true }).paint.bad('x')).toBe(`${ESC}[31mx${ESC}[39m`);
    expect(createStyle({ color: false, unicode: true }).paint.bad('x')).toBe('x');
    expect(withoutColor(createStyle({ color: true, unicode: true })).paint.strong('x')).toBe('x');
  });

  it.each([
    [undefined, 80],
    [0, 80],
    [Number.NaN, 80],
    [120, 120],
    [3, 20],
  ])('columns %s count as %i', (columns, wanted) => {
    expect(createStyle({ color: false, unicode: true, columns }).columns).toBe(wanted);
  });

  it('usableColumns keeps a narrow terminal as it is', () => {
    expect(usableColumns(3)).toBe(3);
    expect(usableColumns(0)).toBeUndefined();
  });

  it('uses nothing but ASCII without unicode', () => {
    const { marks, foreign } = createStyle({ color: false, unicode: false });
    expect(Object.values(marks).flat().join('') + foreign('ö')).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe('renderTable', () => {
  const columns: TableColumn[] = [
    { title: 'unit', shrink: 'middle' },
    { title: 'lines', align: 'right' },
    { title: 'verdict' },
  ];
  const rows = [
    ['2down/BTCUSDT_750', '12,345', 'complete'],
    ['2down/ETHUSDT_1000', '290', 'errors'],
  ];
  const style = (width: number, color = false) => createStyle({ color, unicode: true, columns: width });

  it('aligns numbers to the right and ends no line in spaces', () => {
    expect(renderTable(columns, rows, style(80))).toBe(
      [
        'unit                 lines  verdict',
        '2down/BTCUSDT_750   12,345  complete',
        '2down/ETHUSDT_1000     290  errors',
      ].join('\n'),
    );
  });

  it('cuts the column that may shrink, first', () => {
    expect(renderTable(columns, rows, style(30), 2)).toBe(
      [
        '  unit         lines  verdict',
        '  2down…_750  12,345  complete',
        '  2down…1000     290  errors',
      ].join('\n'),
    );
  });

  it.each([20, 24, 33, 40])('is never wider than %i columns', width => {
    for (const line of renderTable(columns, rows, style(width)).split('\n')) {
      expect(displayWidth(line)).toBeLessThanOrEqual(width);
    }
  });

  it('escapes what is in the cells and is coloured only by the style', () => {
    const text = renderTable([{ title: 'query' }], [['a\x1b[31mb\nc']], style(80));
    expect(text).toBe('query\na\\x1b[31mb\\nc');
    expect(renderTable([{ title: 'query' }], [['a']], style(80, true))).toBe(`${ESC}[2mquery${ESC}[22m\na`);
  });

  it('colours cells without moving them', () => {
    const verdicts: TableColumn[] = [
      { title: 'verdict', paint: cell => (cell === 'ok' ? 'good' : undefined) },
      { title: 'n' },
    ];
    expect(
      renderTable(
        verdicts,
        [
          ['ok', '1'],
          ['no', '2'],
        ],
        style(80, true),
      )
        .split('\n')
        .slice(1),
    ).toEqual([`${ESC}[32mok${ESC}[39m       1`, 'no       2']);
  });

  it('keeps wide characters in their columns', () => {
    const text = renderTable(
      [{ title: 'a' }, { title: 'n', align: 'right' }],
      [
        ['漢字', '1'],
        ['x', '22'],
      ],
      style(80),
    );
    expect(text).toBe('a      n\n漢字   1\nx     22');
  });

  it('has only its titles without rows', () => {
    expect(renderTable(columns, [], style(80))).toBe('unit  lines  verdict');
  });
});
