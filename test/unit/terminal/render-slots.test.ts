import { describe, expect, it } from 'vitest';
import { renderSlots, slotsEventLine, slotsLook } from '../../../src/cli/commands/hosts/render-slots.js';
import { createStyle } from '../../../src/cli/terminal/style.js';
import type { HostSlots } from '../../../src/core/hosts/slots/report.js';
import type { HostSample } from '../../../src/core/hosts/slots/watch.js';

const style = createStyle({ color: false, unicode: true, columns: 200 });
const sample: HostSample = {
  ...{ slots: 8, running: 8, queued: 1_200, load1: 6.5, cores: 8, swap_used_bytes: 0, swap_pages: 0 },
  ...{ memory_bytes: 64e9, memory_available_bytes: 12 * 1024 ** 3, attempts: 1_210, failed: 14, errors: {} },
};
const host: HostSlots = {
  ...{
    host: 'alpha',
    outcome: 'kept',
    before: 4,
    slots: 8,
    configured: 8,
    says: '',
    mend: null,
    samples: 30,
  },
  ...{ baseline: { ...sample, slots: 4 }, last: sample, harms: [] },
};
const harms = [{ what: 'load' as const, says: 'load 1.90 for each core' }];

function shown(more: Partial<HostSlots>): string[] {
  const report = { sweep: 's', group: 'qrun-s', asked: 8, watch_ms: 300_000, hosts: [{ ...host, ...more }] };
  return renderSlots({ ...report, exit_code: 0 }, style).split('\n');
}

describe('the slots of hosts', () => {
  it('are a table and what became of each host', () => {
    expect(shown({})).toEqual([
      '  group qrun-s of the sweep s',
      '',
      '  host    slots  running  queued  load  memory       failed',
      '  alpha  4 -> 8        8   1,200  0.81     12G  14 of 1,210',
      '  ✓ alpha  keeps 8: no limit was passed in 5m 00s (30 looks)',
      '',
    ]);
  });

  it.each<[Partial<HostSlots>, RegExp]>([
    [
      { outcome: 'shown', slots: null, last: null },
      /^ {2}alpha {2}has no group qrun-s: nothing was submitted there$/,
    ],
    [{ outcome: 'set', slots: 2 }, /✓ alpha {2}set to 2, not watched$/],
    [{ outcome: 'stepped_back', slots: 4, harms }, /✗ alpha {2}set back to 4: load 1\.90 for each core$/],
    [{ outcome: 'harmed', harms }, /✗ alpha {2}stays at 8, which is not more than before: load 1\.90/],
    [{ outcome: 'overruled', slots: 5 }, /! alpha {2}has 5 now, which was not set here/],
    [{ outcome: 'overruled', slots: null }, /! alpha {2}has none now/],
    [
      { outcome: 'silent', says: 'gone' },
      /✗ alpha {2}does not answer; its slots stay as they were set: gone$/,
    ],
    [{ outcome: 'interrupted' }, /! alpha {2}keeps 8, and is not watched any more$/],
    [
      { outcome: 'interrupted', slots: 4 },
      /! alpha {2}interrupted: qrun hosts slots shows what is set there$/,
    ],
    [{ outcome: 'failed', says: 'gone', baseline: null, last: null, slots: null }, /✗ alpha {2}gone$/],
    [
      { outcome: 'failed', says: 'gone', harms },
      /✗ alpha {2}could not be set back: load 1\.90 for each core; gone$/,
    ],
  ])('%j', (more, line) => expect(shown(more)).toContainEqual(expect.stringMatching(line)));

  it('say how a problem is mended, and what the next submission would set', () => {
    expect(shown({ outcome: 'failed', says: 'gone', mend: 'ssh alpha' })).toContain('    mend: ssh alpha');
    expect(shown({ configured: 4 })).toContain(
      '    to keep them: slots = 8 of alpha in qrun.toml, which says 4: the next submit-all sets that',
    );
    expect(shown({ outcome: 'shown', configured: 4 }).join()).not.toMatch(/to keep them/);
    expect(shown({ configured: null }).join()).not.toMatch(/to keep them/);
  });

  it('hold no control characters of a host', () => {
    expect(shown({ outcome: 'failed', says: 'a\u001b[2Jb' }).join('')).not.toContain('\u001b');
    expect(
      shown({ outcome: 'stepped_back', harms: [{ what: 'load', says: '\u001b]0;x' }] }).join(''),
    ).not.toContain('\u001b');
  });

  it('are told while it goes on', () => {
    expect(slotsEventLine('alpha', { type: 'set', from: null, to: 4, watched: true }, style)).toBe(
      'alpha  none -> 4; watching',
    );
    expect(slotsEventLine('alpha', { type: 'set', from: 0, to: 4, watched: false }, style)).toBe(
      'alpha  no limit -> 4',
    );
    expect(slotsEventLine('alpha', { type: 'silent', says: 'gone' }, style)).toBe(
      '! alpha  does not answer: gone; its slots stay as they are',
    );
    expect(slotsEventLine('alpha', { type: 'back' }, style)).toBe('alpha  answers again');
    expect(slotsEventLine('alpha', { type: 'harm', harms }, style)).toBe('✗ alpha  load 1.90 for each core');
    expect(slotsLook('alpha', { type: 'look', sample, leftMs: 250_000 }, style)).toBe(
      'alpha  8 slots, 8 running, 1,200 queued, load 0.81, 12G free, 14 of 1,210 failed  4m 10s left',
    );
    expect(
      slotsLook('alpha', { type: 'look', sample: { ...sample, attempts: 0 }, leftMs: 0 }, style),
    ).toMatch(/ 12G free {2}0 ms left$/);
  });
});
