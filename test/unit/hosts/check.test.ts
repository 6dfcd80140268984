import { describe, expect, it } from 'vitest';
import { type Asked, checkExit, checkHost, unreachedHost } from '../../../src/core/hosts/check.js';
import { chooseHosts, type Host } from '../../../src/core/hosts/host.js';
import { type HereReport, lastReport, lookCommand, parseLook } from '../../../src/core/hosts/look.js';
import { sshProblem } from '../../../src/core/hosts/ssh-failure.js';

const HOST: Host = { name: 'alpha', ssh: 'me@alpha', root: '/data/sweep', slots: 4, qrun: ['qrun'] };
const ASKED: Asked = {
  version: '1.2.3',
  queue: 'pueue',
  askedS: 1000.2,
  answeredS: 1001.4,
  elapsedMs: 411.6,
};

const HERE: HereReport = {
  version: '1.2.3',
  program: '/root/.qrun/versions/1.2.3-0123456789ab',
  node: '20.20.2',
  root: '/data/sweep',
  queue: { name: 'pueue', version: '4.0.4', problem: null, mend: null },
  locks: 'koffi',
  tasks: [
    { sweep: 'a', name: 'u1', phase: 'running' },
    { sweep: 'a', name: 'u2', phase: 'queued' },
    { sweep: 'a', name: 'u3', phase: 'paused' },
    { sweep: 'b', name: 'u1', phase: 'queued' },
  ],
  problem: null,
  sweep: null,
  network: false,
  free_bytes: null,
};

const LINES = {
  clock: '1001',
  node: 'v20.20.2',
  rsync: 'rsync  version 3.2.7  protocol version 31',
  queue: 'pueue 4.0.4',
  here: JSON.stringify(HERE),
  root: 'sweep',
  nearest: '/data/sweep',
  writable: 'yes',
  disk: '/dev/vda  263174212 12345678 90000000  13% /',
};

/** What the script prints there; `undefined` leaves a line out. */
function printed(changes: Readonly<Record<string, string | undefined>> = {}): string {
  const lines = Object.entries({ ...LINES, ...changes }).filter(([, value]) => value !== undefined);
  return `Welcome!\nqrun-look 1\n${lines.map(([name, value]) => `${name}=${value}\n`).join('')}`;
}

const found = (changes: Readonly<Record<string, string | undefined>> = {}, host = HOST) =>
  checkHost(host, parseLook(printed(changes)), ASKED);

describe('a host that has everything', () => {
  it('is told with what is there, and without findings', () => {
    expect(found()).toEqual({
      ...{ name: 'alpha', ssh: 'me@alpha', root: '/data/sweep', slots: 4, reached: true, elapsed_ms: 412 },
      ...{ node: '20.20.2', qrun: '1.2.3', queue: '4.0.4', free_bytes: 90000000 * 1024, clock_ahead_s: 0 },
      locks: 'koffi',
      sweeps: [
        { sweep: 'a', running: 2, queued: 1 },
        { sweep: 'b', running: 0, queued: 1 },
      ],
      findings: [],
    });
  });

  it('is asked with words that no shell reads', () => {
    const [shell, option, script = '', name, ...words] = lookCommand('/data/a b', 'pueue', ['node', 'q.cjs']);
    expect([shell, option, name, ...words]).toEqual([
      'sh',
      '-c',
      'qrun-look',
      '/data/a b',
      'pueue',
      '',
      'node',
      'q.cjs',
    ]);
    expect(lookCommand('/r', 'pueue', ['q'], '.qrun/m').slice(4)).toEqual(['/r', 'pueue', '.qrun/m', 'q']);
    expect(script).not.toContain('\n');
  });
});

describe('what one look says beside that', () => {
  it('is whether the root there is the one here', () => {
    expect(parseLook(printed())?.isSame).toBe(false);
    expect(parseLook(printed({ same: 'no' }))?.isSame).toBe(false);
    expect(parseLook(printed({ same: 'yes' }))?.isSame).toBe(true);
  });

  it('is a report, whatever the login printed around it; the last one counts', () => {
    const older = JSON.stringify({ ...HERE, version: '1.0.0' });
    expect(lastReport(`Welcome!\n${older}\n{"version":1}\n${JSON.stringify(HERE)}\nBye\n`)).toEqual(HERE);
    expect(lastReport('Welcome!\n{}\n')).toBe(undefined);
    expect(lastReport('')).toBe(undefined);
  });
});

describe('what a sweep would miss on a host', () => {
  const away = { here: undefined };
  it.each<[string, Readonly<Record<string, string | undefined>>, string, string, string, number]>([
    [
      'another version',
      { here: JSON.stringify({ ...HERE, version: '1.2.2' }) },
      'qrun',
      'version 1.2.2 there, 1.2.3 here',
      'npm install --global qrun@1.2.3',
      26,
    ],
    [
      'an older one, which knows no hosts',
      { ...away, exit: '0', qrun: '1.0.0' },
      'qrun',
      'version 1.0.0 there',
      'npm install',
      26,
    ],
    [
      'one that cannot say what is there',
      { ...away, exit: '0', qrun: '1.2.3' },
      'qrun',
      'it starts, but cannot say',
      'qrun hosts here',
      26,
    ],
    [
      'no qrun',
      { ...away, exit: '127', qrun: 'sh: 1: qrun: not found' },
      'qrun',
      'there is no qrun there',
      'npm install',
      26,
    ],
    [
      'neither Node nor qrun',
      { ...away, exit: '127', node: '' },
      'qrun',
      'neither Node nor qrun',
      '/PATH/node',
      26,
    ],
    [
      'one that breaks off',
      { ...away, exit: '3', qrun: 'cannot load' },
      'qrun',
      'qrun --version ended with 3: cannot load',
      'npm install',
      26,
    ],
    [
      'a report that is none',
      { here: '{"version":1}', exit: '1', qrun: '' },
      'qrun',
      'qrun --version ended with 1',
      'npm install',
      26,
    ],
    [
      'a queue that does not run',
      {
        here: JSON.stringify({
          ...HERE,
          queue: { ...HERE.queue, problem: 'it does not run', mend: 'pueued -d' },
        }),
      },
      'pueue',
      'it does not run',
      'there: pueued -d',
      26,
    ],
    [
      'one that nobody knows how to mend',
      { here: JSON.stringify({ ...HERE, queue: { ...HERE.queue, problem: 'odd' } }) },
      'pueue',
      'odd',
      'ssh me@alpha pueue status',
      26,
    ],
    ['a file at the root', { root: 'file' }, 'root', '/data/sweep is no directory', 'remove it there', 23],
    [
      'a root that cannot be written',
      { writable: 'no' },
      'root',
      'nothing can be written in /data/sweep',
      'install -d',
      23,
    ],
    [
      'one that cannot be made',
      { root: 'none', nearest: '/data', writable: 'no' },
      'root',
      'cannot be made in /data',
      'install -d',
      23,
    ],
    ['one with something else in it', { root: 'other' }, 'root', 'is not empty', 'empty it', 23],
    [
      'a sweep that is wrong',
      { here: JSON.stringify({ ...HERE, problem: 'qrun.toml: odd' }) },
      'sweep',
      'qrun.toml: odd',
      'qrun config /data/sweep',
      26,
    ],
    [
      'no locks',
      { here: JSON.stringify({ ...HERE, locks: null }) },
      'locks',
      'no log can be locked',
      'koffi',
      23,
    ],
    [
      'slow locks',
      { here: JSON.stringify({ ...HERE, locks: 'child' }) },
      'locks',
      'slow but safe',
      'koffi',
      0,
    ],
    [
      'a full disk',
      { disk: '/dev/vda 100 100 5 99% /' },
      'disk',
      'free on the disk of /data/sweep',
      'free space',
      23,
    ],
    ['a clock ahead', { clock: '1061' }, 'clock', 'its clock is 59 s ahead', 'timedatectl', 0],
    ['a clock behind', { clock: '940' }, 'clock', 'its clock is 60 s behind', 'timedatectl', 0],
    ['no rsync', { rsync: '' }, 'rsync', 'rsync is not in the PATH', 'apt-get', 26],
  ])('%s', (_, changes, what, says, mend, exitCode) => {
    const { findings } = found(changes);
    expect(findings.map(one => one.what)).toEqual([what]);
    expect(findings[0]).toMatchObject({
      says: expect.stringContaining(says),
      mend: expect.stringContaining(mend),
    });
    expect(findings[0]).toMatchObject({ state: exitCode === 0 ? 'note' : 'problem', exit_code: exitCode });
  });

  it('is all of it, the queue too where qrun cannot say it', () => {
    const host = found({ here: undefined, exit: '127', queue: '', rsync: '', clock: 'soon', disk: '' });
    expect(host.findings.map(({ what }) => what)).toEqual(['qrun', 'pueue', 'rsync']);
    expect(host).toMatchObject({
      qrun: null,
      queue: null,
      clock_ahead_s: null,
      free_bytes: null,
      locks: null,
    });
  });

  it('is a shell, where the script does not run', () => {
    for (const text of ['', 'This account is closed.\n', printed({ root: 'odd' })]) {
      const host = checkHost(HOST, parseLook(text), ASKED);
      expect(host).toMatchObject({ reached: true, findings: [{ what: 'ssh', exit_code: 26 }] });
    }
  });

  it('decides the exit code by the worst of it', () => {
    expect(checkExit([found()])).toBe(0);
    expect(checkExit([found(), found({ root: 'other' })])).toBe(23);
    expect(checkExit([found({ root: 'other' }), found({ rsync: '' })])).toBe(26);
  });
});

describe('a host that was not reached', () => {
  const end = (stderr: string, exitCode = 255) => ({ exitCode, stderr, timedOut: false });
  it.each([
    [
      '@ REMOTE HOST IDENTIFICATION HAS CHANGED! @',
      'HOST_REFUSED',
      'its host key is not the one',
      'ssh-keygen -R alpha',
    ],
    ['Host key verification failed.', 'HOST_REFUSED', 'not known here', '--accept-new --host alpha'],
    [
      'ssh: Could not resolve hostname alpha: Name or service not known',
      'HOST_UNREACHABLE',
      'there is no host called alpha',
      '~/.ssh/config',
    ],
    [
      'me@alpha: Permission denied (publickey).',
      'HOST_REFUSED',
      'it does not let us in (me@alpha: Permission',
      'ssh-copy-id me@alpha',
    ],
    [
      'banner\r\nssh: connect to host alpha port 22: Connection refused\r\n',
      'HOST_UNREACHABLE',
      'Connection refused',
      'ssh me@alpha',
    ],
    ['', 'HOST_UNREACHABLE', 'ssh failed and said nothing', 'ssh me@alpha'],
  ])('%j', (stderr, code, says, mend) => {
    const problem = sshProblem(HOST, end(stderr));
    expect(problem).toMatchObject({
      code,
      says: expect.stringContaining(says),
      mend: expect.stringContaining(mend),
    });
  });

  it('has no problem if the command there ended, whatever with', () => {
    expect(sshProblem(HOST, end('Permission denied', 1))).toBeUndefined();
  });

  it('stopped answering, if it took too long', () => {
    const problem = sshProblem(HOST, { exitCode: undefined, stderr: '', timedOut: true });
    expect(problem).toMatchObject({ code: 'HOST_UNREACHABLE', says: 'it stopped answering' });
    if (problem === undefined) return;
    const host = unreachedHost(HOST, problem);
    expect(host).toMatchObject({
      reached: false,
      elapsed_ms: null,
      findings: [{ what: 'ssh', exit_code: 26 }],
    });
  });
});

describe('the hosts that are meant', () => {
  const hosts = [HOST, { ...HOST, name: 'beta' }];
  it('are all without names, and else those named', () => {
    expect(chooseHosts(hosts, [], 'qrun.toml')).toEqual(hosts);
    expect(chooseHosts(hosts, ['beta'], 'qrun.toml').map(({ name }) => name)).toEqual(['beta']);
  });

  it('are none of another name, and none where there are no hosts', () => {
    expect(() => chooseHosts(hosts, ['gamma'], 'qrun.toml')).toThrow('there is no host gamma in qrun.toml');
    expect(() => chooseHosts([], [], 'qrun.toml')).toThrow('qrun.toml names no hosts');
  });
});
