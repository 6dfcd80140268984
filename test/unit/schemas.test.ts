import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/program.js';
import { openTerminal } from '../../src/cli/terminal/streams.js';
import { jsonSchemaOf } from '../../src/core/schema.js';
import { ROOT } from '../built.js';
import { INPUTS, SCHEMAS } from '../schemas.js';

type Schema = Readonly<Record<string, unknown>>;

const shipped = (name: string): Schema =>
  JSON.parse(readFileSync(`${ROOT}schema/${name}.schema.json`, 'utf8')) as Schema;

/** The schemas of all objects in a schema. */
function objectsIn(schema: unknown): Schema[] {
  if (Array.isArray(schema)) return schema.flatMap(objectsIn);
  if (typeof schema !== 'object' || schema === null) return [];
  const inner = Object.values(schema).flatMap(objectsIn);
  return 'properties' in schema ? [schema as Schema, ...inner] : inner;
}

describe('the schemas that ship', () => {
  it('are those of the source, and the one of records', () => {
    const files = readdirSync(`${ROOT}schema`).map(name => name.replace('.schema.json', ''));
    expect(files.sort()).toEqual([...SCHEMAS.keys(), ...INPUTS.keys(), 'record'].sort());
  });

  it.each([...INPUTS.keys()])('%s.toml is as the source has it', name => {
    const schema = INPUTS.get(name);
    expect(schema && JSON.parse(JSON.stringify(jsonSchemaOf(name, schema, { isInput: true })))).toEqual(
      shipped(name),
    );
  });

  it.each([...SCHEMAS.keys()])('%s is as the source has it', name => {
    const schema = SCHEMAS.get(name);
    expect(schema && JSON.parse(JSON.stringify(jsonSchemaOf(name, schema)))).toEqual(shipped(name));
  });

  it.each([...SCHEMAS.keys()])('%s says what it is of, and is a schema', name => {
    const schema = shipped(name);
    expect(Object.keys(schema).slice(0, 4)).toEqual(['$schema', '$id', 'title', 'description']);
    expect(() => new Ajv2020({ strict: true, allowUnionTypes: true }).compile(schema)).not.toThrow();
  });

  it.each([...SCHEMAS.keys()])('%s has keys in snake_case, of which none is closed to later ones', name => {
    const objects = objectsIn(shipped(name));
    expect(objects.length).toBeGreaterThan(0);
    for (const { properties, additionalProperties } of objects) {
      for (const key of Object.keys(properties as object)) expect(key).toMatch(/^[a-z][a-z\d]*(_[a-z\d]+)*$/);
      expect(additionalProperties).not.toBe(false);
    }
  });

  // Lines of before are in the same file as those of today.
  const OLDER: Readonly<Record<string, readonly string[]>> = {
    runs: ['database', 'servers', 'servers', 'setup'],
  };

  it.each([...SCHEMAS.keys()])('%s has no key that may be missing, but in lines of older versions', name => {
    const missing = objectsIn(shipped(name)).flatMap(({ properties, required }) =>
      Object.keys(properties as object).filter(key => !(required as string[]).includes(key)),
    );
    expect(missing.sort()).toEqual(OLDER[name] ?? []);
  });

  it('are there for each command that has --json, by its name', () => {
    const program = createProgram(openTerminal(process), () => {});
    const withJson = program.commands.filter(one => one.options.some(({ long }) => long === '--json'));
    expect(withJson.length).toBeGreaterThan(9);
    for (const one of withJson) expect(SCHEMAS.has(one.name()), one.name()).toBe(true);
  });

  it('take what older versions wrote into files that last', () => {
    const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
    const validate = ajv.compile(shipped('runs'));
    const { setup: _, ...older } = JSON.parse(
      readFileSync(`${ROOT}docs/machine-output.md`, 'utf8').match(/\{"event":"start".*\}/)?.[0] ?? '',
    ) as { setup: unknown };
    expect(validate(older)).toBe(true);
    expect(validate({ ...older, setup: { files: [] } })).toBe(true);
    expect(validate({ ...older, unit: 1 })).toBe(false);
  });

  it('can be had from the package by name', () => {
    const { exports, files } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as {
      exports: Record<string, unknown>;
      files: string[];
    };
    expect(exports).toMatchObject({ './*.schema.json': './schema/*.schema.json' });
    expect(files).toContain('schema/*.json');
  });
});
