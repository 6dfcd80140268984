import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../src/core/config/config.js';
import { trustDigest } from '../../../src/core/config/trust.js';
import type { QrunError } from '../../../src/core/errors.js';
import { treeSettings } from '../../../src/local/config/trust.js';

const hosts = (value: unknown) =>
  resolveConfig({ toml: { file: 'qrun.toml', values: { hosts: value } }, env: {} }).config.hosts;

function problems(value: unknown): readonly string[] {
  try {
    hosts(value);
  } catch (error) {
    return (error as QrunError).details;
  }
  throw new Error('was accepted');
}

const ALPHA = { name: 'alpha', root: '/data/sweep' };

describe('[[hosts]]', () => {
  it('is filled in: ssh is the name, one slot, qrun in PATH, no slash at the end of the root', () => {
    expect(hosts([{ name: 'alpha', root: '/data/sweep//' }])).toEqual([
      { name: 'alpha', ssh: 'alpha', root: '/data/sweep', slots: 1, qrun: ['qrun'] },
    ]);
    const whole = {
      name: 'b.2_x-y',
      ssh: 'me@b.example',
      root: '/a b/ü',
      slots: 8,
      qrun: ['/opt/node', '/opt/qrun.cjs', '--x y'],
    };
    expect(hosts([whole])).toEqual([whole]);
  });

  // What ssh or rsync would take as an option, as a path, or as two words.
  it.each([
    '-oProxyCommand=touch /pwned',
    '--',
    '',
    'a b',
    'a\nb',
    'a:22',
    'a/b',
    'me@-x',
    '-l@host',
    'me@',
    '@host',
    'ssh://host',
    'host;id',
    '$(id)',
    '`id`',
    "h'",
    'h\0',
    '[::1]',
  ])('refuses to connect to %j', ssh => {
    const [problem, ...more] = problems([{ ...ALPHA, ssh }]);
    expect(problem).toMatch(/^qrun\.toml: hosts\.0\.ssh: must be HOST or USER@HOST as ssh takes it, /);
    expect(more).toEqual([]);
  });

  it.each(['sweep', '~/sweep', '', '/', '//', '//server/share', '-x', '/a\nb', '/a\u0000'])(
    'refuses the root %j',
    root => {
      expect(problems([{ name: 'alpha', root }])).toEqual([
        expect.stringMatching(/^qrun\.toml: hosts\.0\.root: must be an absolute path on that host, /),
      ]);
    },
  );

  it.each(['.', '..', '-a', 'a/b', 'a b', '', 'x'.repeat(65), 'é'])('refuses the name %j', name => {
    expect(problems([{ ...ALPHA, name, ssh: 'h' }])).toEqual([
      expect.stringMatching(/^qrun\.toml: hosts\.0\.name: must be 1 to 64 letters, /),
    ]);
  });

  it.each([0, -1, 1.5, '', 'many', 10_001])('refuses %j slots', slots => {
    expect(problems([{ ...ALPHA, slots }])).toEqual([
      expect.stringMatching(/^qrun\.toml: hosts\.0\.slots: must be a whole number from 1 to 10000, /),
    ]);
  });

  it.each(['-x', '', ' qrun', ['-x'], [], [''], ['a', 'b\nc'], 1].map(one => [one]))(
    'refuses the qrun %j',
    qrun => {
      for (const problem of problems([{ ...ALPHA, qrun }])) {
        expect(problem).toMatch(/^qrun\.toml: hosts\.0\.qrun(\.\d)?: must be the command there, /);
      }
    },
  );

  it('refuses keys that nobody knows, by their names, and what is missing', () => {
    expect(problems([{ ...ALPHA, port: 22 }, { name: 'beta' }])).toEqual([
      'qrun.toml: hosts.0.port: unknown key; known are name, ssh, root, slots, qrun',
      expect.stringMatching(/^qrun\.toml: hosts\.1\.root: must be an absolute path on that host, /),
    ]);
    expect(problems(['alpha'])).toEqual([
      expect.stringMatching(/^qrun\.toml: hosts\.0: must be a table with name, ssh and root, /),
    ]);
    expect(problems({ alpha: ALPHA })).toEqual([
      expect.stringMatching(/^qrun\.toml: hosts: must be a list of tables: \[\[hosts\]\], /),
    ]);
  });

  it('refuses two hosts with one name, also where a disk would give them one directory', () => {
    expect(problems([ALPHA, { ...ALPHA, name: 'ALPHA' }])).toEqual([
      expect.stringMatching(/^qrun\.toml: hosts\.1\.name: must differ from the names of the other hosts, /),
    ]);
  });
});

describe('trust in hosts', () => {
  const digest = (values: Record<string, unknown>): string =>
    trustDigest('/sweep', treeSettings(values, {}), undefined);

  it('ends when one of them changes, and only then', () => {
    const before = digest({ hosts: [ALPHA] });
    expect(digest({ hosts: [{ root: '/data/sweep', name: 'alpha' }] })).toBe(before);
    expect(digest({ hosts: [{ ...ALPHA, ssh: 'evil' }] })).not.toBe(before);
    expect(digest({ hosts: [{ ...ALPHA, qrun: ['sh', '-c'] }] })).not.toBe(before);
    expect(digest({ hosts: [ALPHA, { ...ALPHA, name: 'beta' }] })).not.toBe(before);
    expect(digest({})).not.toBe(before);
  });

  it('leaves what was remembered before there were hosts as it was', () => {
    // By the version before.
    expect(trustDigest('/data/sweep', {}, undefined)).toBe(
      'a2ae74be0d9214c3650f75676885a0d508ee8c620d36151e701a24b84333cf10',
    );
    expect(digest({ hosts: [] })).toBe(digest({}));
  });
});
