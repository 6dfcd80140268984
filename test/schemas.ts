import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { z } from 'zod';
import { jsonSchemaOf } from '../src/core/schema.js';
import { ROOT } from './built.js';

const END = '.schema.ts';

interface SchemaModule {
  readonly schema: z.ZodType;
  /** Whether it is of a file that people write. */
  readonly isInput?: boolean;
}

const modules: readonly (readonly [string, SchemaModule])[] = await Promise.all(
  readdirSync(`${ROOT}src`, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith(END))
    .map(async path => [basename(path, END), (await import(`${ROOT}src/${path}`)) as SchemaModule] as const),
);

function schemasWhere(is: (module: SchemaModule) => boolean): ReadonlyMap<string, z.ZodType> {
  return new Map(modules.filter(([, module]) => is(module)).map(([name, { schema }]) => [name, schema]));
}

/** What programs read, by the name of its schema. */
export const SCHEMAS = schemasWhere(({ isInput }) => isInput !== true);

/** The files that people write, by the name of their schema. */
export const INPUTS = schemasWhere(({ isInput }) => isInput === true);

const validators = new Map<string, ValidateFunction>();

/**
 * What in an output is not as its schema says, as text; empty where all is. More than a reader of the output would ask
 * is asked here: a key that the schema does not name is a fault too.
 */
export function faultsOf(name: string, output: unknown): string {
  let validate = validators.get(name);
  if (validate === undefined) {
    const schema = SCHEMAS.get(name);
    if (schema === undefined) throw new Error(`there is no schema ${name}`);
    const ajv = new Ajv2020({ strict: true, allErrors: true, allowUnionTypes: true });
    validate = ajv.compile(jsonSchemaOf(name, schema, { strict: true }));
    validators.set(name, validate);
  }
  return validate(output) ? '' : JSON.stringify(validate.errors, null, 1);
}
