import { z } from 'zod';
import { CONFIG_KEYS, entryOf, tomlName } from '../../../core/config/keys.js';
import type { ConfigKey } from '../../../core/config/table.js';
import * as values from '../../../core/config/values.js';
import { count, named, strings } from '../../../core/schema.js';

// The type of a value after parsing, by its parser; everything else is a whole number (sizes are bytes).
const PARSED = new Map<z.ZodType, z.ZodType>([
  [values.text(), z.string()],
  [values.flag(), z.boolean()],
  [values.concurrency(), z.union([z.literal('auto'), count])],
  [values.duration(), z.number().min(0).describe('Milliseconds.')],
  [values.halt(), z.string()],
  [values.shard(), z.object({ index: count, count })],
  [values.urls(), z.string().describe('Several have commas between them.')],
  [values.globs(), strings],
  [values.pairs(), named],
  [values.placeholders(), z.union([z.boolean(), strings])],
  [
    values.hosts(),
    z.array(z.object({ name: z.string(), ssh: z.string(), root: z.string(), slots: count, qrun: strings })),
  ],
]);

function schemaOf(key: ConfigKey): z.ZodType {
  const entry = entryOf(key);
  const parser = entry.schema(values);
  const value = PARSED.get(parser) ?? (parser instanceof z.ZodEnum ? parser : count);
  return entry.default === undefined ? value.nullable() : value;
}

function ofEach(one: (key: ConfigKey) => z.ZodType) {
  return z.object(Object.fromEntries(CONFIG_KEYS.map(key => [tomlName(key), one(key)])));
}

/** `qrun config --json`. */
export const schema = z
  .object({
    unit: z.string(),
    root: z.string().describe('The root of the sweep.'),
    config_file: z.string().nullable().describe('The qrun.toml; null without one.'),
    log: z.string().describe('The path of the log.'),
    data_dir: z.string().describe('Where the data of the embedded engine is.'),
    time_zone: z.string().nullable().describe('The time zone of the embedded engine; null for a server.'),
    trusted: z.boolean().describe('Whether the user trusts what the tree says about its server.'),
    config: ofEach(schemaOf).describe('The values in force; null where there is none.'),
    sources: ofEach(() => z.enum(['default', 'qrun.toml', '.env', 'environment', 'flag'])),
    password_set: z.boolean(),
    password_source: z.string().nullable().describe('Where it comes from; null without a password.'),
  })
  .meta({
    title: 'qrun config --json',
    description: 'The configuration in force, and where each value is from.',
  });
