// What is needed to find a program, and what the program needs to speak to its user and to find the session's services.
const NAMES = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'LC_MESSAGES', 'LC_CTYPE', 'TZ', 'TMPDIR'],
  ...['XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'DBUS_SESSION_BUS_ADDRESS'],
];

/**
 * Returns the environment for a program that only helps qrun: the part of this process's environment that any program
 * needs. Passwords and tokens in the environment then reach no program that does not use them.
 */
export function plainEnvironment(): Record<string, string> {
  const found = NAMES.map(name => [name, process.env[name]] as const);
  return Object.fromEntries(found.filter((pair): pair is [string, string] => pair[1] !== undefined));
}
