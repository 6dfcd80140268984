import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { MUTATIONS, type Mutation, type Proof } from './mutations.js';

/** What became of a mutation. */
export interface Mutant {
  readonly name: string;
  readonly file: string;
  readonly red: boolean;
  readonly killedBy: string;
  /** Why nothing can be said. */
  readonly problem: string | undefined;
  readonly seconds: number;
}

// Both cores; the groups wait for disks and processes more than they compute.
const AT_ONCE = 2;
const LIMIT_MS = 240_000;

/**
 * Copies what the mutation check needs, so that work on the repository meanwhile changes nothing. It goes with
 * the process.
 */
export function snapshotOf(root: string): string {
  const copy = copyOf(root);
  process.once('exit', () => rmSync(copy, { recursive: true, force: true }));
  return copy;
}

/**
 * Takes out one safety line after the other in copies of `snapshot`, and gives what the proof says of each.
 * A proof that is not green on the unchanged snapshot says nothing. `filter`: only those whose name holds this
 * text.
 */
export async function runMutations(
  snapshot: string,
  filter: string | undefined,
  onEnd: (mutant: Mutant) => void,
): Promise<Mutant[]> {
  const wanted = MUTATIONS.filter(({ name }) => filter === undefined || name.includes(filter));
  const green = new Map<string, Promise<string | undefined>>();
  const isGreen = (proof: Proof): Promise<string | undefined> => {
    const key = JSON.stringify(proof);
    let checked = green.get(key);
    if (checked === undefined) {
      checked = runProof(snapshot, proof).then(end => (end.code === 0 ? undefined : end.text));
      green.set(key, checked);
    }
    return checked;
  };
  const mutants: Mutant[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let mutation = wanted[next++]; mutation !== undefined; mutation = wanted[next++]) {
      const mutant = await runMutation(snapshot, mutation, isGreen);
      mutants.push(mutant);
      onEnd(mutant);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return wanted.flatMap(({ name }) => mutants.filter(mutant => mutant.name === name));
}

async function runMutation(
  snapshot: string,
  mutation: Mutation,
  isGreen: (proof: Proof) => Promise<string | undefined>,
): Promise<Mutant> {
  const startedMs = performance.now();
  const { name, file, proof } = mutation;
  const end = (red: boolean, problem?: string): Mutant => ({
    ...{ name, file, red, problem, killedBy: nameOf(proof) },
    seconds: (performance.now() - startedMs) / 1000,
  });
  const source = readFileSync(join(snapshot, file), 'utf8');
  const times = source.split(mutation.line).length - 1;
  if (times !== 1) return end(false, `the line stands ${times} times in ${file}: ${mutation.line.trim()}`);
  const wrong = await isGreen(proof);
  if (wrong !== undefined) return end(false, `${nameOf(proof)} is not green without the mutation: ${wrong}`);
  const copy = copyOf(snapshot);
  try {
    writeFileSync(
      join(copy, file),
      source.replace(mutation.line, () => mutation.without),
    );
    const { code, text } = await runProof(copy, proof);
    if (code === 1) return end(true);
    return end(
      false,
      code === 0 ? `${nameOf(proof)} stays green` : `${nameOf(proof)} ended with ${code}: ${text}`,
    );
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function nameOf(proof: Proof): string {
  if ('groups' in proof) return proof.groups;
  return 'seeds' in proof ? `simulated: ${proof.profile}` : proof.vitest;
}

const COPIED = ['src', 'test', 'scripts', 'bin', 'schema', 'package.json'];
const COPIED_CONFIG = ['tsconfig.json', 'tsconfig.build.json', 'vitest.config.ts'];

function copyOf(root: string): string {
  const copy = mkdtempSync(join(tmpdir(), 'qrun-mutant-'));
  for (const path of [...COPIED, ...COPIED_CONFIG])
    cpSync(join(root, path), join(copy, path), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

function runProof(copy: string, proof: Proof): Promise<{ code: number | null; text: string }> {
  const script = join(copy, 'scripts/torture.mjs');
  const args =
    'groups' in proof
      ? [script, '--fast', '--only', proof.groups]
      : 'seeds' in proof
        ? [script, '--only', 'simulation', '--seeds', String(proof.seeds), '--profile', proof.profile]
        : [join(copy, 'node_modules/vitest/vitest.mjs'), 'run', proof.vitest, ...testName(proof.test)];
  return new Promise(resolve => {
    const child = spawn(process.execPath, args, {
      cwd: copy,
      env: { ...process.env, TORTURE_DISCARD: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let text = '';
    const keep = (chunk: Buffer): void => {
      text = (text + chunk.toString('utf8')).slice(-2000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const end = (): void => void child.kill('SIGTERM');
    process.once('exit', end);
    const timer = setTimeout(end, LIMIT_MS);
    child.on('close', code => {
      clearTimeout(timer);
      process.off('exit', end);
      // A test file that cannot be loaded is no proof of anything.
      const unloaded = 'vitest' in proof && !/Tests .*\d+ (?:failed|passed)/.test(text);
      resolve({ code: unloaded ? 2 : code, text: text.trim().split('\n').slice(-3).join(' | ') });
    });
  });
}

function testName(name: string | undefined): string[] {
  return name === undefined ? [] : ['-t', name];
}
