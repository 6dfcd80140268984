// What is needed to find a program, and what the program needs to speak to its user and to find the session's services.
const NAMES = [
  ...['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'LC_ALL', 'LC_MESSAGES', 'LC_CTYPE', 'TZ', 'TMPDIR'],
  ...['XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'DBUS_SESSION_BUS_ADDRESS'],
];

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Returns the environment for a program that only helps qrun: the part of an environment, by default that of this
 * process, that any program needs, and the variables `more`. Passwords and tokens in the environment then reach no
 * program that does not use them.
 */
export function plainEnvironment(
  env: Environment = process.env,
  more: readonly string[] = [],
): Record<string, string> {
  return variablesOf(env, [...NAMES, ...more]);
}

/** Returns those of these variables that an environment has. */
export function variablesOf(env: Environment, names: readonly string[]): Record<string, string> {
  const found = names.map(name => [name, env[name]] as const);
  return Object.fromEntries(found.filter((pair): pair is [string, string] => pair[1] !== undefined));
}
