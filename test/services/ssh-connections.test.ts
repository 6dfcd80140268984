import { mkdirSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Host } from '../../src/core/hosts/host.js';
import { sshProblem } from '../../src/core/hosts/ssh-failure.js';
import { HostConnections, type SshOptions } from '../../src/io/hosts/ssh.js';
import { type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';

const hostCalled = (name: string, ssh = name): Host => ({
  name,
  ssh,
  root: '/sweep',
  slots: 1,
  qrun: ['qrun'],
});

describe.skipIf(!sshHostsAvailable())('connections to real hosts', () => {
  let all: SshHosts;
  beforeAll(async () => {
    all = await startSshHosts('alpha', 'beta');
  });
  afterAll(async () => {
    await all?.stop();
  });

  async function withConnections<T>(
    use: (connections: HostConnections) => Promise<T>,
    options: Partial<SshOptions> = {},
  ): Promise<T> {
    const connections = new HostConnections({ env: all.env, ...options });
    try {
      return await use(connections);
    } finally {
      await connections.close();
    }
  }

  const run = async (host: Host, words: readonly string[], options: Partial<SshOptions> = {}) =>
    await withConnections(connections => connections.run(host, words, 20_000), options);

  it('run a command on its own host, with these very words and its exit code', async () => {
    expect((await run(hostCalled('alpha'), ['hostname'])).stdout).toBe('alpha');
    expect((await run(hostCalled('beta'), ['hostname'])).stdout).toBe('beta');
    const odd = ["it's", 'a\\b', '$HOME `id` "x"', '!!', '', '-n', '*', '~', 'é %h'];
    const { stdout } = await run(hostCalled('alpha'), ['printf', '[%s]', ...odd]);
    expect(stdout).toBe(odd.map(word => `[${word}]`).join(''));
    expect((await run(hostCalled('alpha'), ['sh', '-c', 'echo no >&2; exit 7'])).exitCode).toBe(7);
  });

  it('pass on no secret of the environment, and forward no agent', async () => {
    const env = { ...all.env, CLICKHOUSE_PASSWORD: 'hunter2', SSH_AUTH_SOCK: '/nonexistent' };
    const { stdout } = await run(hostCalled('alpha'), ['env'], { env });
    expect(stdout).toContain('SSH_CONNECTION=');
    expect(stdout).not.toMatch(/hunter2|SSH_AUTH_SOCK/);
  });

  it('share one login, through a socket in a directory that nobody else enters, which is gone in the end', async () => {
    const before = mine();
    const logins = (): number => all.hosts[0]?.logins() ?? 0;
    const at = logins();
    const seen = await withConnections(
      async connections => {
        for (let n = 0; n < 3; n += 1) await connections.run(hostCalled('alpha'), ['true'], 20_000);
        return mine()
          .filter(path => !before.includes(path))
          .map(path => [statSync(path).mode & 0o777, readdirSync(path)] as const);
      },
      { shared: true },
    );
    expect(seen).toEqual([[0o700, ['0']]]);
    expect(logins() - at).toBe(1);
    expect(mine()).toEqual(before);
  });

  it('refuse a host whose key is not known, unless new ones are accepted', async () => {
    all.forgetKeys();
    try {
      const refused = await run(hostCalled('alpha'), ['true']);
      expect(sshProblem(hostCalled('alpha'), refused)).toMatchObject({
        code: 'HOST_REFUSED',
        says: expect.stringContaining('not known'),
        mend: expect.stringContaining('qrun hosts check --accept-new --host alpha'),
      });
      expect((await run(hostCalled('alpha'), ['true'], { acceptNew: true })).exitCode).toBe(0);
      expect((await run(hostCalled('alpha'), ['true'])).exitCode).toBe(0);
    } finally {
      all.knowKeys();
    }
  });

  it('refuse a host with another key than the known one, also when new ones are accepted', async () => {
    const beta = all.hosts[1];
    await beta?.newKey();
    try {
      for (const acceptNew of [false, true]) {
        const refused = await run(hostCalled('beta'), ['true'], { acceptNew });
        expect(sshProblem(hostCalled('beta'), refused)).toMatchObject({
          code: 'HOST_REFUSED',
          says: expect.stringContaining('its host key is not the one that is known'),
          mend: expect.stringContaining('ssh-keygen -R beta'),
        });
      }
    } finally {
      all.knowKeys();
    }
    expect((await run(hostCalled('beta'), ['hostname'])).stdout).toBe('beta');
  });

  it('tell a dead host, a name that leads nowhere, and a user who may not log in, within the limit', async () => {
    const alpha = all.hosts[0];
    alpha?.link('down');
    try {
      const dead = await run(hostCalled('alpha'), ['true']);
      expect(dead.timedOut).toBe(false);
      expect(sshProblem(hostCalled('alpha'), dead)).toMatchObject({ code: 'HOST_UNREACHABLE' });
    } finally {
      alpha?.link('up');
    }
    const nowhere = hostCalled('gamma', 'no-such-host.invalid');
    expect(sshProblem(nowhere, await run(nowhere, ['true']))).toMatchObject({
      code: 'HOST_UNREACHABLE',
      says: 'there is no host called no-such-host.invalid',
    });
    const nobody = hostCalled('alpha', 'nobody@alpha');
    expect(sshProblem(nobody, await run(nobody, ['true']))).toMatchObject({
      code: 'HOST_REFUSED',
      mend: expect.stringContaining('ssh-copy-id nobody@alpha'),
    });
  });

  it('send files to a root with any name, through a shell that reads none of it', async () => {
    const from = mkdtempSync(join(tmpdir(), 'send me '));
    mkdirSync(join(from, 'u 1'));
    writeFileSync(join(from, 'u 1', "a'$(touch pwned).sql"), 'SELECT 1');
    const to = join(all.hosts[0]?.directory ?? '', "root '$(id) x");
    await all.hosts[0]?.here('mkdir', to);
    const end = await withConnections(
      connections =>
        connections.send(
          hostCalled('alpha'),
          { cwd: from, options: ['-rlptR'], paths: ['./u 1'], to },
          20_000,
        ),
      { shared: true, env: { ...all.env, XDG_RUNTIME_DIR: from } },
    );
    expect([end.exitCode, end.stderr]).toEqual([0, '']);
    expect(readdirSync(join(to, 'u 1'))).toEqual(["a'$(touch pwned).sql"]);
  });

  it('say which program is missing', async () => {
    const env = { ...all.env, PATH: '/nonexistent' };
    await expect(run(hostCalled('alpha'), ['true'], { env })).rejects.toMatchObject({
      code: 'SSH_MISSING',
      exitCode: 26,
      hint: expect.stringContaining('openssh-client'),
    });
  });

  function mine(): string[] {
    return readdirSync(tmpdir())
      .filter(name => name.startsWith('qrun-ssh-'))
      .map(name => join(tmpdir(), name));
  }
});
