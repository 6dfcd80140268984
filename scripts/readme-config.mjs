// Writes the tables of the documents that come from the source as compiled to dist, each between its markers: that of
// the configuration in README.md, and that of exit codes for schedulers in docs/scale.md.
//
//   node scripts/readme-config.mjs           writes it
//   node scripts/readme-config.mjs --check   writes nothing; exits 1 if it differs

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const load = path => import(pathToFileURL(join(ROOT, 'dist', path)).href);
const keys = await load('core/config/keys.js');
const { taskEndTable } = await load('core/queue/task-end.js');

const cell = text => (text === undefined ? '' : text.replace(/[|<]|__/g, '\\$&'));
const code = text => (text === undefined ? '' : `\`${text}\``);

const rows = keys.TOML_KEYS.map(key => {
  const { also, ...first } = keys.entryOf(key);
  const flags = [first, also].filter(flag => flag?.flag !== undefined && !flag.hidden);
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

const TABLES = [
  { document: 'README.md', marker: 'configuration', text: table },
  { document: 'docs/scale.md', marker: 'task-ends', text: taskEndTable() },
];

for (const { document, marker, text } of TABLES) {
  const path = join(ROOT, document);
  const before = readFileSync(path, 'utf8');
  const after = before.replace(
    new RegExp(`(<!-- ${marker} -->\\n)[\\s\\S]*?(<!-- /${marker} -->)`),
    (_, begin, end) => `${begin}${text}\n${end}`,
  );
  const isSame = after === before && after.includes(text);
  if (process.argv.includes('--check')) {
    if (isSame) continue;
    console.error(
      `the ${marker} table in ${document} does not match the source; node scripts/readme-config.mjs writes it`,
    );
    process.exitCode = 1;
  } else if (after !== before) {
    writeFileSync(path, after);
  }
}
