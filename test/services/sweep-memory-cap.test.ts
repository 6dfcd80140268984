import { readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterEach, describe, expect, it } from 'vitest';
import { builtQrun } from '../built.js';
import { removeTree, tree } from '../integration/qrun.js';
import { servicesRequired } from './clickhouse-server.js';
import { PROGRAM_FOLDERS, pueueAvailable } from './pueue-daemon.js';
import { systemdUserAvailable, WITH_SYSTEMD_USER } from './systemd-user.js';

const AVAILABLE = systemdUserAvailable() && pueueAvailable();

// Takes about 1.5 GB; the cap leaves room for the engine and a small query.
const HOG = 'SELECT length(groupArray(number)) AS n FROM numbers(100000000)';

// A login with systemd: pueued and its tasks live beside the manager, so that all of it is one script.
const SCRIPT = `
pueued & daemon=$!
for n in $(seq 200); do pueue group --json >/dev/null 2>&1 && break; sleep 0.05; done
"$NODE" "$QRUN" submit-all . --json --parallel 1
"$NODE" "$QRUN" status . --watch --interval 200ms >/dev/null
"$NODE" "$QRUN" status . --json
pueue log --group qrun-capped --json
kill $daemon; wait $daemon
`;

describe.skipIf(!AVAILABLE && !servicesRequired())('a memory cap in a sweep', () => {
  let root = '';
  afterEach(() => removeTree(root));

  it('kills the unit that exceeds it, is reported as that, and the sweep goes on to its audit', async () => {
    root = realpathSync(
      tree({
        'qrun.toml': 'memory_max = "700M"\nconcurrency = 1\n[sweep]\nname = "capped"\n',
        'a-hog/q.sql': HOG,
        'b-small/q.sql': 'SELECT 1 AS n',
        'pueue.yml': [
          'shared:',
          '  pueue_directory: DIR/data',
          '  runtime_directory: DIR/run',
          '  alias_file: DIR/aliases.yml',
          'client: {}',
          'daemon: {}',
          '',
        ].join('\n'),
        'data/.keep': '',
        'run/.keep': '',
      }),
    );
    const config = join(root, 'pueue.yml');
    const yaml = readFileSync(config, 'utf8').replaceAll('DIR', root);
    const { stdout, stderr, exitCode } = await execa(
      WITH_SYSTEMD_USER[0] as string,
      [...WITH_SYSTEMD_USER.slice(1), 'bash', '-c', `printf %s "$YAML" > ${config}; ${SCRIPT}`],
      {
        cwd: root,
        extendEnv: false,
        env: {
          PATH: PROGRAM_FOLDERS.join(':'),
          HOME: root,
          USER: 'root',
          LANG: 'C.UTF-8',
          PUEUE_CONFIG_PATH: config,
          YAML: yaml,
          NODE: process.execPath,
          QRUN: builtQrun(),
        },
        reject: false,
        timeout: 150_000,
      },
    );
    const [submitted = '', status = '', log = ''] = stdout.trim().split('\n');
    expect(exitCode, stderr).toBeDefined();
    expect(JSON.parse(submitted), stderr).toMatchObject({ submitted: ['a-hog', 'b-small'] });
    const { units, audit } = JSON.parse(status) as {
      units: Record<string, unknown>[];
      audit: Record<string, unknown>;
    };
    expect(units).toMatchObject([
      { unit: 'a-hog', state: 'failed', note: 'killed at its memory cap, or by kill -9 (137)' },
      { unit: 'b-small', state: 'complete' },
    ]);
    expect(audit).toMatchObject({ state: 'done', verdict: 'incomplete' });
    const outputs = Object.values(
      JSON.parse(log) as Record<string, { task: { label: string }; output: string }>,
    );
    const hog = outputs.find(({ task }) => task.label === 'qrun:capped:a-hog');
    expect(hog?.output).toContain('killed at its memory cap of 700M (137)');
  }, 180_000);
});
