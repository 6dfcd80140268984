import { z } from 'zod';

// For the files `*.schema.ts`, which say what programs read: see docs/machine-output.md. Each exports a `schema`, of
// which `npm run build` makes `schema/<name>.schema.json`. At run time nothing is parsed with them: other modules take
// only their types, so that a start neither loads nor builds them. Those with `isInput` say what people write, and what
// they wrote is checked by the same schemas.

/** The type of what a schema describes, as it is written: nothing in it changes any more. */
export type Output<S extends z.ZodType> = Fixed<z.output<S>>;

type Fixed<T> = T extends readonly (infer E)[]
  ? readonly Fixed<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Fixed<T[K]> }
    : T;

/** A whole number from 0. */
export const count = z.int().min(0);

/** A moment. */
export const time = z.string().regex(/^[+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** A list of names or of other strings. */
export const strings = z.array(z.string());

/** Values by names that users gave: of parameters and settings. */
export const named = z.record(z.string(), z.string());

/** Settings by which a schema is written. */
export interface JsonSchemaOptions {
  /** Whether keys that the schema does not name are refused: for tests. Those that ship allow for later versions. */
  readonly strict?: boolean;
  /**
   * Whether it is of a file that people write: what may be written in it, and nothing else, in the draft that editors
   * know (7).
   */
  readonly isInput?: boolean;
}

/** The JSON Schema (2020-12; draft 7 of an input) of what a schema describes; `name` is that of its file. */
export function jsonSchemaOf(
  name: string,
  schema: z.ZodType,
  { isInput = false, strict = isInput }: JsonSchemaOptions = {},
): Record<string, unknown> {
  const { $schema, title, description, ...rest } = z.toJSONSchema(schema, {
    ...(isInput ? { io: 'input', target: 'draft-7', unrepresentable: 'any' } : {}),
    override: ({ jsonSchema }) => {
      // Of every whole number zod says that it is exact in a double.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (!strict && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return { $schema, $id: `urn:qrun:${name}:1`, title, description, ...rest };
}
