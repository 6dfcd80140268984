import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

// The views in real processes, on real pseudo-terminals (tmux) and real pipes.

const project = resolve(import.meta.dirname, '../../..');
let directory = '';

// Draws a run that stands still. SIGUSR2 leads from each of its states to the next.
const SCRIPT = `
  import { on } from 'node:events';
  import { createProgressView } from './dist/cli/progress/view.js';
  import { createStyle } from './dist/cli/terminal/style.js';
  const steps = on(process, 'SIGUSR2');
  const keepAlive = setInterval(() => {}, 60_000);
  let state = 0;
  const next = () => {
    state++;
    if (!process.stdout.isTTY) process.stdout.write('state ' + state + '\\n');
    return steps.next();
  };
  const stream = process.stderr;
  const style = createStyle({ color: true, unicode: true, columns: stream.columns });
  const now = () => performance.timeOrigin + performance.now();
  const view = await createProgressView({ stream, isTTY: stream.isTTY === true, style, now, mode: 'auto' });
  const run = { run: 'r1', unit: 'sweep/unit', log: '/x.ndjson' };
  view.sink({
    type: 'run_started', ...run, directory: '/x', engine: 'clickhouse', version: '26.7', target: 'http://127.0.0.1',
    concurrency: 2, selected: 1000, settled: 0, due: 1000,
  });
  const record = (query, outcome, error) =>
    view.sink({ type: 'query_recorded', query, outcome, rows: 1, attempt: 1, duration_ms: 5, error: error ?? null });
  for (let index = 0; index < 300; index++) record('q' + index, 'normal');
  for (let index = 0; index < 9; index++)
    record('bad' + index, 'error', { code: 62, name: 'SYNTAX_ERROR', kind: 'permanent', message: 'Syntax error' });
  await next();
  for (let index = 0; index < 91; index++) record('r' + index, 'skipped');
  view.sink({ type: 'warning', message: 'something to know' });
  await next();
  view.sink({
    type: 'run_ended', ...run, selected: 1000, settled_before: 0, recorded: { normal: 300, skipped: 91, error: 9 },
    records: 400, not_run: 600, retries: 0, elapsed_ms: 1, durations: null, slowest: [], errors: [],
    stopped: 'SIGINT', exit_code: 130,
  });
  view.close();
  stream.write('the summary\\n');
  await next();
  clearInterval(keepAlive);
  process.stdout.write('ended, ' + (view.failed?.code ?? 'nothing failed') + '\\n');
`;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'qrun-terminal-'));
  const compiler = [
    '--ignoreConfig',
    ...[
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--lib',
      'es2023,esnext.string,esnext.disposable',
      '--types',
      'node',
    ],
    ...['--skipLibCheck', '--esModuleInterop', '--strict'],
    ...['--rootDir', join(project, 'src'), '--outDir', join(directory, 'dist')],
    join(project, 'src/cli/progress/view.ts'),
  ];
  execFileSync(join(project, 'node_modules/.bin/tsc'), compiler, { cwd: project });
  symlinkSync(join(project, 'node_modules'), join(directory, 'node_modules'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  writeFileSync(join(directory, 'run.js'), SCRIPT);
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function hasTmux(): boolean {
  try {
    execFileSync('tmux', ['-V'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!hasTmux())('in a terminal (tmux is here)', () => {
  // A server of its own for each test: one that has been told to end may still hold its socket.
  let server = 0;
  const tmux = (...args: string[]): string => {
    const socket = join(directory, `tmux-${server}`);
    const { TMUX: _inside, ...env } = process.env;
    return execFileSync('tmux', ['-u', '-S', socket, '-f', '/dev/null', ...args], {
      encoding: 'utf8',
      env: { ...env, LC_ALL: 'C.UTF-8', TERM: 'xterm-256color' },
    });
  };
  const screen = (): string => tmux('capture-pane', '-p', '-J', '-S', '-100').trimEnd();
  const step = (): void => {
    process.kill(Number(tmux('display-message', '-p', '#{pane_pid}')), 'SIGUSR2');
  };
  const count = (part: string): number => screen().split(part).length - 1;

  afterEach(() => {
    tmux('kill-server');
    server++;
  });

  it.each([40, 80, 120])('redraws, resizes and ends without garbage at %i columns', async columns => {
    const command = `exec '${process.execPath}' '${join(directory, 'run.js')}'`;
    const keep = [';', 'set-option', '-g', 'remain-on-exit', 'on'];
    tmux('new-session', '-d', '-x', String(columns), '-y', '40', command, ...keep);
    await expect.poll(screen, { timeout: 10_000 }).toContain('309/1,000  30%');
    expect(count('SYNTAX_ERROR (62): Syntax error')).toBe(5);

    step();
    await expect.poll(screen, { timeout: 5_000 }).toContain('400/1,000  40%');
    const lines = screen().split('\n');
    expect(lines.slice(-3).join('\n')).toMatch(/400\/1,000 {2}40%\n.*error +9.*\n.*ETA/);
    expect(lines.at(-4)).toBe('! something to know');
    expect(screen()).not.toContain('309/1,000');

    for (const width of [columns - 15, columns + 30, columns - 7]) {
      tmux('resize-window', '-x', String(width), '-y', '40');
      // The frame of the new width is there when its longest line, which ends with the percentage, fits it.
      const bars = (): string[] => screen().match(/[█▏▎▍▌▋▊▉░]+ +400\/1,000 +40%/g) ?? [];
      await expect.poll(() => bars().map(bar => bar.length < width), { timeout: 5_000 }).toEqual([true]);
      await expect.poll(() => count('elapsed'), { timeout: 5_000 }).toBe(1);
    }

    step();
    await expect.poll(screen, { timeout: 5_000 }).toMatch(/! something to know\nthe summary$/);
    expect(count('/1,000')).toBe(0);
    expect(screen().replace(/\s+/g, ' ').split('due, 2 at once')).toHaveLength(2);
  });
});

describe('on a pipe', () => {
  it.each(['stays open', 'is closed'] as const)('a run goes on when its pipe %s', async what => {
    const child = spawn(process.execPath, [join(directory, 'run.js')], { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text;
    });
    const ended = once(child, 'close');
    // The errors of writes to a closed pipe come late, so that each state is left after it was entered.
    for (const state of ['state 1', 'state 2', 'state 3']) {
      await expect.poll(() => output, { timeout: 10_000 }).toContain(state);
      if (what === 'is closed' && state === 'state 1') {
        child.stderr.destroy();
        await once(child.stderr, 'close');
      }
      child.kill('SIGUSR2');
    }
    const [code] = await ended;
    expect(code).toBe(0);
    expect(output).toContain(what === 'is closed' ? 'ended, EPIPE\n' : 'ended, nothing failed\n');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(errors).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
    if (what === 'stays open')
      expect(errors).toMatch(/Z {2}end {7}400 recorded .*; exit 130\nthe summary\n$/);
  });
});
