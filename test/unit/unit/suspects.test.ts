import { describe, expect, it } from 'vitest';
import { Suspects, suspectsNotice } from '../../../src/app/unit/suspects.js';
import type { Suspect } from '../../../src/core/unit/inflight.js';
import { eventsOf, failed, fakeRun, fingerprint, MemoryLog, reads, SYNTAX, success } from './fake-run.js';

// What is in flight at any moment, and what it was at each call of the engine.
class FakeJournal {
  readonly inflight = new Map<number, string>();
  readonly alone: string[] = [];
  readonly #free = Array.from({ length: 100 }, (_, n) => n);

  begin(query: string, print: string, alone: boolean): number {
    expect(print).toMatch(/^[0-9a-f]{16}$/);
    const place = this.#free.pop() ?? -1;
    this.inflight.set(place, query);
    if (alone) this.alone.push(query);
    return place;
  }

  end(place: number): void {
    expect(this.inflight.delete(place)).toBe(true);
    this.#free.push(place);
  }
}

function suspect(query: string, given: Partial<Suspect> = {}): Suspect {
  const print = fingerprint(Buffer.from(`SELECT '${query}'`));
  return { query, fingerprint: print, deaths: 1, proven: false, seen: '', ...given };
}

describe('what is in flight', () => {
  it('is noted from before a query is sent until its answer is there, for every attempt', async () => {
    const inflight = new FakeJournal();
    const { engine, log } = await fakeRun({
      files: reads(40),
      deps: { inflight },
      script: async ({ name, nth }, engine) => {
        await engine.clock.delay(5);
        expect([...inflight.inflight.values()]).toContain(name);
        expect(inflight.inflight.size).toBe(engine.running);
        return nth === 1 && name === 'q7' ? failed({ ...SYNTAX, kind: 'transient' }) : success();
      },
    });
    expect(engine.calls).toHaveLength(41);
    expect(log.groups).toHaveLength(40);
    expect(inflight.inflight.size).toBe(0);
    expect(inflight.alone).toEqual([]);
  });

  it('is not noted any more when a bug ends the attempt', async () => {
    const inflight = new FakeJournal();
    const script = () => Promise.reject(new Error('a bug'));
    await expect(fakeRun({ files: reads(9), deps: { inflight }, script })).rejects.toThrow('a bug');
    expect(inflight.inflight.size).toBe(0);
  });
});

describe('a suspect', () => {
  it('runs alone, when the results of all others are recorded', async () => {
    const names = ['q3', 'q1'];
    const suspects = new Suspects(names.map(name => suspect(name)));
    const inflight = new FakeJournal();
    const log = new MemoryLog();
    const append = log.append.bind(log);
    let pending = 0;
    log.append = async (...group) => {
      pending += 1;
      for (let turn = 0; turn < 5; turn += 1) await new Promise(setImmediate);
      pending -= 1;
      return await append(...group);
    };
    const { engine } = await fakeRun({
      files: reads(12),
      log,
      deps: { inflight, suspects },
      script: async ({ name }, engine) => {
        if (names.includes(name)) expect([engine.running, pending]).toEqual([1, 0]);
        await engine.clock.delay(5);
        if (names.includes(name)) expect(engine.running).toBe(1);
        return success();
      },
    });
    expect(engine.maxRunning).toBeGreaterThan(1);
    expect(inflight.alone.sort()).toEqual(['q1', 'q3']);
    expect(log.groups).toHaveLength(12);
  });

  it('that is proven to kill is recorded and not run', async () => {
    const suspects = new Suspects([suspect('q2', { deaths: 3, proven: true })]);
    const { engine, log, summary, events } = await fakeRun({
      files: reads(4),
      deps: { suspects },
      script: () => success(),
    });
    expect(engine.names().sort()).toEqual(['q1', 'q3', 'q4']);
    expect(log.error('q2')).toBe('ENGINE_DIED');
    expect(summary).toMatchObject({ exit_code: 20, recorded: { normal: 3, error: 1 } });
    const error = eventsOf(events, 'query_recorded').find(({ query }) => query === 'q2')?.error;
    expect(error?.message).toContain('died 3 times');
  });

  it('is recorded as error only when nothing is left that could kill the process', async () => {
    const suspects = new Suspects([suspect('q2', { deaths: 2, proven: true }), suspect('q5')]);
    const log = new MemoryLog();
    let nth = 0;
    await fakeRun({
      files: reads(6),
      log,
      deps: { suspects },
      script: async ({ name }, engine) => {
        expect(log.error('q2')).toBeUndefined();
        await engine.clock.delay(5);
        expect(log.error('q2')).toBeUndefined();
        // With a pause before it runs once more.
        if (name === 'q5' && nth++ < 2) return failed({ ...SYNTAX, kind: 'transient' });
        return success();
      },
    });
    expect(log.lines().at(-1)).toBe('q2 error 1');
    expect(log.groups).toHaveLength(6);
  });

  it('that is proven to kill stays due when the run is stopped before', async () => {
    const drain = new AbortController();
    const { log, summary } = await fakeRun({
      files: reads(2),
      options: { concurrency: 1, drain: drain.signal },
      deps: { suspects: new Suspects([suspect('q1', { deaths: 2, proven: true })]) },
      script: () => {
        drain.abort();
        return success();
      },
    });
    expect(log.lines()).toEqual(['q2 normal 1']);
    expect(summary.not_run).toBe(1);
  });

  it('is none with another text, be it that of the plan or one that came since', async () => {
    const old = { fingerprint: '0'.repeat(16) };
    const proven = { deaths: 2, proven: true };
    const inflight = new FakeJournal();
    const files = { ...reads(3), q3: "SELECT 'q3', 2" };
    const suspects = new Suspects([suspect('q1', { ...old, ...proven }), suspect('q3', proven)]);
    const { log } = await fakeRun({ files, deps: { suspects, inflight }, script: () => success() });
    expect(log.lines().sort()).toEqual(['q1 normal 1', 'q2 normal 1', 'q3 normal 1']);
    expect(inflight.alone).toEqual([]);
  });

  it('is not said to run alone while one that could not be cancelled may run on', async () => {
    const suspects = new Suspects([suspect('q2'), suspect('q3')]);
    const inflight = new FakeJournal();
    const { log } = await fakeRun({
      files: reads(3),
      options: { concurrency: 1, retries: 0 },
      deps: { suspects, inflight },
      script: ({ name }) => (name === 'q2' ? failed({ ...SYNTAX, mayStillRun: true }) : success()),
    });
    expect(log.groups).toHaveLength(3);
    expect(inflight.alone).toEqual(['q2']);
  });

  it('stays due when the run is drained before its turn', async () => {
    const drain = new AbortController();
    const suspects = new Suspects([suspect('q1')]);
    const { log, summary } = await fakeRun({
      files: reads(9),
      options: { concurrency: 3, drain: drain.signal },
      deps: { suspects },
      script: async (_call, engine) => {
        await engine.clock.delay(5);
        drain.abort();
        return success();
      },
    });
    expect(log.groups.length + summary.not_run).toBe(9);
    expect(summary.not_run).toBeGreaterThan(0);
  });
});

describe('the notice', () => {
  it('names the first few', () => {
    expect(suspectsNotice([])).toBeUndefined();
    expect(suspectsNotice(['a'])).toBe(
      'a process of this unit died with a query in flight; it runs alone, after all others: a',
    );
    expect(suspectsNotice(['a', 'b', 'c', 'd', 'e', 'f', 'g'])).toContain('a, b, c, d, e and 2 more');
  });
});
