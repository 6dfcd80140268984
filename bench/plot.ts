import type { BenchReport } from './report.js';
import { shown } from './result.js';

// Draws bars on a logarithmic axis, in one file and without a library. The drawing follows the reader's light or dark
// theme.

const WIDTH = 720;
const LEFT = 210;
const RIGHT = 70;
const BAR = 18;
const GAP = 10;
const TOP = 44;

const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #444; }
  .title { font-weight: 600; }
  .axis { font-size: 11px; fill: #777; }
  .grid { stroke: #8884; }
  .bar { fill: #9aa7b5; }
  .own { fill: #d9822b; }
  @media (prefers-color-scheme: dark) {
    text { fill: #ccc; } .axis { fill: #999; } .bar { fill: #5d6b7a; } .own { fill: #e8954a; }
  }`;

/** Returns the small queries per second of all peers as an SVG drawing. */
export function plot({ results }: BenchReport): string {
  const table = results.find(result => result.part === 'throughput')?.table;
  const bars = (table?.rows ?? []).flatMap(([name, , rate]) =>
    typeof rate === 'number' ? [{ name: String(name), rate }] : [],
  );
  bars.sort((a, b) => a.rate - b.rate);
  const highest = Math.ceil(Math.log10(Math.max(10, ...bars.map(bar => bar.rate)) * 1.05) * 2) / 2;
  const lowest = 0;
  const x = (rate: number): number =>
    LEFT + ((WIDTH - LEFT - RIGHT) * (Math.log10(rate) - lowest)) / (highest - lowest);
  const bottom = TOP + bars.length * (BAR + GAP);
  const grid = [0, 1, 2, 3, 4, 5]
    .filter(power => power >= lowest && power <= highest)
    .flatMap(power => {
      const at = x(10 ** power).toFixed(1);
      return [
        `<line class="grid" x1="${at}" y1="${TOP - 6}" x2="${at}" y2="${bottom}"/>`,
        `<text class="axis" x="${at}" y="${bottom + 16}" text-anchor="middle">${(10 ** power).toLocaleString('en-US')}</text>`,
      ];
    });
  const drawn = bars.flatMap(({ name, rate }, i) => {
    const y = TOP + i * (BAR + GAP);
    const own = name.startsWith('qrun') ? ' own' : '';
    return [
      `<text x="${LEFT - 10}" y="${y + 14}" text-anchor="end">${escaped(name)}</text>`,
      `<rect class="bar${own}" x="${LEFT}" y="${y}" width="${(x(rate) - LEFT).toFixed(1)}" height="${BAR}" rx="2"/>`,
      `<text x="${(x(rate) + 8).toFixed(1)}" y="${y + 14}">${shown(rate)}</text>`,
    ];
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${bottom + 28}" viewBox="0 0 ${WIDTH} ${bottom + 28}" role="img" aria-label="Small queries a second">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="${LEFT}" y="22">Small queries a second, 16 at once (logarithmic)</text>`,
    ...grid,
    ...drawn,
    '</svg>',
    '',
  ].join('\n');
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, character => `&#${character.charCodeAt(0)};`);
}
