import { cpSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SubmissionReport } from '../../src/local/sweep/submit.js';
import { type Ended, put, qrun, tree } from '../integration/qrun.js';
import { faultsOf } from '../schemas.js';
import { type SshHost, type SshHosts, sshHostsAvailable, startSshHosts } from './ssh-hosts.js';
import { quick } from './sweep-harness.js';

let all: SshHosts;
let count = 0;

const available = sshHostsAvailable();

beforeAll(async () => {
  if (!available) return;
  all = await startSshHosts('alpha', 'beta');
});
afterAll(async () => {
  await all?.stop();
});

/** A sweep here and on both hosts, each with a directory of its own. */
class HostsSweep {
  readonly name: string;
  readonly root: string;

  constructor(
    readonly files: Readonly<Record<string, string>>,
    { toml = '', sweep = '', hosts = '' } = {},
  ) {
    count += 1;
    this.name = `s${process.pid}n${count}`;
    this.root = realpathSync(tree(files));
    const table = `[sweep]\nname = "${this.name}"\n${sweep}\n`;
    put(this.root, 'qrun.toml', `${toml}\n${table}${all.toml(host => this.rootOn(host), hosts)}`);
    this.push();
  }

  rootOn(host: SshHost): string {
    return join(host.directory, this.name);
  }

  push(...hosts: readonly SshHost[]): void {
    for (const host of hosts.length === 0 ? all.hosts : hosts) {
      cpSync(this.root, this.rootOn(host), {
        recursive: true,
        filter: path => !/\/(results|\.qrun)$/.test(path),
      });
    }
  }

  async qrun(...args: string[]): Promise<Ended> {
    return await qrun(args, { cwd: this.root, env: { ...all.env, QRUN_TRUST: this.root } });
  }

  async submitted(...args: string[]): Promise<SubmissionReport & { readonly stderr: string }> {
    const { code, stdout, stderr } = await this.qrun('submit-all', '.', '--json', ...args);
    expect([code, stderr]).toEqual([0, expect.anything()]);
    const report = JSON.parse(stdout) as SubmissionReport;
    expect(faultsOf('submit-all', report)).toBe('');
    return { ...report, stderr };
  }
}

describe.skipIf(!available)('submit-all over two real hosts', () => {
  it('places units on both, runs them there, collects and audits here', async () => {
    const files = Object.assign({}, ...['a', 'b', 'c', 'd', 'e', 'f'].map(unit => quick(`u/${unit}`, 3)));
    const sweep = new HostsSweep(files);
    const report = await sweep.submitted();
    expect(report.stderr).toBe('');
    expect(report.submitted).toEqual(
      Object.keys(files)
        .filter(n => n.endsWith('q0.sql'))
        .map(n => n.slice(0, 3)),
    );
  });
});
