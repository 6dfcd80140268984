import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ordinaryUser, put, qrun, removeTree, tree } from '../qrun.js';
import { KINDS, type Kind } from './input-kinds.js';

// What each file that qrun reads may turn out to be, through the command: one clear message that names the file and
// what it is, the exit code of its kind, and never a wait.
vi.setConfig({ testTimeout: 60_000 });

const of = (fits: (kind: Kind) => boolean): [string, Kind][] =>
  Object.entries(KINDS).filter(([, kind]) => fits(kind));

let root = '';
let server: Server | undefined;
beforeEach(() => {
  root = tree({ 'u/q.sql': 'SELECT 1', 'results/x': '' });
});
afterEach(() => {
  server?.close();
  server = undefined;
  removeTree(root);
});

async function refused({ file, args, code }: Kind, what: string | RegExp): Promise<void> {
  const end = await qrun(args, { cwd: root });
  expect(end, end.stderr).toMatchObject({ code, signal: undefined, stdout: '' });
  expect(end.stderr).toMatch(/^qrun: /);
  // A log is called by the name that its links lead to.
  const name = file.slice(file.lastIndexOf('/') + 1);
  expect([name, '/dev/zero'].some(one => end.stderr.includes(one))).toBe(true);
  expect(end.stderr).toMatch(what);
  expect(end.stderr).not.toMatch(/bug in qrun|\n\s+at /);
}

const at = (file: string): string => {
  const path = join(root, file);
  rmSync(path, { force: true });
  return path;
};

describe.each(of(({ pipe }) => pipe === undefined))('%s', (_, kind) => {
  it('that is a named pipe is refused', async () => {
    execFileSync('mkfifo', [at(kind.file)]);
    await refused(kind, /it is a named pipe \(FIFO\), not a regular file/);
  });
});

// A directory may have any of the names that are left out.
describe.each(of(({ file }) => !['u/_setup.sql', 'qrun.toml', 'u/q.sql'].includes(file)))('%s', (_, kind) => {
  it('that is a directory is refused', async () => {
    mkdirSync(at(kind.file));
    await refused(kind, /it is a directory, not a regular file/);
  });
});

describe.each(Object.entries(KINDS))('%s', (_, kind) => {
  it('that is a device without an end is refused', async () => {
    symlinkSync('/dev/zero', at(kind.file));
    // A log is called by the one name that it has.
    const named = kind.file.endsWith('.ndjson') ? { ...kind, file: '/dev/zero' } : kind;
    await refused(named, /it is a device, not a regular file|it is a symbolic link/);
  });

  it('that is a socket is refused', async () => {
    server = createServer();
    await new Promise<void>(resolve => server?.listen(at(kind.file), resolve));
    await refused(kind, /it is a socket, not a regular file/);
  });

  it('that is a circle of links is refused', async () => {
    symlinkSync('x', at(`${dirname(kind.file)}/x`));
    symlinkSync('x', at(kind.file));
    await refused(kind, /its symbolic links lead in a circle|it is a symbolic link/);
  });
});

describe.each(of(({ code }) => code === 2))('%s', (name, kind) => {
  it('that is a link to nothing is refused', async () => {
    symlinkSync('nowhere', at(kind.file));
    const made = name !== 'stored jobs' && name !== 'the configuration of a submission';
    await refused(kind, made ? /it is a symbolic link to something that is not there/ : /ENOENT/);
  });
});

describe.each(of(({ file }) => /lock|lease|runs/.test(file)))('%s', (_, kind) => {
  it('that is a link to a file of somebody is not touched', async () => {
    put(root, 'precious', 'as it was\n');
    symlinkSync('../precious', at(kind.file));
    await refused(kind, /it is a symbolic link/);
    expect(execFileSync('cat', [join(root, 'precious')], { encoding: 'utf8' })).toBe('as it was\n');
  });
});

describe.each(of(({ limitBytes }) => limitBytes !== undefined))('%s', (_, kind) => {
  it('that is larger than any such file is refused, and not read', async () => {
    put(root, kind.file, '');
    truncateSync(join(root, kind.file), (kind.limitBytes as number) + 1);
    await refused(kind, /it is larger than \d+[KM]iB/);
  });
});

describe.each(of(({ text }) => text !== undefined))('%s', (_, kind) => {
  const run = async (): Promise<string> => {
    const end = await qrun([...kind.args, ...(kind.args[0] === 'config' ? ['--json'] : [])], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 0 });
    // Times of a run differ.
    return kind.args[0] === 'unit' ? '' : end.stdout;
  };

  it('counts with a byte order mark as without', async () => {
    put(root, kind.file, kind.text as string);
    const plain = await run();
    put(root, kind.file, `\ufeff${kind.text}`);
    if (kind.file !== 'u/q.sql') expect(await run()).toBe(plain);
    else expect(await run()).toContain('yes');
  });

  it.each(['\ufeff', ''])('in UTF-16 is refused', async mark => {
    put(root, kind.file, Buffer.from(`${mark}${kind.text}`, 'utf16le'));
    await refused(kind, mark === '' ? /UTF-16|holds a NUL byte/ : /UTF-16/);
  });
});

describe.runIf(ordinaryUser() !== undefined)('as an ordinary user', () => {
  it.each(of(({ code, file }) => code === 2 || file.endsWith('.runs')))(
    '%s that may not be read is refused',
    async (_, kind) => {
      put(root, kind.file, kind.text ?? '');
      // Everybody may make files there, and remove none of others.
      chmodSync(join(root, 'results'), 0o1777);
      chmodSync(join(root, kind.file), 0);
      const end = await qrun(kind.args, { cwd: root, prefix: ordinaryUser() as readonly string[] });
      expect(end, end.stderr).toMatchObject({ code: kind.code });
      expect(end.stderr).toMatch(/EACCES|permission denied/i);
    },
  );
});

describe('a password file', () => {
  const kind = KINDS['a password file'] as Kind;

  it('may be what a shell makes of <(command)', async () => {
    const prefix = ['bash', '-c', 'exec "$@" --password-file <(sleep 0.2; echo secret)', 'x'];
    const end = await qrun(kind.args.slice(0, 4), { cwd: root, prefix });
    // Read, and then there is no server.
    expect(end.stderr).toMatch(/cannot reach|ECONNREFUSED/);
    expect(end).toMatchObject({ code: 24 });
  });

  it.each([
    ['that nobody writes into', async () => {}, /pipe that nobody writes to/],
    ['whose writer says nothing', async () => {}, /its content did not arrive within 5 s/],
  ] as const)('may not be a pipe %s', async (title, _, message) => {
    const path = at(kind.file);
    execFileSync('mkfifo', [path]);
    const prefix = title.startsWith('whose') ? ['bash', '-c', 'exec 9<>pw; exec "$@"', 'x'] : [];
    const end = await qrun(kind.args, { cwd: root, prefix });
    expect(end, end.stderr).toMatchObject({ code: 2 });
    expect(end.stderr).toMatch(message);
  });
});

describe('--events', () => {
  it('into a pipe that nobody reads is said once, and the run ends', async () => {
    execFileSync('mkfifo', [at('ff')]);
    const end = await qrun(['unit', 'u', '--events', 'ff'], { cwd: root });
    expect(end, end.stderr).toMatchObject({ code: 0 });
    expect(
      end.stderr.match(/no more events to ff: it is a named pipe \(FIFO\) that nobody reads/g),
    ).toHaveLength(1);
  });

  it.each(['u/q.sql', 'u/new.sql', '_setup.sql', 'qrun.toml', '.env', 'link'])(
    'and --log never into what qrun reads: %s',
    async name => {
      symlinkSync('u/q.sql', at('link'));
      const before = readFileSync(join(root, 'u/q.sql'), 'utf8');
      for (const option of ['--events', '--log']) {
        const end = await qrun(['unit', 'u', option, name], { cwd: root });
        expect(end.code).toBe(2);
        expect(end.stderr).toContain(`${option} ${name}: qrun reads files of this name as its input`);
      }
      expect(readFileSync(join(root, 'u/q.sql'), 'utf8')).toBe(before);
      expect(existsSync(join(root, 'u/new.sql'))).toBe(false);
    },
  );

  it('by a link into the log is not done', async () => {
    await qrun(['unit', 'u'], { cwd: root });
    symlinkSync('results/u.ndjson', at('ev'));
    const end = await qrun(['unit', 'u', '--rerun', 'all', '--events', 'ev'], { cwd: root });
    expect(end.code).toBe(2);
    expect(end.stderr).toContain('--events ev: that is the log of the unit');
    expect((await qrun(['audit', 'u'], { cwd: root })).code).toBe(0);
  });
});
