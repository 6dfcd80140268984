// Creates docs/run.svg: the screen of a terminal in which the sample runs, captured by tmux in mid-run and at the end.
// usage: node scripts/picture.mjs [OUTPUT]      needs tmux and a built qrun; a developer's tool, not part of tests
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const COLUMNS = 92;
const ROWS = 34;
const CELL = { width: 8.4, height: 18 };
const PALETTE = {
  30: '#1c2128',
  31: '#f47067',
  32: '#57ab5a',
  33: '#c69026',
  34: '#539bf5',
  35: '#b083f0',
  36: '#39c5cf',
  37: '#adbac7',
  90: '#768390',
};

const directory = mkdtempSync(join(tmpdir(), 'qrun-picture-'));
const session = `qrun-picture-${process.pid}`;
const tmux = (...args) => execFileSync('tmux', ['-L', session, ...args], { encoding: 'utf8' });
const capture = () => tmux('capture-pane', '-p', '-e', '-t', session).trimEnd();
const pause = ms => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

function screenOfRun() {
  const command = `node bin/qrun.cjs unit ./sql -P16 --log-dir ${directory}/results --data-dir ${directory}/data`;
  tmux(
    'new-session',
    '-d',
    '-s',
    session,
    '-x',
    String(COLUMNS),
    '-y',
    String(ROWS),
    `LANG=C.UTF-8 ${command}; sleep 60`,
  );
  let middle = '';
  for (let waited = 0; waited < 120_000; waited += 50) {
    pause(50);
    const screen = capture();
    if (/\d+\/100/.test(screen) && /\b[4-7]\d%/.test(screen)) middle = screen;
    if (screen.includes('next')) return { middle, end: screen };
  }
  throw new Error(`the run did not end:\n${capture()}`);
}

const ESCAPE = '\u001b';
const SGR = new RegExp(`(${ESCAPE}\\[[\\d;]*m)`);

// Text with SGR escape codes -> runs of { text, style } for each line.
function parse(line) {
  const runs = [];
  let style = {};
  for (const part of line.split(SGR)) {
    const codes = part.startsWith(ESCAPE) ? part.slice(2, -1) : undefined;
    if (codes === undefined) {
      if (part !== '') runs.push({ text: part, style });
      continue;
    }
    for (const code of codes.split(';').map(Number)) {
      if (code === 0) style = {};
      else if (code === 1) style = { ...style, bold: true };
      else if (code === 2) style = { ...style, faint: true };
      else if (code === 22) style = { ...style, bold: false, faint: false };
      else if (code === 39) style = { ...style, color: undefined };
      else if (PALETTE[code] !== undefined) style = { ...style, color: PALETTE[code] };
    }
  }
  return runs;
}

const escapeXml = text => text.replace(/[&<>]/g, character => `&#${character.charCodeAt(0)};`);

function svg(lines) {
  const width = COLUMNS * CELL.width + 32;
  const height = lines.length * CELL.height + 32;
  const rows = lines.map((line, row) => {
    let column = 0;
    const spans = parse(line).map(({ text, style }) => {
      const x = 16 + column * CELL.width;
      column += [...text].length;
      const attributes = [
        `x="${x.toFixed(1)}"`,
        `textLength="${([...text].length * CELL.width).toFixed(1)}"`,
        `fill="${style.color ?? '#adbac7'}"`,
        ...(style.bold ? ['font-weight="bold"'] : []),
        ...(style.faint ? ['opacity="0.6"'] : []),
      ];
      return `<tspan ${attributes.join(' ')}>${escapeXml(text)}</tspan>`;
    });
    return `<text y="${16 + (row + 0.75) * CELL.height}" xml:space="preserve">${spans.join('')}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">
<title>A run of the sample in a terminal, in the middle and at its end</title>
<rect width="100%" height="100%" rx="8" fill="#22272e"/>
${rows.join('\n')}
</svg>
`;
}

try {
  const { middle, end } = screenOfRun();
  const prompt = '\u001b[32m$\u001b[0m \u001b[1mnpx qrun unit ./sql -P16\u001b[0m';
  const rule = `\u001b[90m${'·'.repeat(COLUMNS)}\u001b[0m`;
  const clean = screen =>
    screen
      .replaceAll(` --log-dir ${directory}/results`, '')
      .replaceAll(`${directory}/results`, './results')
      .replaceAll(`${directory}/data`, './.qrun/data')
      .split('\n');
  writeFileSync(process.argv[2] ?? 'docs/run.svg', svg([prompt, ...clean(middle), rule, ...clean(end)]));
} finally {
  spawnSync('tmux', ['-L', session, 'kill-server']);
  rmSync(directory, { recursive: true, force: true });
}
