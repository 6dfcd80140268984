import { describe, expect, it } from 'vitest';
import { renderBegin, renderEnd, stepsRenderer } from '../../../src/cli/commands/hosts/render-deploy.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import type { HostCheck } from '../../../src/core/hosts/check.js';
import {
  blockers,
  type DeployedHost,
  decision,
  deployExit,
  type HostsDeploy,
  nextCommands,
  otherProblem,
  stepDone,
  stepNote,
  stepProblem,
  tomlLine,
  wordsFor,
} from '../../../src/core/hosts/deploy/deploy.js';
import { parseInstallOrder, parseInstallReply } from '../../../src/core/hosts/deploy/install.js';
import {
  type DeployPlace,
  nodeOf,
  parsePlace,
  placeFindings,
  systemOf,
} from '../../../src/core/hosts/deploy/place.js';
import type { Host } from '../../../src/core/hosts/host.js';

const HOST: Host = { name: 'alpha', ssh: 'me@alpha', root: '/data/s', slots: 1, qrun: ['qrun'] };
const HERE = { version: '20.20.2', system: 'linux x64', glibc: '2.36' };
const PLACE: DeployPlace = {
  place: '/home/me/.qrun',
  node: HERE,
  isForeign: false,
  nearest: '/home/me',
  writable: true,
  current: undefined,
  versions: [],
  freeBytes: 5e10,
};

const SAID = [
  'Welcome to alpha! place=/elsewhere',
  'qrun-place 1',
  'place=/home/me/.qrun',
  'node=20.20.2 linux x64 2.36',
  'foreign=',
  'current=versions/0.1.0-0123456789ab',
  'versions=.partial-alpha-0.1.0-aaaaaaaaaaaa 0.1.0-0123456789ab 0.0.9-bbbbbbbbbbbb old',
  'nearest=/home/me/.qrun/versions',
  'writable=yes',
  'disk=/dev/vda 1000 500 50000000 50% /',
  '',
].join('\n');

describe('the place of a copy on a host', () => {
  it('is what the script there says, whatever the login prints before', () => {
    expect(parsePlace(SAID)).toEqual({
      place: '/home/me/.qrun',
      node: HERE,
      isForeign: false,
      nearest: '/home/me/.qrun/versions',
      writable: true,
      current: '0.1.0-0123456789ab',
      versions: ['0.1.0-0123456789ab', '0.0.9-bbbbbbbbbbbb'],
      freeBytes: 50_000_000 * 1024,
    });
    expect(parsePlace('out of cheese')).toBeUndefined();
    expect(parsePlace('qrun-place 1\nplace=.qrun\n')).toBeUndefined();
    const other = SAID.replace('versions/0.1.0-0123456789ab\n', '/opt/else\n')
      .replace(/node=.*/, 'node=')
      .replace(/disk=.*/, 'disk=?')
      .replace('foreign=', 'foreign=yes');
    expect(parsePlace(other)).toMatchObject({
      current: { strange: true },
      node: undefined,
      freeBytes: undefined,
      isForeign: true,
    });
    expect(parsePlace(SAID.replace('2.36', '-'))?.node?.glibc).toBe('');
  });

  it('is fit where nothing is said against it, and otherwise says what and what to do', () => {
    const found = (more: Partial<DeployPlace>) => placeFindings(HOST, { ...PLACE, ...more }, HERE);
    expect(found({})).toEqual([]);
    expect(found({ node: { ...HERE, version: '22.1.0', glibc: '2.31' } })).toEqual([]);
    const table: [Partial<DeployPlace>, RegExp, number][] = [
      [{ node: undefined }, /no node in the PATH/, 26],
      [{ node: { ...HERE, version: '20.18.0' } }, /20\.18\.0 is too old: 20\.18\.1/, 26],
      [{ node: { ...HERE, version: '18.99.99' } }, /too old/, 26],
      [
        { node: { ...HERE, system: 'linux arm64' } },
        /it is linux arm64 with glibc 2.36, and this is linux x64/,
        26,
      ],
      [{ node: { ...HERE, glibc: '' } }, /it is linux x64, and this is linux x64 with glibc 2.36/, 26],
      [{ isForeign: true }, /can be written by others/, 23],
      [{ writable: false }, /nothing can be written in \/home\/me/, 23],
      [{ current: { strange: true } }, /current is no link to one of its versions/, 23],
      [{ freeBytes: 1e6 }, /free on the disk of \/home\/me/, 23],
    ];
    for (const [more, says, code] of table) {
      expect(found(more)).toEqual([
        {
          what: expect.any(String),
          state: 'problem',
          says: expect.stringMatching(says),
          mend: expect.stringMatching(/./),
          exit_code: code,
        },
      ]);
    }
    expect(systemOf(HERE)).toBe('linux x64 with glibc 2.36');
  });

  it('is run by the Node that qrun.toml names, otherwise by that in the PATH', () => {
    const node = (...qrun: string[]): string => nodeOf({ ...HOST, qrun });
    expect(node('qrun')).toBe('node');
    expect(node('/opt/node/bin/node', '/opt/qrun.cjs')).toBe('/opt/node/bin/node');
    expect(node('/opt/node-22', '/opt/qrun.cjs')).toBe('/opt/node-22');
    expect(node('env', 'A=b', 'qrun')).toBe('node');
    expect(node('/opt/node')).toBe('node');
  });
});

describe('a deployment', () => {
  const check = (more: Partial<HostCheck>): HostCheck => ({
    ...{ name: 'alpha', ssh: 'me@alpha', root: '/data/s', slots: 1, reached: true, elapsed_ms: 1 },
    ...{ node: '20.20.2', qrun: '1.2.3', queue: '4.0.4', free_bytes: 1, clock_ahead_s: 0, locks: 'koffi' },
    sweeps: [],
    findings: [],
    ...more,
  });
  const finding = (what: string, state: 'note' | 'problem' = 'problem') => ({
    ...{ what, state, says: 'it is not there', mend: 'mend it' },
    exit_code: 26,
  });

  it('needs ssh and rsync, and mends a missing qrun', () => {
    const findings = [finding('qrun'), finding('rsync'), finding('pueue'), finding('clock', 'note')];
    expect(blockers({ findings }).map(({ what }) => what)).toEqual(['rsync']);
    expect(otherProblem({ findings })?.what).toBe('pueue');
    expect(otherProblem({ findings: [finding('qrun'), finding('clock', 'note')] })).toBeUndefined();
  });

  it('decides nothing against what runs', () => {
    const sweeps = [{ sweep: 'demo', running: 4, queued: 18 }];
    expect(decision(check({ sweeps }))).toBe(
      'demo: 4 running, 18 queued. They stay with the version that submitted them',
    );
    expect(decision(check({}))).toBe('nothing runs or waits there');
    expect(decision(check({ qrun: null }))).toMatch(/no qrun answers there/);
  });

  it('writes the line of qrun.toml', () => {
    expect(tomlLine(wordsFor(HOST, '/home/me/.qrun'))).toBe('qrun = "/home/me/.qrun/current/bin/qrun.cjs"');
    const own = wordsFor({ ...HOST, qrun: ['/opt/my "node"/node', '/x'] }, '/h/.qrun');
    expect(tomlLine(own)).toBe('qrun = ["/opt/my \\"node\\"/node", "/h/.qrun/current/bin/qrun.cjs"]');
  });

  const host = (
    name: string,
    steps: DeployedHost['steps'],
    more: Partial<DeployedHost> = {},
  ): DeployedHost => ({
    ...{ name, ssh: name, steps, before: null, path: null, switched: false, sent_bytes: null, qrun: null },
    removed: [],
    ...more,
  });
  const good = host('alpha', [stepDone('switch', 'done')], { switched: true });
  const bad = host('beta', [stepProblem('upload', { says: 'full\x1b[31m', mend: 'free it' }, 23)]);
  const report = (more: Partial<HostsDeploy>): HostsDeploy => ({
    ...{ name: '1.2.3-0123456789ab', version: '1.2.3', files: 2, size_bytes: 2048, packages_left_out: [] },
    ...{ dry_run: false, hosts: [good], next: [], exit_code: 0 },
    ...more,
  });

  it('ends with the worst code, and says what to do next with those that have it', () => {
    expect([deployExit([good]), deployExit([good, bad]), deployExit([])]).toEqual([0, 23, 0]);
    expect(nextCommands([good], '/s')).toEqual(['qrun submit-all /s', 'qrun status /s --watch']);
    expect(nextCommands([{ ...good, qrun: ['x'] }, bad], '/s')).toEqual([
      'qrun trust /s',
      'qrun submit-all /s --host=alpha',
      'qrun status /s --watch',
    ]);
    expect(nextCommands([bad], '/s')).toEqual([]);
  });

  it('is shown step by step', () => {
    const style = createStyle({ color: false, unicode: true });
    const show = stepsRenderer(style, ['alpha', 'longer']);
    expect(renderBegin(report({ packages_left_out: ['chdb'] }))).toBe(
      'qrun 1.2.3-0123456789ab: 2K in 2 files, without chdb\n\n',
    );
    expect(
      [
        show('alpha', stepDone('audit', 'fine')),
        show('longer', stepNote('audit', 'fine, but', 'do it')),
        show('alpha', { ...stepDone('upload', '2K'), state: 'would' }),
        show('longer', bad.steps[0] as DeployedHost['steps'][number]),
      ].join(''),
    ).toBe(
      [
        '  audit     ✓ alpha   fine',
        '            ! longer  fine, but',
        '              mend: do it',
        '  upload    - alpha   2K',
        '            ✗ longer  full\\x1b[31m',
        '              mend: free it',
        '',
      ].join('\n'),
    );
    const ends = [
      report({ next: ['qrun submit-all'] }),
      report({ hosts: [good, bad] }),
      report({ dry_run: true }),
      report({ dry_run: true, hosts: [bad] }),
    ];
    expect(ends.map(end => renderEnd(end, style).trim().split('\n')[0])).toEqual([
      'deployed to 1 host',
      'not deployed to 1 of 2 hosts, which go on with what they had',
      'it can be deployed to 1 host; nothing was sent',
      'it cannot be deployed to 1 host; nothing was sent',
    ]);
    expect(renderEnd(ends[0] as HostsDeploy, style)).toMatch(/\n {2}next: qrun submit-all\n$/);
  });

  it('speaks to the copy there in lines of JSON', () => {
    expect(parseInstallOrder('{"install":"switch","ask":{"name":"x","link":null}}')).toEqual({
      install: 'switch',
      ask: { name: 'x', link: null },
    });
    for (const line of ['', '{}', '{"install":"format","ask":{}}', '{"install":"test"}', '[1]']) {
      expect(parseInstallOrder(line), line).toBeUndefined();
    }
    const reply = '{"install":"prune","returns":{"removed":[],"kept":[]}}';
    expect(parseInstallReply(`motd\n{"a":1}\n${reply}\n`, 'prune')).toEqual(JSON.parse(reply));
    expect(parseInstallReply(reply, 'test')).toBeUndefined();
    expect(parseInstallReply('nothing', 'test')).toBeUndefined();
  });
});
