import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endAll, qrun, records, removeTree, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { systemdUserAvailable, WITH_SYSTEMD_USER } from './systemd-user.js';

// Takes as much memory as its parameter says.
const TOML = `name = "cap"
command = ["python3", "-c", "import sys; bytearray(int(sys.argv[1]) << 20); print('enough')", "{mb}"]
memory_max = "128M"
[matrix]
mb = [10, 400]
`;

describe.skipIf(!systemdUserAvailable() && !servicesRequired())('a process job under its memory cap', () => {
  let root = '';
  afterEach(() => {
    endAll();
    removeTree(root);
  });

  it('is killed at it with 137 and said to be, while one below it is done', {
    timeout: 120_000,
  }, async () => {
    root = tree({ 'jobs.toml': TOML });
    const { PATH = '' } = process.env;
    const run = (mb: number) =>
      qrun(['job', '--config=jobs.toml', `--name=cap@mb=${mb}`], {
        cwd: root,
        env: { PATH },
        prefix: WITH_SYSTEMD_USER,
      });
    const small = await run(10);
    expect(small).toMatchObject({ code: 0, stdout: 'enough\n' });
    expect(small.stderr).toMatch(/^cap@mb=10: done in [^\n]*\n$/);
    const large = await run(400);
    expect(large).toMatchObject({ code: 137, stdout: '' });
    expect(large.stderr).toMatch(/^cap@mb=400: killed at its memory cap of 128M \(137\)/);
    const end = records(readFileSync(join(root, 'results', 'cap@mb=400.runs'))).at(-1);
    expect(end).toMatchObject({ event: 'end', killed_at_cap: true });
    const check = await qrun(['process-all', '--check'], { cwd: root });
    expect(check.code).toBe(20);
    expect(check.stdout).toContain('cap@mb=400 (memory cap, attempt 1)');
  });
});
