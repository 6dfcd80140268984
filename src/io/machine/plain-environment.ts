// What a program needs to be found, to speak to its user, and to find the services of the session.
const NAMES = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'LC_MESSAGES', 'LC_CTYPE', 'TZ', 'TMPDIR'],
  ...['XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'DBUS_SESSION_BUS_ADDRESS'],
];

/**
 * Returns the environment for a program that only helps qrun: of that of this process no more than what any program
 * needs, so that passwords and tokens, which stand in it too, are seen by nobody who does not use them.
 */
export function plainEnvironment(): Record<string, string> {
  const found = NAMES.map(name => [name, process.env[name]] as const);
  return Object.fromEntries(found.filter((pair): pair is [string, string] => pair[1] !== undefined));
}
