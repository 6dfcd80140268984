import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT, requireBuild } from '../built.js';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, 'utf8')) as {
  packages: Record<string, Locked>;
};
const fetched = Object.entries(packages).filter(([path, { link }]) => path !== '' && link !== true);

// For other machines; the registry did not show them when the lock was made. Where they are, npm takes them unchecked.
const WITHOUT_HASH = ['@chdb/lib-darwin-arm64', '@chdb/lib-darwin-x64', '@chdb/lib-linux-arm64-gnu'];
// koffi: finds its prebuilt binary. chdb: does nothing on a machine for which there is a package with the library.
const WITH_SCRIPT = ['node_modules/chdb', 'node_modules/koffi'];

describe('package-lock.json', () => {
  it('has a hash for each package that is fetched', () => {
    expect(fetched.length).toBeGreaterThan(150);
    const without = fetched.filter(([, { integrity }]) => integrity === undefined);
    expect(without.map(([path]) => path.replace('node_modules/', ''))).toEqual(WITHOUT_HASH);
    for (const [path, { integrity }] of fetched) {
      if (integrity !== undefined) expect(integrity, path).toMatch(/^sha512-[\w+/]{86}==$/);
    }
  });

  it('names no host but that of the public registry', () => {
    const elsewhere = fetched.filter(
      ([, { resolved }]) => resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/'),
    );
    expect(elsewhere).toEqual([]);
  });

  it('lets no package run a script but those that are known', () => {
    const paths = fetched.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path);
    expect(paths).toEqual(WITH_SCRIPT);
  });
});

describe('the package', () => {
  const ALLOWED: readonly RegExp[] = [
    /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md|docker-compose\.yml)$/,
    /^bin\/qrun\.cjs$/,
    /^dist\/(?:index|(?:core|io|app|local)\/(?:[\w-]+\/)*[\w.-]+)\.(?:js|d\.ts)$/,
    /^dist\/cli\/bundle\/(?:[\w-]+\.js|package\.json)$/,
    /^schema\/[\w.-]+\.json$/,
    /^sql\/(?:\w+\/)*\w+\.sql$/,
    /^sql\/README\.md$/,
    /^docs\/[\w-]+\.(?:md|svg)$/,
  ];

  it('holds what it is meant to hold, and nothing else', () => {
    requireBuild();
    const listing = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    const [{ files }] = JSON.parse(listing) as [{ files: { path: string; mode: number }[] }];
    const paths = files.map(({ path }) => path);
    expect(paths.filter(path => !ALLOWED.some(allowed => allowed.test(path)))).toEqual([]);
    for (const allowed of ALLOWED)
      expect(
        paths.some(path => allowed.test(path)),
        String(allowed),
      ).toBe(true);
  });

  it('holds no path of the machine that built it', () => {
    requireBuild();
    const bundle = join(ROOT, 'dist/cli/bundle');
    for (const name of readdirSync(bundle)) {
      expect(readFileSync(join(bundle, name), 'utf8').includes(ROOT.slice(0, -1)), name).toBe(false);
    }
  });
});
