import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type ClickHouseServer, startClickHouseServer } from '../test/services/clickhouse-server.js';
import { commit } from './commit.js';
import { embedded } from './embedded.js';
import { imports } from './imports.js';
import { makespan } from './makespan.js';
import { REPOSITORY } from './measure.js';
import { plot } from './plot.js';
import { profile } from './profile.js';
import { type BenchReport, inMarkdown } from './report.js';
import type { BenchContext, PartResult } from './result.js';
import { scan } from './scan.js';
import { servers } from './servers.js';
import { start } from './start.js';
import { sweep } from './sweep.js';
import { throughput } from './throughput.js';

// usage: npm run bench -- [--only PART,...] [--rounds N] [--quick] [--json] [--report]
// Starts and stops its own server. --report updates docs/performance.json, its table in docs/performance.md and
// the plot; --quick does a tenth of the work, to try out the bench itself.

const PARTS: Readonly<Record<string, (context: BenchContext) => Promise<PartResult>>> = {
  throughput,
  profile,
  makespan,
  servers,
  sweep,
  scan,
  import: imports,
  commit,
  start,
  embedded,
};

const { values: options } = parseArgs({
  options: {
    only: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
});
const chosen = options.only?.split(',') ?? Object.keys(PARTS);
const unknown = chosen.filter(name => !(name in PARTS));
if (unknown.length > 0) {
  process.stderr.write(`no part ${unknown.join(', ')}; there are ${Object.keys(PARTS).join(', ')}\n`);
  process.exit(2);
}
const rounds = Number(options.rounds);
if (!Number.isInteger(rounds) || rounds < 1) {
  process.stderr.write(`--rounds ${options.rounds}: must be 1 or more\n`);
  process.exit(2);
}

if (options.report && options.quick) {
  process.stderr.write('--report with --quick: a tenth of the work yields no numbers worth keeping\n');
  process.exit(2);
}

const base = mkdtempSync(join(tmpdir(), 'qrun-bench-'));
const clean = (): void => rmSync(base, { recursive: true, force: true });
process.once('exit', clean);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1));
let server: ClickHouseServer | undefined;
const results: PartResult[] = [];
try {
  for (const name of chosen) {
    const directory = mkdtempSync(join(base, `${name}-`));
    const startedMs = performance.now();
    const result = await PARTS[name]?.({
      directory,
      rounds,
      scale: options.quick ? 10 : 1,
      server: async () => {
        server ??= await startClickHouseServer();
        return server;
      },
      tell: text => process.stderr.write(`${name}  ${text}\n`),
    });
    if (result !== undefined) results.push(result);
    rmSync(directory, { recursive: true, force: true });
    process.stderr.write(`${name} took ${((performance.now() - startedMs) / 1000).toFixed(0)} s\n`);
  }
} finally {
  await server?.stop();
}
const report: BenchReport = {
  date: new Date().toISOString().slice(0, 10),
  commit: execFileSync('git', ['-C', REPOSITORY, 'rev-parse', '--short', 'HEAD'], {
    encoding: 'utf8',
  }).trim(),
  machine: `${cpus().length} x ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
  node: process.versions.node,
  quick: options.quick,
  results,
};
process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : inMarkdown(report));
if (options.report) writeReport(report);

// A part that did not run keeps its last results.
function writeReport(now: BenchReport): void {
  const dataPath = join(REPOSITORY, 'docs/performance.json');
  let before: readonly PartResult[] = [];
  try {
    before = (JSON.parse(readFileSync(dataPath, 'utf8')) as BenchReport).results;
  } catch {
    // The first report.
  }
  const all = Object.keys(PARTS).flatMap(part => {
    const result = now.results.find(r => r.part === part) ?? before.find(r => r.part === part);
    return result === undefined ? [] : [result];
  });
  const merged = { ...now, results: all };
  writeFileSync(dataPath, `${JSON.stringify(merged, undefined, 2)}\n`);
  const documentPath = join(REPOSITORY, 'docs/performance.md');
  const text = readFileSync(documentPath, 'utf8');
  const marked = /<!-- bench -->[\s\S]*<!-- \/bench -->/;
  if (!marked.test(text)) throw new Error(`${documentPath} has no place for the tables`);
  const drawing = join(REPOSITORY, 'docs/performance.svg');
  writeFileSync(drawing, plot(merged));
  const block = `${inMarkdown(merged)}\n![small queries a second](performance.svg)\n`;
  writeFileSync(
    documentPath,
    text.replace(marked, () => `<!-- bench -->\n${block}<!-- /bench -->`),
  );
}
