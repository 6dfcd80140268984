import { chmodSync, chownSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { distrust, distrustPath, isOwn } from '../../src/io/files/owner.js';
import { put, removeTree, tree } from '../integration/qrun.js';

const before = process.env.SUDO_UID;
let root = '';
beforeEach(() => {
  root = tree({ 'd/f': '' });
});
afterEach(() => {
  removeTree(root);
  if (before === undefined) delete process.env.SUDO_UID;
  else process.env.SUDO_UID = before;
});

describe('a file is believed', () => {
  const at = (path: string, mode: number): string | undefined => {
    chmodSync(join(root, path), mode);
    return distrust(statSync(join(root, path)));
  };

  it('when it is of this user or of root, and only they and their group may write to it', () => {
    for (const mode of [0o600, 0o644, 0o664, 0o660]) expect(at('d/f', mode)).toBeUndefined();
    for (const mode of [0o666, 0o646, 0o602]) expect(at('d/f', mode)).toContain('chmod o-w');
  });

  it('in a directory everybody may write to with the sticky bit', () => {
    expect(at('d', 0o1777)).toBeUndefined();
    expect(at('d', 0o777)).toContain('chmod o-w');
  });

  it('not when it is of another user, but for the one who called sudo', () => {
    put(root, 'g', '');
    chownSync(join(root, 'g'), 65_534, 65_534);
    expect(distrustPath(join(root, 'g'))).toContain('belongs to another user (uid 65534)');
    process.env.SUDO_UID = '65534';
    expect(isOwn(65_534)).toBe(true);
    expect(isOwn(65_533)).toBe(false);
    expect(distrustPath(join(root, 'g'))).toBeUndefined();
  });

  it('when there is none', () => {
    expect(distrustPath(join(root, 'none'))).toBeUndefined();
  });
});
