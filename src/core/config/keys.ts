import type { z } from 'zod';
import type { Entry, Flag } from './entry.js';
import { CONFIG_TABLE, type ConfigKey } from './table.js';

/** One key of the table, whichever it is. */
export type ConfigEntry = Entry<z.ZodType, unknown>;

/** All keys, in the order of the documentation. */
export const CONFIG_KEYS = Object.keys(CONFIG_TABLE) as readonly ConfigKey[];

/** The entry of a key. */
export function entryOf(key: ConfigKey): ConfigEntry {
  return CONFIG_TABLE[key] as ConfigEntry;
}

/** The keys whose entries are so. */
export function keysWhere(is: (entry: ConfigEntry) => boolean): readonly ConfigKey[] {
  return CONFIG_KEYS.filter(key => is(entryOf(key)));
}

/** The keys that `qrun.toml` takes, in the order of the documentation. */
export const TOML_KEYS: readonly ConfigKey[] = keysWhere(entry => entry.perRun !== true);

/** The name of a key in qrun.toml, and in JSON. */
export function tomlName(key: ConfigKey): string {
  return key.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`);
}

/** The key that has this name in qrun.toml. */
export function keyOf(name: string): ConfigKey | undefined {
  return TOML_KEYS.find(key => tomlName(key) === name);
}

/** How the flag of a configuration key is written: `--concurrency`. */
export function flagName(key: ConfigKey): string {
  return /--[\w-]+/.exec(entryOf(key).flag)?.[0] as string;
}

/** The environment variable of a key, where it has one. */
export function environmentName(key: ConfigKey): string | undefined {
  return entryOf(key).env;
}

/** What is in force where a key is not given, for people; `undefined` where that is nothing. */
export function defaultText(key: ConfigKey): string | undefined {
  const { absent, default: value } = entryOf(key);
  return absent ?? (value === undefined || typeof value === 'object' ? undefined : String(value));
}

/** The help of a flag of a key. */
export function helpOf(key: ConfigKey, { help }: Flag): string {
  return help.replace('{default}', defaultText(key) ?? '').replace('{env}', environmentName(key) ?? '');
}

/** What a key is for, in one line. */
export function descriptionOf(key: ConfigKey): string {
  const { about, help } = entryOf(key);
  return about ?? help.replace(/ \((?:[\w ]+: \{default\}|also \{env\}|repeatable)\)$/, '');
}

/** Something of each key, as qrun.toml and JSON name and order it. */
export function byTomlName<T>(values: Readonly<Partial<Record<ConfigKey, T>>>): Record<string, T> {
  return Object.fromEntries(
    CONFIG_KEYS.flatMap(key => {
      const value = values[key];
      return value === undefined ? [] : [[tomlName(key), value]];
    }),
  );
}
