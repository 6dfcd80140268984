import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { type Ended, put, qrun, records, removeTree, tree } from '../qrun.js';

const NUMBERS = {
  a: ['1.10', '1.10'],
  b: ['1e3', '1e3'],
  c: ['1_000', '1000'],
  d: ['0x10', '16'],
  e: ['18446744073709551615', '18446744073709551615'],
  f: ['1.0', '1.0'],
  g: ['0.1234567890123456789', '0.1234567890123456789'],
  h: ['-inf', '-inf'],
} as const;
const WRITTEN = Object.entries(NUMBERS).map(([name, [written]]) => `${name} = ${written}`);
const SENT = Object.fromEntries(Object.entries(NUMBERS).map(([name, [, sent]]) => [name, sent]));

describe('numbers that are given as texts', () => {
  let root = '';
  afterEach(() => removeTree(root));
  const run = (...args: string[]): Promise<Ended> => qrun(args, { cwd: root });
  const json = async (...args: string[]) => {
    const ended = await run(...args, '--json');
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    return records(ended.stdout)[0] as Record<string, never>;
  };

  it('arrive in the digits of qrun.toml', async () => {
    const select = Object.keys(NUMBERS).map(name => `{${name}:String} AS ${name}`);
    root = tree({
      'qrun.toml': `[settings]\nmax_memory_usage = 18446744073709551615\nmax_execution_time = 1e3\n[parameters]\n${WRITTEN.join('\n')}\n`,
      'u/q.sql': `SELECT ${select.join(', ')}, {e:UInt64} AS number, getSetting('max_memory_usage') AS memory`,
    });
    expect(await json('config', 'u')).toMatchObject({
      config: {
        settings: { max_memory_usage: '18446744073709551615', max_execution_time: '1000' },
        parameters: SENT,
      },
    });
    const summary = await run('unit', 'u', '--json', '--log', 'log');
    expect(summary.code).toBe(0);
    const log = await run('audit', 'u', '--log', 'log');
    expect(log.code).toBe(0);
    const unit = Object.entries(SENT).map(([name, sent]) => `${name}=${sent}`);
    expect(JSON.parse(summary.stdout)).toMatchObject({ unit: `u@${unit.join(',')}` });
    const line = readFileSync(join(root, 'log'), 'utf8');
    // Not parsed, because JSON.parse loses digits too.
    expect(line).toContain('"number":18446744073709551615,"memory":18446744073709551615}');
    expect(records(line)[0]).toMatchObject({ row: SENT });
  });

  it('arrive in the digits of the command line', async () => {
    root = tree({ 'u/q.sql': 'SELECT {a:String} AS a' });
    const given = ['007', '1_000', '0x10', '1.0', '18446744073709551616', '+5', ' 5'];
    for (const text of given) {
      const flags = ['--param', `a=${text}`, '--set', `max_memory_usage=${text}`];
      expect(await json('config', 'u', ...flags)).toMatchObject({
        config: { settings: { max_memory_usage: text }, parameters: { a: text } },
      });
    }
  });

  it('arrive in the digits of a matrix and of epochs', async () => {
    root = tree({
      'qrun.toml': `[sweep]\nepochs = [{x = 1.10}, {x = 1.1}]\n[sweep.matrix]\ny = [1.0, 1, 0x10]\nz = 2.50\n`,
      'u/q.sql': 'SELECT {x:String}, {y:String}, {z:String}',
    });
    const { units } = await json('status', '.');
    expect((units as unknown as { unit: string }[]).map(({ unit }) => unit).sort()).toEqual(
      ['1.1', '1.10'].flatMap(x => ['1', '1.0', '16'].map(y => `u@x=${x},y=${y},z=2.50`)).sort(),
    );
  });

  it('arrive in the digits of jobs.toml', async () => {
    root = tree({
      'jobs.toml': `name = "j"\ncommand = ["true"]\n[matrix]\n${WRITTEN.map(line => line.replace('= ', '= [').concat(']')).join('\n')}\n`,
    });
    const { jobs } = await json('process-all', '--dry-run');
    expect((jobs as unknown as { parameters: unknown }[])[0]?.parameters).toEqual(SENT);
  });

  it('are no new unit in silence where an older version recorded them in other digits', async () => {
    root = tree({ 'qrun.toml': '[parameters]\nx = 1.0\n', 'u/q.sql': 'SELECT {x:String} AS x' });
    expect((await run('unit', 'u', '-q')).code).toBe(0);
    renameSync(join(root, 'results/u@x=1.0.ndjson'), join(root, 'results/u@x=1.ndjson'));
    for (const command of ['unit', 'plan', 'audit', 'status', 'audit-all']) {
      const ended = await run(command, command === 'status' || command === 'audit-all' ? '.' : 'u');
      expect(ended).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toContain(`x = 1.0 was sent as 1: ${join(root, 'results/u@x=1.ndjson')}`);
      expect(ended.stderr).toContain('"1" to continue with that log, or "1.0" for new results');
    }
    put(root, 'qrun.toml', '[parameters]\nx = "1.0"\n');
    expect((await run('unit', 'u', '-q')).code).toBe(0);
    put(root, 'qrun.toml', '[parameters]\nx = "1"\n');
    expect((await run('plan', 'u')).stdout).not.toContain('u@x=1.0');
  });
});
