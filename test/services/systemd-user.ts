import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ROOT } from '../built.js';

const PROGRAMS = ['systemd-run', 'systemctl', 'dbus-daemon', 'unshare', 'setpriv'];

/** Words that start a program beside a `systemd --user` of its own. */
export const WITH_SYSTEMD_USER = [join(ROOT, 'test', 'services', 'with-systemd-user.sh')] as const;

/** Whether {@link WITH_SYSTEMD_USER} can work here: Linux, root, and the programs that it needs. */
export function systemdUserAvailable(): boolean {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return (
    process.platform === 'linux' &&
    process.getuid?.() === 0 &&
    PROGRAMS.every(program => folders.some(folder => isExecutable(join(folder, program)))) &&
    isExecutable('/lib/systemd/systemd')
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
