import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Turnstile } from '../../../src/app/unit/turnstile.js';

// Lets everything that may go on go on.
const settle = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

// Enters without waiting for it; `inside` becomes true when it did.
function visitor(turnstile: Turnstile, alone: boolean) {
  const visit = { inside: false, leave: () => {} };
  void turnstile.enter(alone).then(leave => {
    visit.inside = true;
    visit.leave = () => {
      visit.inside = false;
      leave();
    };
  });
  return visit;
}

describe('Turnstile', () => {
  it('lets any number through together', async () => {
    const turnstile = new Turnstile();
    const visits = Array.from({ length: 100 }, () => visitor(turnstile, false));
    await settle();
    expect(visits.every(visit => visit.inside)).toBe(true);
  });

  it('lets one alone in when the others have left, and nobody beside it', async () => {
    const turnstile = new Turnstile();
    const [first, second] = [visitor(turnstile, false), visitor(turnstile, false)];
    await settle();
    const alone = visitor(turnstile, true);
    const late = visitor(turnstile, false);
    await settle();
    expect([alone.inside, late.inside]).toEqual([false, false]);
    first.leave();
    await settle();
    expect(alone.inside).toBe(false);
    second.leave();
    await settle();
    expect([alone.inside, late.inside]).toEqual([true, false]);
    alone.leave();
    await settle();
    expect(late.inside).toBe(true);
  });

  it('lets those who must be alone through one after the other, before all others', async () => {
    const turnstile = new Turnstile();
    const first = visitor(turnstile, true);
    await settle();
    const others = [visitor(turnstile, false), visitor(turnstile, false)];
    const second = visitor(turnstile, true);
    first.leave();
    await settle();
    expect([second.inside, others[0]?.inside]).toEqual([true, false]);
    second.leave();
    await settle();
    expect(others.every(visit => visit.inside)).toBe(true);
  });

  it('counts a leaving twice once', async () => {
    const turnstile = new Turnstile();
    const leave = await turnstile.enter(false);
    const staying = visitor(turnstile, false);
    leave();
    leave();
    const alone = visitor(turnstile, true);
    await settle();
    expect([staying.inside, alone.inside]).toEqual([true, false]);
  });

  it('never mixes one alone with others, and lets everybody in at last, in any order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.boolean(), fc.nat(3)), { minLength: 1, maxLength: 20 }),
        fc.infiniteStream(fc.nat()),
        async (arrivals, choices) => {
          const turnstile = new Turnstile();
          const visits: { alone: boolean; visit: ReturnType<typeof visitor> }[] = [];
          let entered = 0;
          const check = async (): Promise<typeof visits> => {
            await settle();
            const inside = visits.filter(({ visit }) => visit.inside);
            if (inside.some(({ alone }) => alone)) expect(inside).toHaveLength(1);
            return inside;
          };
          const leaveOne = async (): Promise<boolean> => {
            const inside = await check();
            inside[(choices.next().value as number) % inside.length]?.visit.leave();
            entered += inside.length > 0 ? 1 : 0;
            return inside.length > 0;
          };
          for (const [alone, leaving] of arrivals) {
            visits.push({ alone, visit: visitor(turnstile, alone) });
            for (let i = 0; i < leaving; i += 1) await leaveOne();
          }
          while (await leaveOne());
          expect(entered).toBe(arrivals.length);
        },
      ),
      { numRuns: 100 },
    );
  });
});
