import { describe, expect, it } from 'vitest';
import { layOut, needsIn } from '../../../src/core/hosts/deploy/package-tree.js';
import {
  isVersionName,
  nameInLink,
  partialName,
  removable,
  versionName,
} from '../../../src/core/hosts/deploy/version-name.js';

/** Packages by their directories: which names each needs, and what it gets for each. */
type Installed = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** Where each package goes. */
function placesOf(installed: Installed, without: readonly string[] = []): Record<string, string> {
  const lookup = {
    needsOf: (directory: string) => Object.keys(installed[directory] ?? {}),
    find: (name: string, from: string) => installed[from]?.[name] || undefined,
  };
  return Object.fromEntries(layOut('/q', lookup, new Set(without)).map(({ at, from }) => [at, from]));
}

/** What Node would find in the copy, for each package and each name. */
function copied(places: Record<string, string>, installed: Installed): string[] {
  const wrong: string[] = [];
  for (const [at, from] of Object.entries(places)) {
    for (const [name, wanted] of Object.entries(installed[from] ?? {})) {
      let found: string | undefined;
      for (let place = at; found === undefined; ) {
        found = places[place === '' ? `node_modules/${name}` : `${place}/node_modules/${name}`];
        if (place === '') break;
        place = place.includes('/node_modules/') ? place.slice(0, place.lastIndexOf('/node_modules/')) : '';
      }
      if (wanted !== '' && found !== wanted)
        wrong.push(`${from} gets ${found} for ${name}, and not ${wanted}`);
    }
  }
  return wrong;
}

describe('the packages of an installation', () => {
  it('go to the top, and below who needs another version', () => {
    const installed = {
      '/q': { a: '/a1', b: '/b' },
      '/a1': { c: '/c1' },
      '/b': { a: '/a2', c: '/c2' },
      '/a2': { c: '/c1', gone: '' },
      '/c1': {},
      '/c2': {},
    };
    const places = placesOf(installed);
    expect(places).toEqual({
      '': '/q',
      'node_modules/a': '/a1',
      'node_modules/b': '/b',
      'node_modules/c': '/c1',
      'node_modules/b/node_modules/a': '/a2',
      'node_modules/b/node_modules/c': '/c2',
      // Otherwise it would get that of its neighbour.
      'node_modules/b/node_modules/a/node_modules/c': '/c1',
    });
    expect(copied(places, installed)).toEqual([]);
  });

  it('may need each other, and leave out what is not wanted with what only that needs', () => {
    const installed = {
      '/q': { a: '/a', engine: '/e' },
      '/a': { b: '/b' },
      '/b': { a: '/a' },
      '/e': { lib: '/lib', b: '/b' },
      '/lib': {},
    };
    expect(copied(placesOf(installed), installed)).toEqual([]);
    expect(Object.values(placesOf(installed, ['engine']))).toEqual(['/q', '/a', '/b']);
  });

  it('are refused where no directories can hold them', () => {
    const installed = {
      '/q': { a: '/a1', b: '/b1' },
      '/a1': { b: '/b1' },
      '/b1': { a: '/a2' },
      '/a2': { b: '/b2' },
      '/b2': { a: '/a1' },
    };
    // Each hides the one that the next but one needs, for ever.
    expect(() => placesOf(installed)).toThrow(RangeError);
  });

  it('are read from what a package.json says, whatever that is', () => {
    expect(
      needsIn({
        dependencies: { a: '1', '@s/b': '1', '../up': '1', '@s/../../x': '1', '': '1' },
        optionalDependencies: { a: '1', c: '1' },
        peerDependencies: [],
        devDependencies: { d: '1' },
      }),
    ).toEqual(['a', '@s/b', 'c']);
    expect(needsIn({ dependencies: 'none', optionalDependencies: null })).toEqual([]);
  });
});

describe('a version on a host', () => {
  it('is named by its number and its content, and found in a link', () => {
    const name = versionName('1.2.3-rc.1', '0123456789abcdef0123');
    expect(name).toBe('1.2.3-rc.1-0123456789ab');
    expect(isVersionName(name)).toBe(true);
    expect(isVersionName(partialName('alpha', name))).toBe(false);
    expect(versionName('1/../../x', 'f'.repeat(64))).toBe('1_.._.._x-ffffffffffff');
    expect(nameInLink(`versions/${name}`)).toBe(name);
    for (const target of ['/etc', `versions/../${name}`, `versions/${name}/x`, '', name, 'versions/..']) {
      expect(nameInLink(target), target).toBeUndefined();
    }
  });

  it('stays while it is current, somebody names it, or it is one of the two latest that nobody names', () => {
    const version = (name: string, usedMs: number, users = 0) => ({ name, usedMs, users });
    const all = [
      version('a', 1),
      version('b', 2, 1),
      version('c', 3),
      version('d', 4),
      version('e', 5),
      version('f', 6),
    ];
    expect(removable(all, 'f')).toEqual(['c', 'a']);
    expect(removable(all, undefined)).toEqual(['d', 'c', 'a']);
    expect(removable(all.slice(0, 3), 'c')).toEqual([]);
    expect(removable([], 'a')).toEqual([]);
  });
});
