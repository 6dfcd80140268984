import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildHome, type Home, ROOT } from './home.js';
import { openPlaces, type Places } from './places.js';
import { namedRandom } from './random.js';
import { failed, type Group, Row, type RowResult } from './tally.js';

// On a machine that runs other tests too; alone the slowest group takes a sixth of it.
const GROUP_LIMIT_MS = 180_000;
const SEED = 1;

/** Makes a test of each group, with the number of trials that every test run has time for. */
export function fastShare(title: string, groups: readonly Group[]): void {
  describe(title, () => {
    let home: Home;
    let places: Places;
    beforeAll(async () => {
      home = await buildHome(ROOT);
      places = openPlaces();
    });
    afterAll(async () => {
      places.close();
      await home.remove();
    });
    for (const group of groups) {
      test(group.name, { timeout: GROUP_LIMIT_MS }, async context => {
        const rows: RowResult[] = [];
        await group.run({
          ...{ scale: 'fast', seed: SEED, home, places },
          count: fast => fast,
          random: name => namedRandom(SEED, name),
          row: fault => new Row(group.name, fault, row => rows.push(row)),
        });
        expect(rows).not.toEqual([]);
        expect(rows.flatMap(row => row.violations.map(text => `${row.fault}: ${text}`))).toEqual([]);
        const bad = rows.filter(failed).map(({ fault, idle, leftOut }) => ({ fault, idle, leftOut }));
        expect(bad, 'nothing was injected, or a service is missing').toEqual([]);
        const leftOut = rows.filter(row => row.leftOut !== undefined);
        context.skip(leftOut.length > 0, leftOut.map(row => `${row.fault}: ${row.leftOut}`).join('; '));
      });
    }
  });
}
