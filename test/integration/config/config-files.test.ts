import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readDotEnv, readSecretFile, readToml } from '../../../src/io/config/config-files.js';
import { failureOf, scratch } from '../machine/processes.js';

function file(content: string | Buffer, name = 'qrun.toml'): string {
  const path = join(scratch(), name);
  writeFileSync(path, content);
  return path;
}

describe('readToml', () => {
  it('gives the values as TOML has them', () => {
    const path = file(
      'url = "http://h:8123" # here\nconcurrency = 4\n[settings]\nmax_threads = 4\nfinal = true\n',
    );
    expect(readToml(path).values).toEqual({
      url: 'http://h:8123',
      concurrency: 4,
      settings: { max_threads: 4, final: true },
    });
    expect(readToml(file('')).values).toEqual({});
    expect(readToml(file('a = 1\r\nb = 2\r\n')).values).toEqual({ a: 1, b: 2 });
  });

  it.each([
    ['url = \n', 1],
    ['a = 1\na = 2\n', 2],
    ['[settings\n', 1],
    ['a = 1\nb = 007\n', 2],
    ['a = 1.10\nb = 1.\n', 2],
    ['[settings]\na = 18446744073709551615\nb = 5s\n', 3],
  ])('says where %j is not TOML', async (content, line) => {
    const path = file(content);
    const { code, message } = await failureOf(() => readToml(path));
    expect(code).toBe('CONFIG');
    expect(message).toMatch(new RegExp(`^${path}:${line}:\\d+ is not TOML: \\S[^\\n]*$`));
  });

  it.each(['max_threads = 007', 'version = 1.10.2', 'when = 5s', '  a.b=1.'])(
    'says that %j is written in quotes, and names the key',
    async line => {
      const { hint } = await failureOf(() => readToml(file(`[settings]\n${line}\n`)));
      expect(hint).toContain(`is written in quotes: ${line.split('=')[0]?.trim()} = "..."`);
    },
  );

  it('does not repeat the line that is wrong: it may hold a secret', async () => {
    for (const line of [
      'password = hunter2',
      'password = "hunter2',
      'password "hunter2"',
      'p = "hunter2\\q"',
    ]) {
      const path = file(`${line}\n`);
      expect(JSON.stringify(await failureOf(() => readToml(path)))).not.toContain('hunter2');
    }
  });

  it('says why it cannot be read', async () => {
    const directory = scratch();
    mkdirSync(join(directory, 'qrun.toml'));
    const { code, message } = await failureOf(() => readToml(join(directory, 'qrun.toml')));
    expect([code, message]).toEqual([
      'CONFIG',
      expect.stringMatching(/^cannot read .*qrun\.toml: it is a directory, not a regular file/),
    ]);
  });
});

describe('readDotEnv', () => {
  it('gives the variables, and puts nothing into the environment', () => {
    const path = file('CLICKHOUSE_URL=http://h:8123\nA="b c" # d\nexport B=1\n# C=2\nD=\n', '.env');
    expect(readDotEnv(path)).toEqual({ CLICKHOUSE_URL: 'http://h:8123', A: 'b c', B: '1', D: '' });
    expect(process.env.CLICKHOUSE_URL).not.toBe('http://h:8123');
  });

  it('is empty when there is no such file', () => {
    expect(readDotEnv(join(scratch(), '.env'))).toEqual({});
  });

  it('says why a file that is there cannot be read', async () => {
    const path = join(scratch(), '.env');
    mkdirSync(path);
    const { code, message } = await failureOf(() => readDotEnv(path));
    expect([code, message]).toEqual([
      'CONFIG',
      expect.stringMatching(/^cannot read .*\.env: it is a directory, not a regular file/),
    ]);
  });
});

describe('readSecretFile', () => {
  it.each([
    ['hunter2', 'hunter2'],
    ['hunter2\n', 'hunter2'],
    ['hunter2\r\n', 'hunter2'],
    [' hunter2 \n', ' hunter2 '],
    ['', ''],
  ])('of %j is %j', (content, secret) => {
    expect(readSecretFile(file(content))).toBe(secret);
  });

  it.each(['hunter2\n\n', 'a\nb', 'a\rb\n', '\n\n', '-----BEGIN KEY-----\nx\n'])(
    'is none of several lines: %j',
    async content => {
      const { code, message } = await failureOf(() => readSecretFile(file(content)));
      expect([code, message]).toEqual(['CONFIG', expect.stringMatching(/more than one line/)]);
      expect(message).not.toContain('hunter2');
    },
  );

  it('says why it cannot be read', async () => {
    const { code, message } = await failureOf(() => readSecretFile(join(scratch(), 'missing')));
    expect([code, message]).toEqual(['CONFIG', expect.stringMatching(/^there is no such password file in /)]);
    expect(message).not.toContain('missing');
  });
});
