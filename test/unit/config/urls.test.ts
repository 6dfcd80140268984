import { expect, it } from 'vitest';
import { namesSeveralWithUsers, urlsIn, urlsOfText, urlsText } from '../../../src/core/config/urls.js';

it('one string may name several URLs, with commas or blanks between them', () => {
  expect(urlsIn('http://a:8123')).toEqual(['http://a:8123']);
  expect(urlsIn(' http://a,https://b/x , http://c\n')).toEqual(['http://a', 'https://b/x', 'http://c']);
  // A comma in a path is no separator.
  expect(urlsIn('http://a/x,y')).toEqual(['http://a/x,y']);
});

it('a string with a user is one URL: what looks like a separator may be a part of a password', () => {
  const secret = 'http://me:x, http://y@h';
  expect(urlsIn(secret)).toEqual([secret]);
  expect(namesSeveralWithUsers(secret)).toBe(true);
  expect(namesSeveralWithUsers('http://me@h')).toBe(false);
  expect(namesSeveralWithUsers('http://a, http://b')).toBe(false);
});

it('different lists have different strings, and one URL stays as it is', () => {
  expect(urlsText(['http://a'])).toBe('http://a');
  for (const urls of [
    ['http://a'],
    ['http://a', 'http://b'],
    ['http://b', 'http://a'],
    ['http://a,http://b', 'c'],
  ]) {
    expect(urlsOfText(urlsText(urls))).toEqual(urls);
  }
  expect(urlsOfText('[')).toEqual(['[']);
});
