// Bundles the command: the modules in `dist` and the packages that they use become a few files in dist/cli/bundle. A
// command loads only those that it needs. Finding, reading and compiling 330 small files would take twice as long.
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { build } from 'rolldown';

const ROOT = join(import.meta.dirname, '..');

// All that `src` imports from undici. Undici's entry loads every part at once (fetch, web sockets, caches, mocks), and
// no bundler can tell that they are not needed; this would cost 40 ms of each start. The entry is reduced to these
// names, each from its own module.
const OF_UNDICI = ['buildConnector', 'Pool'];
const undici = {
  name: 'undici',
  load: {
    filter: { id: /[\\/]node_modules[\\/]undici[\\/]index\.js$/ },
    handler(id) {
      const entry = readFileSync(id, 'utf8');
      const parts = OF_UNDICI.map(name => {
        const path = new RegExp(`^const ${name} = require\\('(.+)'\\)$`, 'm').exec(entry)?.[1];
        if (path === undefined) throw new Error(`undici no longer has its ${name} where it was`);
        return `module.exports.${name} = require('${path}');`;
      });
      return parts.join('\n');
    },
  },
};

await build({
  input: {
    main: join(ROOT, 'dist/cli/main.js'),
    'plan-worker': join(ROOT, 'dist/local/sweep/plan-worker.js'),
  },
  platform: 'node',
  plugins: [undici],
  // Native code, found by its own package.
  external: ['koffi', 'chdb'],
  // For example, a package that is not found would only be left out, with a warning.
  onLog: (level, log, report) => report(level === 'warn' ? 'error' : level, log),
  output: {
    dir: join(ROOT, 'dist/cli/bundle'),
    // CommonJS modules are read one after the other: even a process that may open only 36 files starts.
    format: 'cjs',
    // In one folder, three levels below the root: from there modules look for the files of the package, and each other.
    entryFileNames: '[name].js',
    chunkFileNames: ({ name, facadeModuleId }) =>
      name === 'run' && facadeModuleId ? `${basename(dirname(facadeModuleId))}.js` : '[name].js',
    // No person reads the bundle, but each start does. Names are kept for stack traces.
    comments: { legal: true, annotation: false, jsdoc: false },
    minify: { compress: false, mangle: false, codegen: { removeWhitespace: true } },
  },
});

writeFileSync(join(ROOT, 'dist/cli/bundle/package.json'), '{ "type": "commonjs" }\n');
