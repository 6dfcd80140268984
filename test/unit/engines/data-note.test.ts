import { describe, expect, it } from 'vitest';
import {
  type DataInputs,
  type DataNote,
  dataIdentity,
  decodeDataNote,
  encodeDataNote,
  sameChain,
} from '../../../src/core/engines/data-note.js';

const BASE: DataInputs = {
  chain: [
    { file: '_setup.sql', fingerprint: 'aaaaaaaaaaaaaaaa' },
    { file: 'u/_setup.sql', fingerprint: 'bbbbbbbbbbbbbbbb' },
  ],
  parameters: { symbol: 'BTCUSDT' },
  settings: { join_use_nulls: '1' },
  engine: '3.4.0',
};

describe('the identity of data', () => {
  const [outer, inner] = BASE.chain as [DataInputs['chain'][number], DataInputs['chain'][number]];

  it.each<[string, Partial<DataInputs>]>([
    ['another file in it', { chain: [outer, { ...inner, fingerprint: 'cccccccccccccccc' }] }],
    ['another outer file', { chain: [{ ...outer, fingerprint: 'cccccccccccccccc' }, inner] }],
    ['the files in another order', { chain: [inner, outer] }],
    ['a file less', { chain: [outer] }],
    ['another value of a parameter', { parameters: { symbol: 'ETHUSDT' } }],
    ['a parameter less', { parameters: {} }],
    ['another setting', { settings: { join_use_nulls: '0' } }],
    ['another time zone', { settings: { join_use_nulls: '1', timezone: 'Asia/Tokyo' } }],
    ['another database', { settings: { join_use_nulls: '1', database: 'd' } }],
    ['another engine', { engine: '3.5.0' }],
    [
      'a parameter that is a setting',
      { parameters: {}, settings: { join_use_nulls: '1', symbol: 'BTCUSDT' } },
    ],
  ])('changes with %s', (_, change) => {
    expect(dataIdentity({ ...BASE, ...change })).not.toBe(dataIdentity(BASE));
  });

  it('is 16 hex digits, and the same for the same content wherever it lies', () => {
    expect(dataIdentity(BASE)).toMatch(/^[0-9a-f]{16}$/);
    const moved = BASE.chain.map(({ fingerprint }, index) => ({ file: `other/${index}`, fingerprint }));
    expect(dataIdentity({ ...BASE, chain: moved })).toBe(dataIdentity(BASE));
    const a = dataIdentity({ ...BASE, settings: { a: '1', b: '2' } });
    expect(dataIdentity({ ...BASE, settings: { b: '2', a: '1' } })).toBe(a);
  });

  it('without setup files nothing decides it', () => {
    const none = dataIdentity({ ...BASE, chain: [] });
    expect(dataIdentity({ chain: [], parameters: {}, settings: {}, engine: '' })).toBe(none);
    expect(none).not.toBe(dataIdentity({ ...BASE, chain: [outer] }));
  });
});

describe('the note of data', () => {
  const NOTE: DataNote = {
    ...{ version: 1, identity: 'x', build: 'y', lasting: true, made_at: '2026-01-31T12:00:00.000Z' },
    ...BASE,
  };

  it('is read as it was written', () => {
    expect(decodeDataNote(encodeDataNote(NOTE))).toEqual(NOTE);
  });

  it.each([
    '',
    'null',
    '[]',
    '{}',
    encodeDataNote(NOTE).slice(0, -10),
    JSON.stringify({ ...NOTE, version: 2 }),
    JSON.stringify({ ...NOTE, build: undefined }),
    JSON.stringify({ ...NOTE, lasting: 'yes' }),
    JSON.stringify({ ...NOTE, chain: 'none' }),
  ])('is none when it is %j', text => {
    expect(decodeDataNote(text)).toBeUndefined();
  });
});

it('chains are the same by content and order', () => {
  const [a, b] = BASE.chain as [DataInputs['chain'][number], DataInputs['chain'][number]];
  expect(sameChain([a, b], [{ ...a, file: 'elsewhere' }, b])).toBe(true);
  expect(sameChain([a, b], [b, a])).toBe(false);
  expect(sameChain([a, b], [a])).toBe(false);
  expect(sameChain([], [])).toBe(true);
});
