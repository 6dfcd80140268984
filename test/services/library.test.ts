import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ROOT, requireBuild } from '../built.js';
import { put, removeTree, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { type PueueDaemon, pueueAvailable, startPueueDaemon } from './pueue-daemon.js';

vi.setConfig({ testTimeout: 120_000 });

const PAGE = readFileSync(`${ROOT}docs/library.md`, 'utf8');
const PROGRAM = [...PAGE.matchAll(/```js\n([\s\S]*?)```/g)]
  .map(([, program = '']) => program)
  .find(program => program.includes('openSweep'));

// As somebody has it who installed the package: the programs import `qrun`, and their tasks run in a real queue.
describe.skipIf(!pueueAvailable() && !servicesRequired())('a program, on a real pueue', () => {
  let daemon: PueueDaemon;
  let above = '';
  let root = '';
  beforeEach(async () => {
    requireBuild();
    daemon = await startPueueDaemon();
    above = tree({});
    mkdirSync(join(above, 'node_modules'));
    symlinkSync(ROOT, join(above, 'node_modules/qrun'));
    root = join(above, 'work');
    mkdirSync(root);
  });
  afterEach(async () => {
    // Ends its tasks, too.
    await daemon.stop();
    removeTree(above);
  });

  async function run(program: string): Promise<string> {
    writeFileSync(join(root, 'program.mjs'), program);
    const { stdout, stderr } = await promisify(execFile)(process.execPath, ['program.mjs'], {
      cwd: root,
      env: { ...daemon.env, TZ: 'UTC' },
    });
    expect(stderr).toBe('');
    return stdout;
  }

  it('of docs/library.md submits, looks at and audits a sweep and process jobs', async () => {
    for (const unit of ['2down/a', '2down/b', '2up/c']) put(root, `sql/${unit}/q.sql`, 'SELECT 1 AS n');
    put(root, 'qrun.toml', '');
    put(
      root,
      'jobs.toml',
      'name = "features"\ncommand = ["true"]\n[matrix]\nsymbol = ["BTCUSDT", "ETHUSDT"]\nthreshold = [250]\n',
    );
    const [counts, ...rest] = (await run(PROGRAM ?? '')).split('\n');
    expect(counts).toBe('2 units submitted, 0 complete');
    expect(rest[0]).toMatch(/^sql\/2down\/a (queued|running|complete)$/);
    expect(rest[1]).toMatch(/^sql\/2down\/b (queued|running|complete) (queued|running|done)$/);
    expect(rest[2]).toMatch(/^(complete|incomplete) false .*features@symbol=ETHUSDT,threshold=250$/);
  });

  it('waits for a sweep by its status, and finds it complete', async () => {
    for (const unit of ['a', 'b']) put(root, `${unit}/q.sql`, 'SELECT 1 AS n');
    put(root, 'qrun.toml', '[sweep]\nname = "looked"\n');
    const program = `
      import { setTimeout as delay } from 'node:timers/promises';
      import { openSweep, QrunError } from 'qrun';
      const progress = [];
      const sweep = openSweep('.', { rowsPerQuery: 1 });
      const dry = await sweep.submit({ dryRun: true });
      const first = await sweep.submit({ onProgress: (what, done, total) => progress.push([what, done, total].join(' ')) });
      const again = await sweep.submit();
      for (;;) {
        const { units, audit } = await sweep.status();
        if (audit.state === 'done' && units.every(({ state }) => state === 'complete')) break;
        await delay(100);
      }
      const { verdict } = await sweep.audit();
      const last = await sweep.submit();
      const refused = await sweep.submit({ finalizers: ['mysql --password=s3cr3t-t0ken'] }).catch(error => error);
      const nowhere = openSweep('.', { env: { PATH: '/nonexistent' } });
      const gone = await nowhere.submit().catch(error => error);
      console.log(JSON.stringify({
        sweep: [sweep.name, sweep.group, sweep.units],
        dry: [dry.submitted, dry.dry_run], first: first.submitted, again: again.submitted, progress: progress.sort(),
        verdict, last: [last.complete, last.audit],
        refused: refused instanceof QrunError && refused.code,
        gone: [gone.code, gone.exitCode, (await nowhere.status()).queue_problem !== null],
      }));`;
    expect(JSON.parse(await run(program))).toEqual({
      sweep: ['looked', 'qrun-looked', ['a', 'b']],
      dry: [['a', 'b'], true],
      first: ['a', 'b'],
      again: [],
      progress: ['checked 1 2', 'checked 2 2', 'submitted 1 2', 'submitted 2 2'],
      verdict: 'complete',
      last: [['a', 'b'], 'not due'],
      refused: 'USAGE',
      gone: ['QUEUE_MISSING', 26, true],
    });
  });

  it('refuses options that there are not, and stops where it is told to', async () => {
    put(root, 'a/q.sql', 'SELECT 1 AS n');
    const program = `
      import { openSweep } from 'qrun';
      const said = [];
      try { openSweep('.', { rowsPerQery: 3 }); } catch (error) { said.push(error.code, error.message); }
      const reason = new Error('enough');
      const stopped = await openSweep('.').submit({ signal: AbortSignal.abort(reason) }).catch(error => error);
      said.push(stopped.message);
      console.log(JSON.stringify(said));`;
    expect(JSON.parse(await run(program))).toEqual([
      'CONFIG',
      'openSweep has no option rowsPerQery',
      'enough',
    ]);
  });
});
