import type { z } from 'zod';
import type { Entry, Flag } from './entry.js';
import { CONFIG_TABLE, type ConfigKey, SECTIONS } from './table.js';

/** The entry of any key. */
export type ConfigEntry = Entry<z.ZodType, unknown>;

/** All keys, in the order of the documentation. */
export const CONFIG_KEYS = Object.keys(CONFIG_TABLE) as readonly ConfigKey[];

/** Returns the entry of a key. */
export function entryOf(key: ConfigKey): ConfigEntry {
  return CONFIG_TABLE[key] as ConfigEntry;
}

/** Returns the keys whose entries satisfy `is`. */
export function keysWhere(is: (entry: ConfigEntry) => boolean): readonly ConfigKey[] {
  return CONFIG_KEYS.filter(key => is(entryOf(key)));
}

/** The keys that `qrun.toml` can hold, in the order of the documentation. */
export const TOML_KEYS: readonly ConfigKey[] = keysWhere(entry => entry.perRun !== true);

/** Returns the name of a key in qrun.toml and in JSON. */
export function tomlName(key: ConfigKey): string {
  return key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

/** Returns the key that has this name in qrun.toml. */
export function keyOf(name: string): ConfigKey | undefined {
  return TOML_KEYS.find(key => tomlName(key) === name);
}

/** Returns the flag of a configuration key as it is written: `--concurrency`. */
export function flagName(key: ConfigKey): string {
  return /--[\w-]+/.exec(entryOf(key).flag ?? '')?.[0] as string;
}

/** Returns the environment variable of a key, if it has one. */
export function environmentName(key: ConfigKey): string | undefined {
  const { env, flag, perRun, repeatable } = entryOf(key);
  return env !== undefined || flag === undefined || perRun || repeatable
    ? env
    : `QRUN_${tomlName(key).toUpperCase()}`;
}

/** A section of a command's help. */
export type Section = keyof typeof SECTIONS;

/** Returns the keys in a section. */
export function keysIn(section: Section): readonly ConfigKey[] {
  return Object.keys(SECTIONS[section]) as ConfigKey[];
}

/** Returns the section that lists a key's option. */
export function sectionOf(key: ConfigKey): Section | undefined {
  return (Object.keys(SECTIONS) as Section[]).find(section => key in SECTIONS[section]);
}

/** Returns what applies when a key is not given, for people; `undefined` if nothing does. */
export function defaultText(key: ConfigKey): string | undefined {
  const { absent, default: value } = entryOf(key);
  return absent ?? (value === undefined || typeof value === 'object' ? undefined : String(value));
}

/** Returns the help of a key's flag. */
export function helpOf(key: ConfigKey, { help }: Pick<Flag, 'help'>): string {
  return help.replace('{default}', defaultText(key) ?? '').replace('{env}', environmentName(key) ?? '');
}

/** Returns what a key is for, in one line. */
export function descriptionOf(key: ConfigKey): string {
  const { about, help } = entryOf(key);
  return about ?? help.replace(/ \((?:[\w ]+: \{default\}|also \{env\}|repeatable)\)$/, '');
}

/** Returns the values under the names that qrun.toml and JSON use, in the order of the keys. */
export function byTomlName<T>(values: Readonly<Partial<Record<ConfigKey, T>>>): Record<string, T> {
  return Object.fromEntries(
    CONFIG_KEYS.flatMap(key => {
      const value = values[key];
      return value === undefined ? [] : [[tomlName(key), value]];
    }),
  );
}
