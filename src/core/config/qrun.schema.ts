import { z } from 'zod';
import { sweepSchema } from '../sweep/units.js';
import { defaultText, descriptionOf, entryOf, TOML_KEYS, tomlName } from './keys.js';
import * as values from './values.js';

const keys = TOML_KEYS.map(key => {
  const known = defaultText(key);
  const description = `${descriptionOf(key)}${known === undefined ? '' : ` (default: ${known})`}`;
  return [tomlName(key), entryOf(key).schema(values).optional().describe(description)] as const;
});

/** What a qrun.toml may hold. */
export const schema = z
  .strictObject({ ...Object.fromEntries(keys), sweep: sweepSchema().optional() })
  .meta({ title: 'qrun.toml', description: 'The configuration of a sweep, in its root directory.' });

/** Marks the schema of a file that people write. */
export const isInput = true;
