// Writes the configuration table of README.md, between its markers, from the table of the source as compiled to dist:
//
//   node scripts/readme-config.mjs           writes it
//   node scripts/readme-config.mjs --check   writes nothing; exits 1 if it differs

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const README = join(ROOT, 'README.md');
const keys = await import(pathToFileURL(join(ROOT, 'dist', 'core', 'config', 'keys.js')).href);

const cell = text => (text === undefined ? '' : text.replace(/[|<]|__/g, '\\$&'));
const code = text => (text === undefined ? '' : `\`${text}\``);

const rows = keys.TOML_KEYS.map(key => {
  const { also, ...first } = keys.entryOf(key);
  const flags = [first, also].filter(flag => flag !== undefined && !flag.hidden);
  const cells = [
    code(keys.tomlName(key)),
    cell(keys.descriptionOf(key)),
    cell(keys.defaultText(key)),
    flags.map(({ flag }) => code(flag)).join(' '),
    code(keys.environmentName(key)),
  ];
  return `| ${cells.join(' | ')} |`;
});
const table = ['| key | what | default | flag | environment |', '|---|---|---|---|---|', ...rows].join('\n');

const before = readFileSync(README, 'utf8');
const after = before.replace(
  /(<!-- configuration -->\n)[\s\S]*?(<!-- \/configuration -->)/,
  (_, begin, end) => `${begin}${table}\n${end}`,
);
if (process.argv.includes('--check')) {
  if (after !== before || !after.includes(table)) {
    console.error(
      'the configuration table in README.md does not match the source; node scripts/readme-config.mjs writes it',
    );
    process.exitCode = 1;
  }
} else if (after !== before) {
  writeFileSync(README, after);
}
