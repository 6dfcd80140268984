// Makes `npx qrun` in a checkout run the checkout: npx looks into node_modules/.bin first, where npm puts only the
// commands of dependencies. Without the link, npx installs the checkout into its own cache and builds it again.
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';

const bin = join(resolve(import.meta.dirname, '..'), 'node_modules', '.bin');
mkdirSync(bin, { recursive: true });
rmSync(join(bin, 'qrun'), { force: true });
symlinkSync(join('..', '..', 'bin', 'qrun.cjs'), join(bin, 'qrun'));
