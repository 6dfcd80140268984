// Builds qrun and the programs of the fault injection into a directory of their own, which no other build can change
// while they run: `node scripts/torture-home.mjs DIRECTORY`.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const [, , home] = process.argv;
const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
const args = [tsc, '-p', join(ROOT, 'test/torture/tsconfig.json'), '--outDir', home];
const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
if (status !== 0) process.exit(1);
symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
symlinkSync('src', join(home, 'dist'));
// Not bundled here, so that a mutation is one line of one module.
mkdirSync(join(home, 'src/cli/bundle'));
writeFileSync(join(home, 'src/cli/bundle/main.js'), "export * from '../main.js';\n");
for (const path of [
  'bin',
  'package.json',
  'scripts/bundle.mjs',
  'test/services/ssh-host.sh',
  'test/torture/shim',
  'test/torture/programs',
]) {
  mkdirSync(dirname(join(home, path)), { recursive: true });
  cpSync(join(ROOT, path), join(home, path), { recursive: true });
}
