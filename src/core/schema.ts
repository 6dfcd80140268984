import { z } from 'zod';

// For the files `*.schema.ts`, which describe what programs read: see docs/machine-output.md. Each exports a
// `schema`, from which `npm run build` makes `schema/<name>.schema.json`. At run time they parse nothing: other
// modules import only their types, so that a start neither loads nor builds them. Those with `isInput` describe what
// people write, and the same schemas check what they wrote.

/** The type that a schema describes, as it is written: nothing in it can change any more. */
export type Output<S extends z.ZodType> = Fixed<z.output<S>>;

type Fixed<T> = T extends readonly (infer E)[]
  ? readonly Fixed<E>[]
  : T extends object
    ? { readonly [K in keyof T]: Fixed<T[K]> }
    : T;

/** A whole number from 0. */
export const count = z.int().min(0);

/** A point in time. */
export const time = z.string().regex(/^[+-]?\d{4,6}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

/** A list of names or of other strings. */
export const strings = z.array(z.string());

/** Values of parameters or settings, by the names that users gave. */
export const named = z.record(z.string(), z.string());

/** How a schema is written. */
export interface JsonSchemaOptions {
  /** Whether keys that the schema does not name are refused: for tests. Shipped schemas allow for later versions. */
  readonly strict?: boolean;
  /**
   * Whether it describes a file that people write: what may be written in it, and nothing else, in the draft that
   * editors know (7).
   */
  readonly isInput?: boolean;
}

/** Returns the JSON Schema (2020-12; draft 7 for an input) of what a schema describes; `name` is that of its file. */
export function jsonSchemaOf(
  name: string,
  schema: z.ZodType,
  { isInput = false, strict = isInput }: JsonSchemaOptions = {},
): Record<string, unknown> {
  const { $schema, title, description, ...rest } = z.toJSONSchema(schema, {
    ...(isInput ? { io: 'input', target: 'draft-7', unrepresentable: 'any' } : {}),
    override: ({ jsonSchema }) => {
      // Zod writes the bounds of exact doubles for every whole number.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
      if (!strict && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  return { $schema, $id: `urn:qrun:${name}:1`, title, description, ...rest };
}
