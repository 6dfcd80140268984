import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/io/jobs/checkpoint.js';
import { ROOT, requireBuild } from '../../built.js';
import { CAN_MOUNT, scratch, withSmallDisk } from '../machine/processes.js';
import { type Ended, qrun, removeTree, startQrun, tree } from '../qrun.js';

describe('openCheckpoint', () => {
  it('gives back what was written, and nothing before and after', async () => {
    const checkpoint = openCheckpoint(join(scratch(), 'not', 'yet', 'there.json'));
    expect(await checkpoint.read()).toBeUndefined();
    await checkpoint.clear();
    await checkpoint.write({ done: [1, 'zwei'] });
    expect(await checkpoint.read()).toEqual({ done: [1, 'zwei'] });
    await checkpoint.clear();
    await checkpoint.clear();
    expect(await checkpoint.read()).toBeUndefined();
  });

  it('keeps the digits of a number that JavaScript cannot hold', async () => {
    const checkpoint = openCheckpoint(join(scratch(), 'c.json'));
    await checkpoint.writeText(' {"offset": 9223372036854775807}\n');
    expect(await checkpoint.readText()).toBe('{"offset": 9223372036854775807}');
  });

  it.each(['', '{"half":', 'not json'])('sets %j aside and counts it as none', async content => {
    const directory = scratch();
    const path = join(directory, 'c.json');
    writeFileSync(path, content);
    const told: string[] = [];
    const checkpoint = openCheckpoint(path, { onSetAside: aside => told.push(aside) });
    expect(await checkpoint.read()).toBeUndefined();
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/c\.json\.unreadable-[\da-f]{8}$/);
    expect(readFileSync(told[0] ?? '', 'utf8')).toBe(content);
    expect(await checkpoint.read()).toBeUndefined();
    await checkpoint.write(1);
    expect(await checkpoint.read()).toBe(1);
    expect(readdirSync(directory)).toHaveLength(2);
  });

  it('refuses what is no JSON, and keeps the value before', async () => {
    const checkpoint = openCheckpoint(join(scratch(), 'c.json'));
    await checkpoint.write(1);
    await expect(checkpoint.write(undefined)).rejects.toThrow(TypeError);
    await expect(checkpoint.writeText('{')).rejects.toMatchObject({ code: 'USAGE' });
    expect(await checkpoint.read()).toBe(1);
  });

  it('says that a directory is in the way', async () => {
    const path = join(scratch(), 'c.json');
    mkdirSync(path);
    const checkpoint = openCheckpoint(path);
    await expect(checkpoint.read()).rejects.toMatchObject({ code: 'READ_FAILED', exitCode: 23 });
    await expect(checkpoint.write(1)).rejects.toMatchObject({ code: 'WRITE_FAILED', exitCode: 23 });
    await expect(checkpoint.clear()).rejects.toMatchObject({ code: 'WRITE_FAILED' });
  });

  it.runIf(CAN_MOUNT)('keeps the value before when the disk is full', async () => {
    await withSmallDisk(async directory => {
      const checkpoint = openCheckpoint(join(directory, 'c.json'));
      await checkpoint.write('old');
      await expect(checkpoint.write('x'.repeat(2e6))).rejects.toMatchObject({ code: 'WRITE_FAILED' });
      expect(await checkpoint.read()).toBe('old');
    });
  });

  it('holds a whole value after kill -9 at any moment, never an older one than was confirmed', async () => {
    requireBuild();
    const path = join(scratch(), 'c.json');
    // Confirms each value when it is durable; large enough to take several pages.
    const program = `
      import { openCheckpoint } from '${ROOT}dist/index.js';
      const checkpoint = openCheckpoint(process.argv[1]);
      for (let n = (await checkpoint.read())?.n ?? 0; ; ) {
        n += 1;
        await checkpoint.write({ n, filler: String(n % 10).repeat(20_000) });
        process.stdout.write(n + '\\n');
      }`;
    let confirmed = 0;
    for (let kill = 1; kill <= 15; kill += 1) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program, path], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const before = confirmed;
      let rest = '';
      child.stdout.on('data', (chunk: Buffer) => {
        rest += chunk.toString();
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        confirmed = Number(lines.at(-1) ?? confirmed);
        // Another number of writes in each round, so that another moment is met.
        if (confirmed >= before + kill) child.kill('SIGKILL');
      });
      await once(child, 'close');
      const told: string[] = [];
      const value = await openCheckpoint(path, { onSetAside: aside => told.push(aside) }).read();
      expect(told).toEqual([]);
      const { n, filler } = value as { n: number; filler: string };
      expect(filler).toBe(String(n % 10).repeat(20_000));
      expect(n).toBeGreaterThanOrEqual(confirmed);
      confirmed = n;
    }
  });
});

describe('qrun checkpoint', () => {
  let root = '';
  afterEach(() => removeTree(root));

  it.runIf(process.platform === 'linux')('says that it cannot be where no directory can be', async () => {
    root = tree({});
    const end = await qrun(['checkpoint', 'set', '--file', '/proc/x/y/c.json', '1'], {
      cwd: root,
      prefix: ['timeout', '-s', 'KILL', '30'],
    });
    expect(end, end.stderr).toMatchObject({ code: 23, signal: undefined });
    expect(end.stderr).toMatch(/cannot write the checkpoint \/proc\/x\/y\/c\.json: ENOENT/);
  });

  const TOML = 'name = "n"\ncommand = ["true"]\n[matrix]\nx = [1, 10, "*"]\nside = ["up"]\n';
  const run = (args: string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> =>
    qrun(['checkpoint', ...args], { cwd: root, env });

  it('works on the file of the job that asks', async () => {
    root = tree({});
    const env = { QRUN_CHECKPOINT: join(root, 'results', 'c.json') };
    expect(await run(['path'], env)).toMatchObject({ code: 0, stdout: `${env.QRUN_CHECKPOINT}\n` });
    expect(await run(['get'], env)).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(await run(['get', '--default', '{"n":0}'], env)).toMatchObject({ code: 0, stdout: '{"n":0}\n' });
    expect(await run(['set', '{"n": 1}'], env)).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(await run(['get', '--default', '{"n":0}'], env)).toMatchObject({ code: 0, stdout: '{"n": 1}\n' });
    expect(await run(['clear'], env)).toMatchObject({ code: 0 });
    expect(await run(['clear'], env)).toMatchObject({ code: 0 });
    expect(existsSync(env.QRUN_CHECKPOINT)).toBe(false);
  });

  it('reads a value from stdin', async () => {
    root = tree({});
    const child = startQrun(['checkpoint', 'set', '--file', 'c.json'], { cwd: root });
    child.stdin?.end('{"from":\n"stdin"}\n');
    expect((await child).exitCode).toBe(0);
    expect(JSON.parse(readFileSync(join(root, 'c.json'), 'utf8'))).toEqual({ from: 'stdin' });
  });

  it('notes what it sets aside, and goes on', async () => {
    root = tree({ 'c.json': '{"half":' });
    const { code, stdout, stderr } = await run(['get', '--file', 'c.json', '--default', '0']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '0\n' });
    expect(stderr).toMatch(/^qrun: the checkpoint could not be used .*c\.json\.unreadable-[\da-f]{8}\n$/);
  });

  it('touches the checkpoint of that one job, however alike their names are', async () => {
    root = tree({ 'jobs.toml': TOML });
    const names = ['1', '10', '*'];
    const of = (x: string): string[] => ['--jobs', 'jobs.toml', '--param', 'side=up', '--param', `x=${x}`];
    for (const x of names) expect(await run(['set', `"${x}"`, ...of(x)])).toMatchObject({ code: 0 });
    const files = readdirSync(join(root, 'results'));
    expect(files.sort()).toEqual([
      'n@side=up,x=%2A.checkpoint.json',
      'n@side=up,x=1.checkpoint.json',
      'n@side=up,x=10.checkpoint.json',
    ]);
    expect(await run(['clear', ...of('*')])).toMatchObject({ code: 0 });
    expect(await run(['clear', ...of('1')])).toMatchObject({ code: 0 });
    expect(readdirSync(join(root, 'results'))).toEqual(['n@side=up,x=10.checkpoint.json']);
    expect(await run(['get', ...of('10')])).toMatchObject({ stdout: '"10"\n' });
  });

  it.each([
    [['get'], 'it is not known which checkpoint is meant'],
    [['get', '--file', 'a', '--jobs', 'jobs.toml'], '--file and --jobs both'],
    [['get', '--param', 'x=1'], '--param names a job of a jobs.toml'],
    [['get', '--jobs', 'jobs.toml', '--param', 'x=1'], 'n has no job "n@x=1"'],
    [['get', '--jobs', 'nowhere.toml'], 'cannot read'],
    [['set', '{', '--file', 'c.json'], 'a checkpoint must be JSON: it cannot be parsed'],
    [['set', '', '--file', 'c.json'], 'a checkpoint must be JSON: it is empty'],
  ])('%j is refused', async (args, message) => {
    root = tree({ 'jobs.toml': TOML });
    const ended = await run(args);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toContain('    at ');
    expect(readdirSync(root)).toEqual(['jobs.toml']);
  });
});
