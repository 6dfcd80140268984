import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../built.js';
import { queueContract } from './contract.js';
import { ToyQueue } from './toy.js';

queueContract('toy', async () => ({ queue: new ToyQueue() }), ['addGroup', 'setSlots', 'clean']);

describe('the toy queue', () => {
  it('is small: what a queue has to do is little', () => {
    const lines = readFileSync(`${ROOT}test/queue/toy.ts`, 'utf8').trimEnd().split('\n');
    expect(lines.length).toBeLessThan(80);
  });
});
