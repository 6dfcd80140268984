import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Selection, selectNames } from '../../../src/core/unit/selection.js';
import { anyName } from '../log/log-samples.js';

const ALL: Selection = { include: [], exclude: [], shard: undefined, shuffle: undefined };
const select = (names: readonly string[], selection: Partial<Selection>): readonly string[] =>
  selectNames(names, { ...ALL, ...selection });
const NAMES = ['2down/ofi_gt_p50', '2down/tick', '2up/deep/ofi', '2up/tick', 'a.b', 'top'];

describe('globs', () => {
  it.each<[string, string[]]>([
    ['*', NAMES],
    ['tick', ['2down/tick', '2up/tick']],
    ['tick.sql', ['2down/tick', '2up/tick']],
    ['ofi*', ['2down/ofi_gt_p50', '2up/deep/ofi']],
    ['2up/*', ['2up/tick']],
    ['2up/**', ['2up/deep/ofi', '2up/tick']],
    ['./2up/tick.sql', ['2up/tick']],
    ['**/deep/*', ['2up/deep/ofi']],
    ['{top,tick}', ['2down/tick', '2up/tick', 'top']],
    ['a.b', ['a.b']],
    ['a.b.sql', ['a.b']],
    ['2down', []],
    ['2down/', []],
    ['.sql', []],
    ['[', []],
  ])('%s selects %j', (glob, names) => {
    expect(select(NAMES, { include: [glob] })).toEqual(names);
    expect(select(NAMES, { exclude: [glob] })).toEqual(NAMES.filter(name => !names.includes(name)));
  });

  it('are alternatives, and what is excluded is not included', () => {
    const include = ['tick', 'top'];
    expect(select(NAMES, { include })).toEqual(['2down/tick', '2up/tick', 'top']);
    expect(select(NAMES, { include, exclude: ['2up/*'] })).toEqual(['2down/tick', 'top']);
  });

  it('match names that begin with a dot, and characters of any script', () => {
    expect(select(['.hidden', 'é', '数'], { include: ['*'] })).toEqual(['.hidden', 'é', '数']);
    expect(select(['é', 'ab'], { include: ['?'] })).toEqual(['é']);
  });
});

describe('shards', () => {
  const names = fc.uniqueArray(anyName, { maxLength: 40 });

  it('are disjoint and together complete', () => {
    fc.assert(
      fc.property(names, fc.integer({ min: 1, max: 9 }), (list, count) => {
        const shards = Array.from({ length: count }, (_, i) =>
          select(list, { shard: { index: i + 1, count } }),
        );
        expect(shards.flat().sort()).toEqual([...list].sort());
      }),
    );
  });

  it('keep their queries when others are added', () => {
    fc.assert(
      fc.property(names, anyName, (list, added) => {
        const shard = { index: 2, count: 3 };
        const before = select(list, { shard });
        const after = select([...list, added], { shard });
        expect(after.filter(name => name !== added)).toEqual(before.filter(name => name !== added));
      }),
    );
  });

  it('are about equally large', () => {
    const list = Array.from({ length: 8000 }, (_, i) => `2down__p${i}`);
    for (let index = 1; index <= 8; index += 1) {
      const { length } = select(list, { shard: { index, count: 8 } });
      expect(length).toBeGreaterThan(850);
      expect(length).toBeLessThan(1150);
    }
  });

  it('never change: a sweep that is half done on other machines depends on it', () => {
    const shards = [1, 2, 3, 4, 5, 6, 7].map(index => select(NAMES, { shard: { index, count: 7 } }));
    expect(shards).toEqual(PINNED_SHARDS);
  });
});

// Of NAMES, shards 1/7 to 7/7.
const PINNED_SHARDS = [
  [],
  ['a.b'],
  [],
  ['2up/deep/ofi', 'top'],
  ['2down/tick'],
  [],
  ['2down/ofi_gt_p50', '2up/tick'],
];

describe('shuffle', () => {
  const list = Array.from({ length: 50 }, (_, i) => `q${i}`);

  it('gives the same order for the same seed, whatever the order was', () => {
    const shuffled = select(list, { shuffle: 'seed' });
    expect(select([...list].reverse(), { shuffle: 'seed' })).toEqual(shuffled);
    expect([...shuffled].sort()).toEqual([...list].sort());
    expect(shuffled).not.toEqual(list);
    expect(select(list, { shuffle: 'other' })).not.toEqual(shuffled);
  });

  it('comes after the choice', () => {
    const shard = { index: 1, count: 2 };
    const chosen = select(list, { shard, exclude: ['q1*'] });
    const shuffled = select(list, { shard, exclude: ['q1*'], shuffle: 'x' });
    expect([...shuffled].sort()).toEqual([...chosen].sort());
  });
});
