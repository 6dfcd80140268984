import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ENGINE_NAMES } from '../src/core/engines/facts.js';
import { ROOT } from './built.js';

// The rules of docs/architecture.md, read from the imports of the sources. A checker that finds nothing may be a
// checker that looks at nothing, so each rule is also shown a source that breaks it.

/** Sources by path relative to `src`. */
type Sources = Readonly<Record<string, string>>;

interface Import {
  readonly from: string;
  /** A relative import's target as a path relative to `src`, or the package. */
  readonly to: string;
  readonly relative: boolean;
  /** Erased by the compiler. */
  readonly typeOnly: boolean;
}

const LAYERS = ['core', 'io', 'app', 'local', 'cli'] as const;

// A room has the same name in every layer; docs/architecture.md says what is in each.
const ROOMS: ReadonlySet<string> = new Set([
  ...[
    'log',
    'sql',
    'unit',
    'engines',
    'queue',
    'sweep',
    'jobs',
    'config',
    'machine',
    'files',
    'text',
    'setup',
    'hosts',
  ],
  // Of the command line alone.
  ...['terminal', 'progress', 'commands'],
]);
// What fits on a screen, and in a head.
const MOST_FILES = 14;

// What a layer may import; `types`: only what the compiler erases.
const MAY_IMPORT: Readonly<Record<string, Readonly<Record<string, 'all' | 'types'>>>> = {
  core: { core: 'all' },
  io: { core: 'all', io: 'all' },
  app: { core: 'all', app: 'all', io: 'types' },
  local: { core: 'all', io: 'all', app: 'all', local: 'all' },
  cli: { core: 'all', io: 'all', app: 'all', local: 'all', cli: 'all' },
  // The public library, src/index.ts.
  index: { core: 'all', io: 'all', app: 'all', local: 'all' },
};

// Packages that do no input or output, and parts of Node that are pure computation.
const PURE = new Set(['zod', 'node:crypto', 'node:buffer', 'node:util']);

// Packages that more than one file may know, by the folder that they stay in: the command line as a whole is
// written in commander's terms, and each file that people write has its schema beside what it means.
const IN_FOLDER: Readonly<Record<string, string>> = { commander: 'cli/', zod: 'core/' };

// What says which JSON programs read. It is for those programs: no start needs it, so that others take its types alone.
const OF_SCHEMAS = /(?:^|[./])schema\.ts$/;

// What else reads the process, member by member: libchdb lives in the process, with its threads and its end, a lock of
// its data directory names a process, and signals are sent to others from here.
const OF_PROCESS: Readonly<Record<string, readonly string[]>> = {
  // The library: where it is used, and what it is asked for.
  'local/unit/open-unit.ts': ['cwd', 'env', 'umask'],
  'local/sweep/open-sweep.ts': ['cwd', 'env'],
  'local/jobs/open-jobs.ts': ['cwd', 'env'],
  'io/engines/embedded/engine.ts': ['env', 'once', 'off'],
  'io/engines/embedded/open.ts': ['pid'],
  'io/engines/embedded/data/lock.ts': ['pid', 'kill'],
  // How many files a process may open is in its report, where there is no /proc.
  'io/machine/descriptors.ts': ['report'],
  // A process that exits by itself is no victim of what it had in flight.
  'io/log/inflight.ts': ['once', 'off'],
  'io/engines/embedded/pipe.ts': ['platform'],
  'io/machine/process-tree.ts': ['pid', 'kill'],
  // What a program that helps gets of the environment.
  'io/machine/plain-environment.ts': ['env'],
  // What the sidecar says about who runs, and how a task starts this program.
  'io/machine/this-process.ts': ['pid', 'versions', 'execPath', 'report'],
  // Whose files are believed.
  'io/files/owner.ts': ['geteuid', 'env'],
};

// Folders with one way in: what else is in them, nobody outside knows. Each has a page, README.md, that says why.
const ONE_WAY_IN = ['core/log/scan/'];

// What opens a file by its name. Everything goes through one module, which waits for nothing and takes nothing but a
// regular file, but for what is made new here under a name of its own, and for the kernel's own files.
const OPENS: ReadonlySet<string> = new Set([
  ...['open', 'openSync', 'openAsBlob', 'readFile', 'readFileSync', 'writeFile', 'writeFileSync'],
  ...['appendFile', 'appendFileSync', 'createReadStream', 'createWriteStream'],
  ...['cp', 'cpSync', 'copyFile', 'copyFileSync'],
]);
const MAY_OPEN: ReadonlySet<string> = new Set([
  // Copies and syncs what the engine made, file by file, after it has looked what each is.
  'io/files/file-tree.ts',
  'io/files/open-file.ts',
  // A pipe or a terminal is as good there.
  'io/log/events-file.ts',
  // Under names that nobody else has (O_EXCL), directories, and what was opened before.
  'io/files/write-file.ts',
  'io/log/disk.ts',
  'io/engines/result-body.ts',
  'io/engines/embedded/config.ts',
  'io/engines/embedded/pipe.ts',
  'io/log/inflight.ts',
  // /proc and /sys.
  'io/machine/cgroup.ts',
  'io/machine/descriptors.ts',
  'io/files/flock.ts',
  'io/machine/process-tree.ts',
  'io/machine/systemd.ts',
  // The engine's own files.
  'io/engines/embedded/open.ts',
  // The package's own.
  'io/machine/this-process.ts',
]);

// Which queue it is that tasks are given to: its JSON, its environment and its commands stay in its folder, and another
// one is an addition. What people read in help and beside exit codes names it; nothing is decided by that.
const NAMES_OF_QUEUES = /pueue|slurm/i;
const MAY_NAME_A_QUEUE =
  /^(?:io\/queue\/|core\/errors\.ts$|core\/queue\/(?:names|clusters|array-index)\.ts$|cli\/(?:program|options|commands\/index)\.ts$)/;

// Whoever treats engines differently asks for a fact of `core/engines/facts.ts`, and opens them through the registry:
// only the engines themselves say which they are. Elsewhere the same word means something else.
const MAY_NAME_ENGINES = new RegExp(
  `^(?:core/engines/facts\\.ts|io/engines/registry\\.ts|io/engines/(?:${ENGINE_NAMES.join('|')})/)`,
);
const OTHER_MEANING: ReadonlySet<string> = new Set([
  // The access type of dictionaries that read from another server.
  'core/sql/guard/outside.ts',
]);

const IMPURE =
  /\b(?:Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|setImmediate|fetch)\b/;

describe('the sources', () => {
  const sources = readSources();
  const imports = Object.entries(sources).flatMap(([path, text]) => importsOf(path, text));

  it('are all there', () => {
    expect(Object.keys(sources).length).toBeGreaterThan(50);
    expect(imports.length).toBeGreaterThan(200);
    for (const layer of LAYERS)
      expect(Object.keys(sources).some(path => path.startsWith(`${layer}/`))).toBe(true);
  });

  it('keep every rule', () => {
    expect(breaches(sources)).toEqual([]);
  });

  it('have no exception that nothing needs', () => {
    for (const [path, members] of Object.entries(OF_PROCESS)) {
      for (const member of members) expect(sources[path], path).toContain(`process.${member}`);
    }
    for (const name of Object.keys(IN_FOLDER)) expect(imports.map(({ to }) => to)).toContain(name);
    for (const path of OTHER_MEANING) expect(sources[path], path).toMatch(ENGINE);
    for (const folder of ONE_WAY_IN) {
      expect(Object.keys(sources), folder).toContain(`${folder}index.ts`);
      expect(existsSync(`${ROOT}src/${folder}README.md`), folder).toBe(true);
    }
    for (const path of MAY_OPEN) expect(namesFromFs(sources[path] ?? '').some(isOpening), path).toBe(true);
  });

  it('use every package that is installed with qrun, and no other', () => {
    const { dependencies, optionalDependencies } = JSON.parse(
      readFileSync(`${ROOT}package.json`, 'utf8'),
    ) as {
      dependencies: Record<string, string>;
      optionalDependencies: Record<string, string>;
    };
    const used = new Set(
      imports.filter(({ to, relative }) => !relative && !to.startsWith('node:')).map(({ to }) => to),
    );
    expect([...used].sort()).toEqual(Object.keys({ ...dependencies, ...optionalDependencies }).sort());
  });
});

describe('a breach', () => {
  const GOOD: Sources = {
    'core/a.ts':
      "export const a = 1; // Date.now is only named here, and so is process.env\nconst t = 'process.env';",
    'io/b.ts':
      "import { a } from '../core/a.js';\nexport const b = a;\nexport interface B { readonly x: number }",
    'app/c.ts': "import type { B } from '../io/b.js';\nexport const c = (b: B) => b;",
    'cli/d.ts':
      "import { b } from '../io/b.js';\nexport const d = async () => [b, process.argv, await import('../app/c.js')];",
  };

  it('of nothing is none', () => {
    expect(breaches(GOOD)).toEqual([]);
  });

  it.each<[string, Sources, string]>([
    ['core imports io', { 'core/x.ts': "import { b } from '../io/b.js';" }, 'core/x.ts imports io/b.ts'],
    [
      'core imports a type of io',
      { 'core/x.ts': "import type { B } from '../io/b.js';" },
      'core/x.ts imports io/b.ts',
    ],
    ['io imports app', { 'io/x.ts': "export { c } from '../app/c.js';" }, 'io/x.ts imports app/c.ts'],
    [
      'app imports cli',
      { 'app/x.ts': "const d = await import('../cli/d.js');" },
      'app/x.ts imports cli/d.ts',
    ],
    [
      'app imports a value of io',
      { 'app/x.ts': "import { b } from '../io/b.js';" },
      'app/x.ts imports values of io/b.ts',
    ],
    [
      'app imports a value beside a type',
      { 'app/x.ts': "import { type B, b } from '../io/b.js';" },
      'app/x.ts imports values of io/b.ts',
    ],
    ['a file outside the layers', { 'x.ts': 'export const x = 1;' }, 'x.ts belongs to no layer'],
    [
      'core reads files',
      { 'core/x.ts': "import { readFileSync } from 'node:fs';" },
      'core/x.ts imports node:fs',
    ],
    [
      'core reads the clock',
      { 'core/x.ts': 'export const now = () => Date.now();' },
      'core/x.ts uses Date.now',
    ],
    ['core is random', { 'core/x.ts': 'export const r = Math.random;' }, 'core/x.ts uses Math.random'],
    ['io reads the process', { 'io/x.ts': 'export const e = process.env.HOME;' }, 'io/x.ts uses process.env'],
    [
      'app takes the process by import',
      { 'app/x.ts': "import { env } from 'node:process';" },
      'app/x.ts imports node:process',
    ],
    [
      'a file that is opened by itself',
      { 'io/x.ts': "import { closeSync, readFileSync as read } from 'node:fs';" },
      'io/x.ts opens files by itself: readFileSync',
    ],
    [
      'a file that is opened by a promise',
      { 'io/x.ts': "import { open } from 'node:fs/promises';" },
      'io/x.ts opens files by itself: open',
    ],
    [
      'all of node:fs',
      { 'cli/x.ts': "import * as fs from 'node:fs';" },
      'cli/x.ts opens files by itself: * as fs',
    ],
    [
      'a directory made with those above it, which never returns below /proc',
      { 'io/x.ts': "import { mkdirSync } from 'node:fs';\nmkdirSync('x', { recursive: true });" },
      'io/x.ts makes directories recursively',
    ],
    [
      'a queue that is known outside its folder',
      { 'app/x.ts': '// Only where pueue runs.\nexport const x = 1;' },
      'app/x.ts names a queue',
    ],
    ['a default export', { 'io/x.ts': 'export default 1;' }, 'io/x.ts has a default export'],
    [
      'a default export by name',
      { 'io/x.ts': 'const x = 1;\nexport { x as default };' },
      'io/x.ts has a default export',
    ],
    [
      'a branch on the name of an engine',
      { 'app/x.ts': "export const x = (name: string) => name === 'embedded';" },
      'app/x.ts names the engine embedded',
    ],
    [
      'an engine by its property',
      { 'cli/x.ts': 'export const x = (known: unknown) => known === ENGINES.clickhouse;' },
      'cli/x.ts names the engine clickhouse',
    ],
    [
      'a file of odds and ends',
      { 'io/string-utils.ts': 'export const s = 1;' },
      'io/string-utils.ts says nothing of what is in it',
    ],
    [
      'a relative import without .js',
      { 'io/x.ts': "import { a } from '../core/a';" },
      "io/x.ts imports '../core/a' without .js",
    ],
    [
      'what a folder with one way in keeps to itself',
      {
        'core/log/scan/index.ts': "export { a } from './inner.js';",
        'core/log/scan/inner.ts': 'export const a = 1;',
        'io/x.ts': "import { a } from '../core/log/scan/inner.js';",
        'io/y.ts': "import { a } from '../core/log/scan/index.js';",
      },
      'io/x.ts passes by core/log/scan/index.ts: core/log/scan/inner.ts',
    ],
    [
      'a folder that no other layer would have',
      { 'io/stuff/x.ts': 'export const x = 1;' },
      'io/stuff is not a room',
    ],
    [
      'a room that is too full',
      Object.fromEntries(Array.from({ length: 15 }, (_, n) => [`io/log/x${n}.ts`, `export const x = ${n};`])),
      'io/log holds 15 files',
    ],
    [
      'a cycle',
      {
        'io/x.ts': "import { y } from './y.js';\nexport const x = y;",
        'io/y.ts': "import { z } from './z.js';\nexport const y = z;",
        'io/z.ts': "import { x } from './x.js';\nexport const z = () => x;",
      },
      'cycle: io/x.ts -> io/y.ts -> io/z.ts -> io/x.ts',
    ],
    [
      'a package in two files',
      { 'io/x.ts': "import { execa } from 'execa';", 'io/y.ts': "const { execa } = await import('execa');" },
      'execa is imported by io/x.ts, io/y.ts',
    ],
    [
      'a schema that is loaded at run time',
      {
        'core/x.schema.ts': "import { z } from 'zod';\nexport const schema = z.string();",
        'cli/x.ts': "import { schema } from '../core/x.schema.js';",
        'cli/y.schema.ts': "import { schema } from '../core/x.schema.js';\nexport const y = schema;",
        'cli/z.ts': "import type { y } from './y.schema.js';",
      },
      'cli/x.ts imports values of core/x.schema.ts',
    ],
    [
      'the process by another name',
      { 'app/x.ts': 'const { env } = process;\nexport const x = env;' },
      'app/x.ts takes the process as a whole',
    ],
    [
      'the process by way of all globals',
      { 'app/x.ts': 'export const x = globalThis.process.env;' },
      'app/x.ts takes the process as a whole',
    ],
    [
      'an import of what is only known when it runs',
      { 'app/x.ts': 'export const x = (name: string) => import(name);' },
      'app/x.ts imports what a reader cannot see',
    ],
    [
      'a package outside its folder',
      { 'app/x.ts': "import { Command } from 'commander';" },
      'commander is imported by app/x.ts',
    ],
  ])('%s', (_title, more, breach) => {
    expect(breaches({ ...GOOD, ...more })).toEqual([breach]);
  });
});

const ENGINE = new RegExp(`['"\`](${ENGINE_NAMES.join('|')})['"\`]|\\bENGINES\\.(\\w+)`);

function breaches(sources: Sources): string[] {
  const found: string[] = [];
  const imports: Import[] = [];
  for (const [path, text] of Object.entries(sources)) {
    const layer = layerOf(path);
    if (layer === undefined) {
      found.push(`${path} belongs to no layer`);
      continue;
    }
    if (NAMES_OF_QUEUES.test(text) && !MAY_NAME_A_QUEUE.test(path)) found.push(`${path} names a queue`);
    const own = importsOf(path, text);
    imports.push(...own);
    const code = codeOf(text, true);
    if (/^export default\b|\bas default\b/m.test(code)) found.push(`${path} has a default export`);
    if (/(?:^|[/-])(?:utils?|helpers?|common|misc)\.ts$/.test(path)) {
      found.push(`${path} says nothing of what is in it`);
    }
    const kind =
      MAY_NAME_ENGINES.test(path) || OTHER_MEANING.has(path) ? undefined : ENGINE.exec(codeOf(text, false));
    if (kind !== undefined && kind !== null) found.push(`${path} names the engine ${kind[1] ?? kind[2]}`);
    if (layer !== 'cli') {
      const used = [...code.matchAll(/(?<![.\w])process\s*(?:\.\s*(\w+)|\[)/g)].map(match => match[1] ?? '[');
      const extra = new Set(used.filter(member => OF_PROCESS[path]?.includes(member) !== true));
      for (const member of extra) found.push(`${path} uses process.${member}`);
      if (/[=(,:[]\s*process\s*[;,)}\]]|\bglobalThis\b/.test(code))
        found.push(`${path} takes the process as a whole`);
    }
    if (/\bimport\(\s*[^'\s]/.test(codeOf(text, false)))
      found.push(`${path} imports what a reader cannot see`);
    const opens = layer === 'core' || MAY_OPEN.has(path) ? [] : namesFromFs(text).filter(isOpening);
    if (opens.length > 0) found.push(`${path} opens files by itself: ${opens.join(', ')}`);
    if (/\bmkdir\w*\([^;]*\brecursive\s*:/.test(code)) found.push(`${path} makes directories recursively`);
    const impure = layer === 'core' ? IMPURE.exec(code)?.[0] : undefined;
    if (impure !== undefined) found.push(`${path} uses ${impure}`);
    for (const { to, relative, typeOnly } of own) {
      if (!relative) {
        if (to === 'node:process' && layer !== 'cli') found.push(`${path} imports ${to}`);
        else if (layer === 'core' && !PURE.has(to)) found.push(`${path} imports ${to}`);
        continue;
      }
      if (!to.endsWith('.ts')) {
        found.push(`${path} imports '${posix.relative(posix.dirname(path), to)}' without .js`);
        continue;
      }
      const room = ONE_WAY_IN.find(folder => to.startsWith(folder) && !path.startsWith(folder));
      if (room !== undefined && to !== `${room}index.ts`)
        found.push(`${path} passes by ${room}index.ts: ${to}`);
      const allowed = MAY_IMPORT[layer]?.[layerOf(to) ?? ''];
      if (allowed === undefined) found.push(`${path} imports ${to}`);
      else if (!typeOnly && (allowed === 'types' || (OF_SCHEMAS.test(to) && !OF_SCHEMAS.test(path)))) {
        found.push(`${path} imports values of ${to}`);
      }
    }
  }
  return [
    ...found,
    ...crowdedRooms(Object.keys(sources)),
    ...cyclesOf(imports),
    ...packagesInManyFiles(imports),
  ];
}

// What a source takes from node:fs, by the names there.
function namesFromFs(text: string): string[] {
  return [...text.matchAll(/^import\s+(?!type\b)([^;]*?)\s+from\s*'node:fs(?:\/promises)?'/gm)].flatMap(
    ([, names = '']) =>
      names
        .replace(/[{}]/g, '')
        .split(',')
        .map(name => name.trim())
        .filter(name => name !== '' && !name.startsWith('type '))
        .map(name => (name.startsWith('*') ? name : (name.split(/\s+as\s+/)[0] as string))),
  );
}

function isOpening(name: string): boolean {
  return name.startsWith('*') || OPENS.has(name);
}

function layerOf(path: string): string | undefined {
  if (path === 'index.ts') return 'index';
  return LAYERS.find(layer => path.startsWith(`${layer}/`));
}

function crowdedRooms(paths: readonly string[]): string[] {
  const files = new Map<string, number>();
  for (const path of paths) files.set(posix.dirname(path), (files.get(posix.dirname(path)) ?? 0) + 1);
  return [...files].flatMap(([folder, count]) => {
    const [, room] = folder.split('/');
    const isRoom = room === undefined || ROOMS.has(room);
    return [
      ...(isRoom ? [] : [`${folder} is not a room`]),
      ...(count > MOST_FILES ? [`${folder} holds ${count} files`] : []),
    ];
  });
}

function packagesInManyFiles(imports: readonly Import[]): string[] {
  const users = new Map<string, Set<string>>();
  for (const { from, to, relative, typeOnly } of imports) {
    if (relative || typeOnly || to.startsWith('node:') || (to === 'zod' && OF_SCHEMAS.test(from))) continue;
    users.set(to, (users.get(to) ?? new Set()).add(from));
  }
  return [...users]
    .filter(([name, files]) => {
      const folder = IN_FOLDER[name];
      return folder === undefined ? files.size > 1 : [...files].some(file => !file.startsWith(folder));
    })
    .map(([name, files]) => `${name} is imported by ${[...files].sort().join(', ')}`);
}

// Of types too: what is known only together is one module, or has a third beneath it.
function cyclesOf(imports: readonly Import[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to, relative } of imports) {
    if (relative) next.set(from, [...(next.get(from) ?? []), to]);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at !== -1) {
      found.push(`cycle: ${[...trail.slice(at), path].join(' -> ')}`);
      return;
    }
    if (done.has(path)) return;
    for (const target of next.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of [...next.keys()].sort()) visit(path, []);
  return found;
}

// `import ... from`, `export ... from`, `import('...')`, `import '...'`, and types in `import('...').X`.
const STATEMENT =
  /^\s*(import|export)\b([^'";]*?)\bfrom\s*'([^']+)'|^\s*import\s*'([^']+)'|\bimport\(\s*'([^']+)'/gm;

function importsOf(path: string, text: string): Import[] {
  return [...codeOf(text, false).matchAll(STATEMENT)].map(([, , names, from, bare, dynamic]) => {
    const target = from ?? bare ?? dynamic ?? '';
    const relative = target.startsWith('.');
    const to = relative ? posix.join(posix.dirname(path), target).replace(/\.js$/, '.ts') : packageOf(target);
    return { from: path, to, relative, typeOnly: names !== undefined && erased(names) };
  });
}

function packageOf(target: string): string {
  if (target.startsWith('node:')) return target;
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/');
}

function erased(names: string): boolean {
  if (/^\s*type\b/.test(names)) return true;
  const inBraces = /^\s*\{([^}]*)\}\s*$/.exec(names)?.[1];
  return inBraces?.split(',').every(name => name.trim() === '' || /^\s*type\s/.test(name)) ?? false;
}

/** The text without comments, and without what stands in quotes if that is not wanted. */
function codeOf(text: string, withoutTexts: boolean): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/.*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g,
    part => {
      if (part.startsWith('/')) return '';
      // What stands in `${}` is code.
      if (part.startsWith('`')) return withoutTexts ? (part.match(/\$\{[^}]*\}/g) ?? []).join(' ') : part;
      return withoutTexts ? "''" : part;
    },
  );
}

function readSources(): Sources {
  const root = `${ROOT}src`;
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'));
  return Object.fromEntries(
    names.map(name => [name.replaceAll('\\', '/'), readFileSync(`${root}/${name}`, 'utf8')]),
  );
}
