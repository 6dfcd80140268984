import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { exitTable } from '../../src/cli/program.js';
import { resolveConfig } from '../../src/core/config/config.js';
import { EXIT_TABLE } from '../../src/core/errors.js';
import { ROOT, requireBuild } from '../built.js';
import { faultsOf, SCHEMAS } from '../schemas.js';

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const readme = read('README.md');

test('the exit table of the README is that of the code', () => {
  const rows = EXIT_TABLE.map(({ code, meaning }) => `| ${code} | ${meaning} |`).join('\n');
  expect(readme).toContain(`<!-- exit-table -->\n${rows}\n<!-- /exit-table -->`);
});

test('the exit table of --help has a line for each code', () => {
  const lines = exitTable().split('\n');
  for (const { code } of EXIT_TABLE) expect(lines).toContainEqual(expect.stringMatching(`^ +${code}  `));
  for (const { meaning } of EXIT_TABLE) expect(exitTable()).toContain(meaning);
});

test('the table of configuration of the README is that of the code', () => {
  requireBuild();
  const check = spawnSync(process.execPath, [join(ROOT, 'scripts', 'readme-config.mjs'), '--check'], {
    encoding: 'utf8',
  });
  expect([check.status, check.stderr]).toEqual([0, '']);
});

test('the qrun.toml of the README is one that qrun takes', () => {
  const block = /```toml\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  const values = parse(block);
  expect(Object.keys(values).length).toBeGreaterThan(4);
  expect(() => resolveConfig({ toml: { file: 'qrun.toml', values }, env: {}, flags: {} })).not.toThrow();
});

test('the record of the README has the length that it says', () => {
  const line = /```json\n(\{"unit".*\})\n```/.exec(readme)?.[1] ?? '';
  const rest = /,"rest_bytes":(\d+)(.*)$/.exec(line);
  expect(Number(rest?.[1])).toBe(Buffer.byteLength(rest?.[2] ?? ''));
});

test('links between the documents lead somewhere', () => {
  const documents = [
    'README.md',
    ...readdirSync(join(ROOT, 'docs'))
      .filter(name => name.endsWith('.md'))
      .map(name => `docs/${name}`),
  ];
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      expect(
        () => readFileSync(join(ROOT, document, '..', target)),
        `${document} -> ${target}`,
      ).not.toThrow();
    }
  }
});

test('what programs read is shown as its schemas say, one of each', () => {
  const page = read('docs/machine-output.md');
  const linked = [...page.matchAll(/\| \[(\S+)\]\(\.\.\/schema\/\1\.schema\.json\) \|/g)].map(
    ([, name]) => name,
  );
  expect(linked.sort()).toEqual([...SCHEMAS.keys(), 'record'].sort());
  for (const name of SCHEMAS.keys()) {
    const [, example = ''] = page.split(`\n### ${name}\n\n\`\`\`json\n`);
    const lines = example.slice(0, example.indexOf('\n```')).split('\n');
    for (const line of lines) expect(faultsOf(name, JSON.parse(line)), name).toBe('');
  }
});
