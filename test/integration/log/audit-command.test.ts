import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { encodeRowless } from '../../../src/core/log/record.js';
import type { Settings } from '../../../src/core/model.js';
import { fingerprinter } from '../../../src/core/unit/fingerprint.js';
import { appendRun, type RunStart } from '../../../src/io/log/run-sidecar.js';
import { auditIn } from '../../../src/local/unit/audit.js';
import { unitContext } from '../../../src/local/unit/context.js';
import { sampleHead } from '../../unit/log/log-samples.js';
import { put, removeTree, tree } from '../qrun.js';

const SQL = 'SELECT 1 AS a';
let root = '';

afterEach(() => {
  removeTree(root);
});

/** A unit that a run with these settings has recorded whole, as its log and sidecar say. */
async function recorded(settings: Settings, toml = ''): Promise<void> {
  root = tree({ 'qrun.toml': toml, 'u/a.sql': SQL });
  const fingerprint = fingerprinter({ parameters: {}, settings })(Buffer.from(SQL));
  const head = sampleHead({ unit: 'u', query: 'a', fingerprint, run: 'r1' });
  put(root, 'results/u.ndjson', encodeRowless(head, { outcome: 'skipped', stats: undefined }));
  const start = { event: 'start', schema: 1, run: 'r1', unit: 'u', settings, rows_per_query: null };
  await appendRun(join(root, 'results/u.ndjson'), start as unknown as RunStart);
}

const audit = (flags = {}, env = {}) => auditIn(unitContext(join(root, 'u'), { flags }, { cwd: root, env }));

describe('an audit', () => {
  it('is judged by the resolved configuration, and not by the settings of the last run', async () => {
    const settings = { join_use_nulls: '1' };
    await recorded(settings);
    expect(await audit()).toMatchObject({
      verdict: 'incomplete',
      stale: ['a'],
      settings: {},
      last_run: { run: 'r1', settings },
    });
    const given = await audit({ settings });
    expect(given).toMatchObject({ verdict: 'complete', settings });
    expect(given).toMatchObject({ last_run: null });
  });

  it.each([
    ['[settings] of qrun.toml', '[settings]\njoin_use_nulls = 1\n', {}],
    ['database of qrun.toml', 'database = "d"\n', {}],
    ['CLICKHOUSE_DATABASE', '', { CLICKHOUSE_DATABASE: 'd' }],
  ])('takes %s for given', async (_, toml, env) => {
    await recorded({}, toml);
    expect(await audit({}, env)).toMatchObject({ verdict: 'incomplete', stale: ['a'] });
  });
});
