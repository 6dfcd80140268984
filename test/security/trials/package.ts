import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Trial, verdict } from './world.js';

// For other machines, and not shown by the registry when the lock was made: npm cannot check them.
const UNKNOWN = ['@chdb/lib-darwin-arm64', '@chdb/lib-darwin-x64', '@chdb/lib-linux-arm64-gnu'];

/** What is shipped, and what it is made of; `root` is that of the repository. */
export function packageTrials(root: string): readonly Trial[] {
  return [
    {
      name: 'a package that npm ci fetches is not checked: it has no hash in the lock',
      run: async () => {
        const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
          packages: Record<string, { integrity?: string; link?: boolean }>;
        };
        const without = Object.entries(packages)
          .filter(([path, one]) => path !== '' && !one.link && !one.integrity)
          .map(([path]) => path.replace(/^node_modules\//, ''));
        const others = without.filter(name => !UNKNOWN.includes(name));
        const saw = `${Object.keys(packages).length - 1} packages, without: ${without.join(', ')}`;
        return verdict(others.length > 0, saw);
      },
    },
    {
      name: 'npm pack takes a .env and results that lie in sql/',
      run: async world => {
        for (const name of ['package.json', 'README.md', 'LICENSE', 'sql/_setup.sql']) {
          world.put(`package/${name}`, readFileSync(join(root, name)));
        }
        for (const name of ['sql/.env', 'sql/q.ndjson', 'docs/x.json', 'bin/.env', '.env'])
          world.put(`package/${name}`, 'x');
        const said = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
          cwd: join(world.root, 'package'),
          encoding: 'utf8',
        });
        const [{ files }] = JSON.parse(said) as [{ files: { path: string }[] }];
        const stray = files.map(({ path }) => path).filter(path => /\.env|ndjson|x\.json/.test(path));
        return verdict(stray.length > 0, stray.join(', ') || `${files.length} files, none of them`);
      },
    },
    {
      name: 'the bundle of the package names a directory of the machine that built it',
      run: async () => {
        const bundle = join(root, 'dist/cli/bundle');
        if (!existsSync(bundle)) return { state: 'left out', saw: 'it is not built' };
        const code = readdirSync(bundle).map(name => readFileSync(join(bundle, name), 'utf8'));
        const found = [root.replace(/\/$/, ''), process.env.HOME ?? '/root'].filter(text =>
          code.some(one => one.includes(text)),
        );
        return verdict(found.length > 0, found.length > 0 ? `holds ${found.join(', ')}` : 'no path of it');
      },
    },
  ];
}
