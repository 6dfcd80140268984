import { describe, expect, it } from 'vitest';
import { type HostOrder, parseOrder, parseReply } from '../../../src/core/hosts/order.js';

const ORDER: HostOrder<'status'> = {
  ...{ version: '1.2.3', work: 'status', sweep: 's', group: 'g', units: ['u/a', 'u/b'] },
  ...{ given: { url: ['http://ch1:8123'] }, time_zone: null },
  ask: { sample: false } as unknown as HostOrder<'status'>['ask'],
};

const refusal = (line: string): string => {
  try {
    parseOrder(line, '1.2.3');
  } catch (error) {
    return (error as Error).message;
  }
  return 'taken';
};

describe('parseOrder', () => {
  it('returns the order of the same version', () => {
    expect(parseOrder(`${JSON.stringify(ORDER)}\n`, '1.2.3')).toEqual(ORDER);
    expect(parseOrder(JSON.stringify({ ...ORDER, units: null, time_zone: 'UTC' }), '1.2.3').units).toBe(null);
  });

  it.each(['1.2.4', '1.2', '', '1.2.3-rc.1'])('refuses one of version %j', version => {
    expect(refusal(JSON.stringify({ ...ORDER, version }))).toBe(
      `the order is from qrun ${version}, and this is 1.2.3`,
    );
  });

  it.each(['', 'no JSON', '[]', 'null', '{}', '{"version":1,"work":"status"}', '{"version":"1.2.3"}'])(
    'refuses %j, which is none',
    line => {
      expect(refusal(line)).toBe('stdin is no order of another qrun');
    },
  );

  it.each([
    { sweep: undefined },
    { group: 1 },
    { units: 'u/a' },
    { units: [1] },
    { given: undefined },
    { given: [] },
    { time_zone: undefined },
    { ask: null },
  ])('refuses one that is not whole: %j', part => {
    expect(refusal(JSON.stringify({ ...ORDER, ...part }))).toBe('the order on stdin is not whole');
  });
});

describe('parseReply', () => {
  const reply = { version: '1.2.3', returns: { units: [] } };

  it('returns the last line that is one, whatever a login prints before and after it', () => {
    const earlier = JSON.stringify({ ...reply, returns: 1 });
    const text = `Welcome!\n${earlier}\n{"version":"x"}\n${JSON.stringify(reply)}\nlogout\n`;
    expect(parseReply(text)).toEqual(reply);
  });

  it('returns nothing where there is none', () => {
    for (const text of ['', 'Welcome!', '{"version":1,"returns":2}', '{"returns":2}', '{"version":"1.2.3"'])
      expect(parseReply(text)).toBeUndefined();
  });
});
