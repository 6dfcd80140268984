// Asks the registry whether advisories are known for the packages of package-lock.json: node scripts/audit-packages.mjs
//
// The exit code is 0 when there are none, 1 when there are some, and 2 when the registry could not be asked, for example
// because a mirror serves only packages. In that case nothing is known, which is not the same as nothing found.
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '..');
const { stdout, stderr } = spawnSync('npm', ['audit', '--json'], { cwd: ROOT, encoding: 'utf8' });
let report;
try {
  report = JSON.parse(stdout);
} catch {
  report = {};
}
const counts = report.metadata?.vulnerabilities;
if (counts === undefined) {
  const said = report.message ?? stderr.trim().split('\n')[0] ?? 'no answer';
  process.stderr.write(`NOT ASKED: the registry returned no advisories: ${said}\n`);
  process.exit(2);
}
for (const { name, severity, range } of Object.values(report.vulnerabilities ?? {})) {
  process.stdout.write(`${severity} ${name} ${range}\n`);
}
process.stdout.write(`${counts.total} of ${report.metadata.dependencies.total} packages have advisories\n`);
process.exit(counts.total === 0 ? 0 : 1);
