import { describe, expect, it } from 'vitest';
import { changeJson, renderChange } from '../../../src/cli/commands/autoscale/render.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import { decideSlots, type GroupLoad, type ScaleLimits } from '../../../src/core/machine/autoscale.js';
import type { HostFacts } from '../../../src/io/machine/host.js';

const G = 1024 ** 3;
const STYLE = createStyle({ color: false, unicode: true, columns: 80 });
const TIME = new Date(2026, 0, 31, 12, 0, 3);
const GROUP: GroupLoad = { name: 'qrun-gen600', slots: 4, paused: false, queued: 18, running: 4 };
const LIMITS: ScaleLimits = { min: 1, max: 8, total: 8, memoryPerJobBytes: 8 * G };
const HOST = {
  cores: 16,
  cpuPercent: 31.4,
  memoryPercent: 44,
  memoryAvailableBytes: 20.1 * G,
  load1: 5,
} as HostFacts;

function line(
  host: Partial<HostFacts> = {},
  group: Partial<GroupLoad> = {},
  limits: Partial<ScaleLimits> = {},
) {
  const facts = { ...HOST, ...host };
  const all = { ...LIMITS, ...limits };
  const [decision] = decideSlots([{ ...GROUP, ...group }], facts, all);
  if (decision === undefined) throw new Error('no decision');
  const round = { host: facts, limits: all, dryRun: false, time: TIME };
  return { text: renderChange(decision, round, STYLE), json: changeJson(decision, round) };
}

describe('a decision in one line', () => {
  it.each([
    [
      'up',
      line(),
      '12:00:03  qrun-gen600       4 -> 5    cpu 31 % (< 40 %), memory 44 % (< 60 %), 18 queued, 8G fits (20.1G free)',
    ],
    [
      'down',
      line({ cpuPercent: 93 }),
      '12:00:03  qrun-gen600       4 -> 3    cpu 93 % (> 80 %), memory 44 % (< 60 %), 18 queued',
    ],
    [
      'between',
      line({ cpuPercent: 55 }),
      '12:00:03  qrun-gen600       4         cpu 55 %, memory 44 % (< 60 %), 18 queued, between the marks',
    ],
    [
      'does not fit',
      line({ memoryAvailableBytes: 3 * G }),
      '12:00:03  qrun-gen600       4         cpu 31 % (< 40 %), memory 44 % (< 60 %), 18 queued, 8G does not fit (3G free)',
    ],
    [
      'at max',
      line({}, { slots: 8, running: 8 }),
      '12:00:03  qrun-gen600       8         cpu 31 % (< 40 %), memory 44 % (< 60 %), 18 queued, max 8, at its maximum',
    ],
    [
      'paused',
      line({}, { paused: true }),
      '12:00:03  qrun-gen600       4         paused: qrun doctor says how to start it',
    ],
    ['nothing queued', line({}, { queued: 0 }), '12:00:03  qrun-gen600       4         nothing queued'],
    [
      'no limit',
      line({}, { slots: 0, running: 99 }),
      '12:00:03  qrun-gen600       0 -> 8    cpu 31 % (< 40 %), memory 44 % (< 60 %), 18 queued, max 8, it had no limit',
    ],
  ])('%s', (_title, { text }, expected) => {
    expect(text).toBe(`${expected}\n`);
  });

  it('escapes what a name holds, and colours only where colours are on', () => {
    expect(line({}, { name: 'qrun-\u001b[31m' }).text).toContain('qrun-\\x1b[31m');
    expect(line().text).not.toContain('\u001b');
  });

  it('has all of it in JSON too', () => {
    expect(line().json).toEqual({
      time: TIME.toISOString(),
      group: 'qrun-gen600',
      from: 4,
      to: 5,
      reason: 'idle',
      violations: [],
      queued: 18,
      running: 4,
      paused: false,
      cpu_percent: 31.4,
      memory_percent: 44,
      memory_available_bytes: 20.1 * G,
      load1: 5,
      cores: 16,
      min: 1,
      max: 8,
      total: 8,
      memory_per_job_bytes: 8 * G,
      dry_run: false,
    });
    expect(line({}, { queued: 0 }).json.reason).toBe('nothing_queued');
  });
});

describe('a step back', () => {
  const round = { host: HOST, limits: LIMITS, dryRun: false, time: TIME };
  const step = { group: GROUP, from: 4, to: 3, violations: ['load 15.0 (must be < 14.4: 0.9 x 16 cores)'] };

  it('is one line, too', () => {
    expect(renderChange(step, round, STYLE)).toBe(
      '12:00:03  qrun-gen600       4 -> 3    stepped back: load 15.0 (must be < 14.4: 0.9 x 16 cores); not up again for 5 minutes\n',
    );
    expect(renderChange({ ...step, from: 1, to: 1 }, round, STYLE)).toContain(', at its minimum; ');
  });

  it('has its violations in JSON', () => {
    expect(changeJson(step, round)).toMatchObject({
      group: 'qrun-gen600',
      from: 4,
      to: 3,
      reason: 'watch',
      violations: step.violations,
    });
  });
});
